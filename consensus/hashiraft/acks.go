package hashiraft

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
)

// acks knows, for each follower, the latest begin of a request that it has
// acknowledged, on a clock of its own that counts events.
type acks struct {
	mu    sync.Mutex
	clock uint64
	last  map[raft.ServerID]ack
	beats map[raft.ServerID]ack // heartbeats only
	// changed, if not nil, closes at the next note.
	changed chan struct{}
}

type ack struct {
	term, began uint64
	at          time.Time // when it began
	last        uint64    // the follower's last index
}

func newAcks() *acks { return &acks{last: map[raft.ServerID]ack{}, beats: map[raft.ServerID]ack{}} }

// now returns an instant later than all before it.
func (a *acks) now() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock++
	return a.clock
}

func (a *acks) note(id raft.ServerID, n ack, beat bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	put := func(m map[raft.ServerID]ack) {
		if l := m[id]; l.term < n.term || l.term == n.term && l.began < n.began {
			m[id] = n
		}
	}
	put(a.last)
	if beat {
		put(a.beats)
	}
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// next returns a channel that closes at the next note.
func (a *acks) next() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return a.changed
}

// since counts the voters, ourselves not counted, that acknowledged, at this
// term, a request which began after the instant.
func (a *acks) since(term, instant uint64, e *electorate) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, id := range e.voters {
		if l := a.last[id]; l.term == term && l.began > instant {
			n++
		}
	}
	return n
}

// of returns what is known of a follower at this term.
func (a *acks) of(id raft.ServerID, term uint64) (ack, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.last[id]
	return l, l.term == term
}

// leased returns the latest moment since when a quorum has stood by the leader
// of this term: the begin of the oldest of the newest heartbeats of a quorum.
func (a *acks) leased(term uint64, e *electorate, now time.Time) (since time.Time, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	need := e.others()
	if need == 0 {
		return now, true
	}
	var room [9]time.Time
	begun := room[:0]
	for _, id := range e.voters {
		if l := a.beats[id]; l.term == term {
			begun = append(begun, l.at)
		}
	}
	if len(begun) < need {
		return time.Time{}, false
	}
	sortNewestFirst(begun)
	return begun[need-1], true
}

func sortNewestFirst(ts []time.Time) {
	for i := range ts {
		for j := i; j > 0 && ts[j].After(ts[j-1]); j-- {
			ts[j], ts[j-1] = ts[j-1], ts[j]
		}
	}
}

// responsive is the voter, not ourselves, that is most likely to win the lead:
// one that has answered lately, with the longest log.
func (a *acks) responsive(self consensus.NodeID, term uint64, e *electorate, after time.Time) (best raft.ServerID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var of ack
	for _, id := range e.voters {
		l := a.last[id]
		if nodeID(id) == self || l.term != term || l.at.Before(after) {
			continue
		}
		if best == "" || l.last > of.last || l.last == of.last && l.at.After(of.at) {
			best, of = id, l
		}
	}
	return best
}
