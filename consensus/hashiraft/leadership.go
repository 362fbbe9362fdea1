package hashiraft

import (
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
)

// leadership is one time of leading, from election to step-down.
type leadership struct {
	term uint64
	// ready closes once an entry of this term (our barrier) is committed and
	// everything before it is handed to the state machine.
	ready chan struct{}
	// lost closes at step-down.
	lost chan struct{}
}

// roles follows the library's state. It is told synchronously, from the
// library's own goroutines, so that no change is missed or late.
type roles struct {
	self    consensus.NodeID
	observe func(consensus.Event)
	// changed is called after a change; it must not block.
	changed func()

	mu      sync.Mutex // orders changes and their events
	current atomic.Pointer[leadership]
	gained  chan struct{} // room for one
	role    atomic.Uint32

	campaigns, leads atomic.Uint64
}

// filter has the form of a raft.FilterFn. The library calls it in the middle
// of a change of state; it keeps nothing for a channel.
func (r *roles) filter(o *raft.Observation) bool {
	if state, ok := o.Data.(raft.RaftState); ok {
		r.become(state, o.Raft.CurrentTerm())
	}
	return false
}

func (r *roles) become(state raft.RaftState, term uint64) {
	r.mu.Lock()
	defer r.changed()
	defer r.mu.Unlock()
	event := func(kind consensus.EventKind, term uint64) {
		r.observe(consensus.Event{Kind: kind, Node: r.self, Term: term})
	}
	old := r.current.Load()
	if old != nil && (state != raft.Leader || old.term != term) {
		r.current.Store(nil)
		close(old.lost)
		event(consensus.EventStepDown, old.term)
		old = nil
	}
	role := consensus.Follower
	switch {
	case state == raft.Candidate:
		role = consensus.Candidate
		r.campaigns.Add(1)
		event(consensus.EventCampaign, term+1) // the term is raised after the change of state
	case state == raft.Leader && old == nil:
		role = consensus.Leader
		r.leads.Add(1)
		r.current.Store(&leadership{term: term, ready: make(chan struct{}), lost: make(chan struct{})})
		event(consensus.EventLeader, term)
		select {
		case r.gained <- struct{}{}:
		default:
		}
	case state == raft.Leader:
		role = consensus.Leader
	}
	r.role.Store(uint32(role))
}

// settle commits one barrier for each leadership. The barrier, not the
// library's own no-op, is what we can wait for; it follows at most a round
// later.
func (r *Replica) settle() {
	var settled *leadership
	for {
		select {
		case <-r.stop:
			return
		case <-r.roles.gained:
		}
		l := r.roles.current.Load()
		// A signal may be of the leadership before: one that was lost and gained
		// again between the signal and the look at it signals twice.
		if l == nil || l == settled {
			continue
		}
		f := r.raft.Barrier(0)
		if err := r.futures.wait(f); err != nil {
			continue // lost again: the next leadership says so on gained
		}
		// Still the same leadership after the success: the barrier is of its term.
		if r.roles.current.Load() != l {
			continue
		}
		r.cfg.Observe(consensus.Event{Kind: consensus.EventCommit, Node: r.cfg.Self, Term: l.term, Index: indexOf(f)})
		close(l.ready)
		settled = l
	}
}

func indexOf(f raft.Future) uint64 {
	if i, ok := f.(raft.IndexFuture); ok {
		return i.Index()
	}
	return 0
}
