// Package history records what the clients of a run did: every invocation and
// completion, on one clock.
//
// Latency runs from the due time, so a client that comes late because the system
// was slow does not hide it (coordinated omission). An operation with an unknown
// outcome never ends, and its thread goes on under a new client id: the old
// session may still have an operation in flight.
//
// It is not a judge (harness/check is) and sends nothing itself.
package history

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"gfslab/results/rundir"
)

// Recorder records the operations of all client threads. Its methods may be
// called from several goroutines; those about one operation by one at a time.
type Recorder struct {
	now     func() int64
	nextID  atomic.Int64
	threads []thread
}

// thread is one client thread. Each has its own lock, so that threads do not
// wait for one another.
type thread struct {
	mu    sync.Mutex
	name  string // stem of the client ids
	epoch int    // raised after an unknown outcome
	ops   []*rundir.Op
	byID  map[int64]*rundir.Op // open operations
	_     [64]byte             // threads do not share cache lines
}

// New makes a recorder for so many threads, numbered from 0. now is nanoseconds
// since the start of the run, from one monotonic clock. Client ids begin with
// prefix, which sets runs against one cell apart.
func New(threads int, prefix string, now func() int64) *Recorder {
	r := &Recorder{now: now, threads: make([]thread, threads)}
	for i := range r.threads {
		r.threads[i].name = prefix + "c" + strconv.Itoa(i)
		r.threads[i].byID = make(map[int64]*rundir.Op)
	}
	return r
}

// Client is the client id that the thread has now: a new one after each unknown
// outcome. The caller opens a new session when it changes.
func (r *Recorder) Client(thread int) string {
	t := &r.threads[thread]
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.clientLocked()
}

func (t *thread) clientLocked() string { return t.name + "." + strconv.Itoa(t.epoch) }

// Invoke records that a thread begins an operation now. op gives kind, paths and
// arguments, phase and, if known, seq; due is when it should have begun. The id
// is unique in the run, and increases with each invocation.
func (r *Recorder) Invoke(thread int, op rundir.Op, due int64) (id int64) {
	t := &r.threads[thread]
	t.mu.Lock()
	defer t.mu.Unlock()
	op.ID = r.nextID.Add(1)
	op.Thread, op.Client = thread, t.clientLocked()
	op.Due, op.End, op.Outcome = due, -1, rundir.OutcomeUnknown
	// The clock is read last before the caller goes on to send: an interval
	// that is too long only weakens the checks, one that is too short would lie.
	op.Start = r.now()
	kept := &op
	t.ops = append(t.ops, kept)
	t.byID[op.ID] = kept
	return op.ID
}

// Update lets the caller fill in what is known only while the operation runs:
// seq, handle, attempts, and for an append the crc. It does nothing for an
// operation that has completed. f must not block.
func (r *Recorder) Update(thread int, id int64, f func(op *rundir.Op)) {
	t := &r.threads[thread]
	t.mu.Lock()
	defer t.mu.Unlock()
	if op := t.byID[id]; op != nil {
		f(op)
	}
}

// Attempt records one RPC of an open operation.
func (r *Recorder) Attempt(thread int, id int64, a rundir.Attempt) {
	r.Update(thread, id, func(op *rundir.Op) { op.Attempts = append(op.Attempts, a) })
}

// Complete ends an operation now. outcome is one of rundir's; an ok operation has
// a reply. With an unknown outcome the operation stays open for ever and the
// thread's client id changes.
func (r *Recorder) Complete(thread int, id int64, outcome string, reply *rundir.Reply, err error) {
	end := r.now()
	t := &r.threads[thread]
	t.mu.Lock()
	defer t.mu.Unlock()
	op := t.byID[id]
	if op == nil {
		panic(fmt.Sprintf("history: operation %d of thread %d is not open", id, thread))
	}
	delete(t.byID, id)
	op.Outcome = outcome
	if err != nil {
		op.Error = err.Error()
	}
	switch outcome {
	case rundir.OutcomeOK:
		if reply == nil {
			panic(fmt.Sprintf("history: operation %d is ok without a reply", id))
		}
		op.End, op.Reply = end, reply
	case rundir.OutcomeFail:
		op.End = end
	case rundir.OutcomeUnknown:
		t.epoch++
	default:
		panic(fmt.Sprintf("history: operation %d: no outcome %q", id, outcome))
	}
}

// Ops returns copies of all operations in order of invocation. Those that are
// still open are unknown.
func (r *Recorder) Ops() []rundir.Op {
	var out []rundir.Op
	for i := range r.threads {
		t := &r.threads[i]
		t.mu.Lock()
		for _, op := range t.ops {
			c := *op
			c.Attempts = slices.Clone(op.Attempts)
			out = append(out, c)
		}
		t.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b rundir.Op) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

// Open is the number of operations that have neither completed nor been given up.
func (r *Recorder) Open() int {
	n := 0
	for i := range r.threads {
		t := &r.threads[i]
		t.mu.Lock()
		n += len(t.byID)
		t.mu.Unlock()
	}
	return n
}
