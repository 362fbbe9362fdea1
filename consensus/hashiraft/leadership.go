package hashiraft

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

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
	// disrupted: we have asked another to take over, so that followers may break
	// their promises to us (see promise) from now on.
	disrupted atomic.Bool
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
	leader  atomic.Uint64 // as the library believes, 0 = none
	// moved closes when the leader changes; it is replaced under mu.
	moved chan struct{}
	// resigned: the lead was given up, whatever the library believes; retired: for
	// good.
	resigned, retired bool

	campaigns, leads atomic.Uint64
}

// filter has the form of a raft.FilterFn. The library calls it in the middle
// of a change of state; it keeps nothing for a channel.
func (r *roles) filter(o *raft.Observation) bool {
	switch data := o.Data.(type) {
	case raft.RaftState:
		r.become(data, o.Raft.CurrentTerm())
	case raft.LeaderObservation:
		r.follow(nodeID(data.LeaderID))
	}
	return false
}

// follow notes whom the library takes for the leader.
func (r *roles) follow(id consensus.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader.Swap(uint64(id)) != uint64(id) {
		close(r.moved)
		r.moved = make(chan struct{})
	}
}

// known returns the leader, 0 if none is known, and a channel that closes when
// that changes.
func (r *roles) known() (consensus.NodeID, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return consensus.NodeID(r.leader.Load()), r.moved
}

// resign gives up the lead, if there is one, until resume.
func (r *roles) resign() bool {
	r.mu.Lock()
	defer r.changed()
	defer r.mu.Unlock()
	if r.current.Load() == nil {
		return false
	}
	r.resigned = true
	r.drop()
	return true
}

// resume takes the lead up again if the library has it still.
func (r *roles) resume(state raft.RaftState, term uint64) {
	r.mu.Lock()
	was := r.resigned
	r.resigned = false
	r.mu.Unlock()
	if was && state == raft.Leader {
		r.become(state, term)
	}
}

// retire gives up the lead and takes part in nothing any more.
func (r *roles) retire() {
	r.mu.Lock()
	defer r.changed()
	defer r.mu.Unlock()
	r.retired = true
	r.drop()
}

// drop ends the leadership, if there is one. It runs under mu.
func (r *roles) drop() {
	old := r.current.Load()
	if old == nil {
		return
	}
	r.current.Store(nil)
	close(old.lost)
	r.role.Store(uint32(consensus.Follower))
	r.observe(consensus.Event{Kind: consensus.EventStepDown, Node: r.self, Term: old.term})
}

func (r *roles) become(state raft.RaftState, term uint64) {
	r.mu.Lock()
	defer r.changed()
	defer r.mu.Unlock()
	event := func(kind consensus.EventKind, term uint64) {
		r.observe(consensus.Event{Kind: kind, Node: r.self, Term: term})
	}
	if old := r.current.Load(); old != nil && (state != raft.Leader || old.term != term) {
		r.drop()
	}
	if r.retired {
		return
	}
	role := consensus.Follower
	switch {
	case state == raft.Candidate:
		role = consensus.Candidate
		r.campaigns.Add(1)
		event(consensus.EventCampaign, term+1) // the term is raised after the change of state
	case state == raft.Leader && r.resigned:
	case state == raft.Leader && r.current.Load() == nil:
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
		f, err := r.barrier(l)
		if err != nil {
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

// barrier commits an empty entry as the leader of l. During a transfer the
// library refuses it; that ends soon, one way or the other.
func (r *Replica) barrier(l *leadership) (raft.Future, error) {
	for {
		f := r.raft.Barrier(r.cfg.Limits.ElectionTimeout())
		err := r.futures.waitUntil(f, l.lost)
		switch {
		case r.roles.current.Load() != l:
			return nil, raft.ErrLeadershipLost
		case errors.Is(err, raft.ErrEnqueueTimeout):
		case errors.Is(err, raft.ErrLeadershipTransferInProgress):
			pause := time.NewTimer(r.cfg.Limits.Tick)
			select {
			case <-pause.C:
			case <-l.lost:
			case <-r.stop:
			}
			pause.Stop()
		default:
			return f, err
		}
	}
}

func indexOf(f raft.Future) uint64 {
	if i, ok := f.(raft.IndexFuture); ok {
		return i.Index()
	}
	return 0
}
