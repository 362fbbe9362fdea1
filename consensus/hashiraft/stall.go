package hashiraft

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gfslab/consensus"
)

// vigil watches the calls into the log. The library's leader stores entries on
// its main goroutine while others go on sending heartbeats, so that a leader
// whose disk hangs would keep the lead and serve nobody. It is told when one
// call has been out for longer than limit, and when all have come back.
type vigil struct {
	limit time.Duration
	// late is called from a goroutine of its own, and again after each limit,
	// until it returns true; back follows a late that returned true.
	late func() bool
	back func()

	mu    sync.Mutex
	timer *time.Timer
	calls []call // under way, in the order of their begin
	next  uint64
	state vigilState
}

type call struct {
	id    uint64
	begun time.Time
}

type vigilState uint8

const (
	watching vigilState = iota
	telling             // late runs
	stalling            // late has returned true
	closed
)

// begin notes a call; end must follow.
func (v *vigil) begin() (id uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.next++
	v.calls = append(v.calls, call{v.next, time.Now()})
	if len(v.calls) == 1 && v.state == watching && v.limit > 0 {
		v.arm(v.limit)
	}
	return v.next
}

// arm runs under mu.
func (v *vigil) arm(after time.Duration) {
	if v.timer == nil {
		v.timer = time.AfterFunc(after, v.expired)
		return
	}
	v.timer.Reset(after)
}

func (v *vigil) end(id uint64) {
	v.mu.Lock()
	v.calls = slices.DeleteFunc(v.calls, func(c call) bool { return c.id == id })
	if len(v.calls) == 0 && v.timer != nil {
		v.timer.Stop()
	}
	over := len(v.calls) == 0 && v.state == stalling
	if over {
		v.state = watching
	}
	v.mu.Unlock()
	if over {
		v.back()
	}
}

func (v *vigil) expired() {
	v.mu.Lock()
	if len(v.calls) == 0 || v.state != watching {
		v.mu.Unlock()
		return
	}
	if out := time.Since(v.calls[0].begun); out < v.limit {
		v.arm(v.limit - out)
		v.mu.Unlock()
		return
	}
	v.state = telling
	v.mu.Unlock()
	acted := v.late()
	v.mu.Lock()
	over := len(v.calls) == 0
	switch {
	case v.state == closed:
	case acted && !over:
		v.state = stalling
	default:
		v.state = watching
		if !over {
			v.arm(v.limit)
		}
	}
	v.mu.Unlock()
	if acted && over {
		v.back()
	}
}

// close ends the watch.
func (v *vigil) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state = closed
	if v.timer != nil {
		v.timer.Stop()
	}
}

var (
	errMuted       = errors.New("hashiraft: silent, as the disk does not answer")
	errLeadGivenUp = fmt.Errorf("%w: the disk does not answer", consensus.ErrUnknown)
)

// mute holds back what the library wants to send. It waits instead of failing
// at once: the library's answer to a row of failures is a pause of up to ten
// seconds, which would outlast the cause.
type mute struct {
	held  atomic.Bool
	mu    sync.Mutex
	until chan struct{} // closes when speech comes back
	over  chan struct{} // closes when it never will
}

func newMute() *mute { return &mute{over: make(chan struct{})} }

func (m *mute) set(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if on == m.held.Load() {
		return
	}
	m.held.Store(on)
	if on {
		m.until = make(chan struct{})
		return
	}
	close(m.until)
}

// pass returns nil at once when speech is free, else errMuted once it is again.
func (m *mute) pass() error {
	if !m.held.Load() {
		return nil
	}
	m.mu.Lock()
	until := m.until
	m.mu.Unlock()
	select {
	case <-until:
	case <-m.over:
	}
	return errMuted
}

// stalled is the vigil's late: a leader falls silent, so that the others elect
// a leader whose disk answers, and its callers learn what is known.
func (r *Replica) stalled() bool {
	l := r.roles.current.Load()
	if l == nil || !r.roles.resign() {
		return false
	}
	r.cfg.Observe(consensus.Event{Kind: consensus.EventStalled, Node: r.cfg.Self, Term: l.term})
	r.mute.set(true)
	r.stalls.Add(1)
	r.cfg.Logger.Warn("the disk has not answered for two election timeouts; giving up the lead")
	r.abandon()
	return true
}

// recovered follows stalled once the disk has answered. By now there is another
// leader, which the library learns of, or there could be none, and it leads on.
func (r *Replica) recovered() {
	if r.store.dead() {
		return
	}
	r.mute.set(false)
	r.roles.resume(r.raft.State(), r.raft.CurrentTerm())
}

// died follows the first error of the log: this replica has come to its end. It
// falls silent for good, and the library waits in its next write of term or
// vote until Close (it would panic on an error).
func (r *Replica) died(err error) {
	r.cfg.Logger.Error("the log is dead; this replica is silent from now on", "err", err)
	r.mute.set(true)
	r.roles.retire()
	r.abandon()
}

// abandon ends the calls of those who wait for entries of a lead given up.
func (r *Replica) abandon() {
	r.proposer.FailInFlight(errLeadGivenUp)
	r.poke()
}
