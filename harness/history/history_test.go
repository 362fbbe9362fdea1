package history

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"gfslab/results/rundir"
)

// ticker is a clock that moves by one at each reading.
func ticker() func() int64 {
	var n atomic.Int64
	return func() int64 { return n.Add(1) }
}

func TestLifeOfOperations(t *testing.T) {
	r := New(2, "x-", ticker())
	a := r.Invoke(0, rundir.Op{Kind: rundir.KindCreate, Path: "/a", Phase: rundir.PhaseRun}, -5)
	b := r.Invoke(1, rundir.Op{Kind: rundir.KindStat, Path: "/a"}, 2)
	r.Update(0, a, func(op *rundir.Op) { op.Seq = 9 })
	r.Attempt(0, a, rundir.Attempt{Node: "m1", Start: 1, End: 2, Error: "not leader"})
	r.Attempt(0, a, rundir.Attempt{Node: "m2", Start: 2, End: 3})
	r.Complete(0, a, rundir.OutcomeOK, &rundir.Reply{Code: "OK", Index: 4}, nil)
	r.Attempt(0, a, rundir.Attempt{Node: "m3"}) // too late: not recorded
	if r.Open() != 1 {
		t.Errorf("%d open operations, want 1", r.Open())
	}
	before := r.Client(1)
	r.Complete(1, b, rundir.OutcomeUnknown, nil, errors.New("deadline"))
	if after := r.Client(1); after == before {
		t.Errorf("client id is still %s after an unknown outcome", after)
	}
	c := r.Invoke(1, rundir.Op{Kind: rundir.KindStat, Path: "/a"}, 5)
	r.Complete(1, c, rundir.OutcomeFail, nil, errors.New("refused"))

	ops := r.Ops()
	if len(ops) != 3 || ops[0].ID != a || ops[1].ID != b || ops[2].ID != c {
		t.Fatalf("operations out of order: %+v", ops)
	}
	if op := ops[0]; op.Client != "x-c0.0" || op.Seq != 9 || op.Due != -5 || op.Start != 1 || op.End != 3 || len(op.Attempts) != 2 || op.Reply.Index != 4 {
		t.Errorf("first: %+v", op)
	}
	if op := ops[1]; op.End != -1 || op.Outcome != rundir.OutcomeUnknown || op.Error != "deadline" || op.Client != "x-c1.0" {
		t.Errorf("unknown: %+v", op)
	}
	if op := ops[2]; op.End < op.Start || op.Outcome != rundir.OutcomeFail || op.Client != "x-c1.1" {
		t.Errorf("failed: %+v", op)
	}
}

func TestMisuseIsRefused(t *testing.T) {
	r := New(1, "", ticker())
	id := r.Invoke(0, rundir.Op{Kind: rundir.KindStat}, 0)
	for name, f := range map[string]func(){
		"ok without a reply": func() { New(1, "", ticker()).completeNew(rundir.OutcomeOK) },
		"no such outcome":    func() { New(1, "", ticker()).completeNew("maybe") },
		"completed twice": func() {
			r.Complete(0, id, rundir.OutcomeFail, nil, nil)
			r.Complete(0, id, rundir.OutcomeFail, nil, nil)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func (r *Recorder) completeNew(outcome string) {
	r.Complete(0, r.Invoke(0, rundir.Op{}, 0), outcome, nil, nil)
}

// TestThreads runs many threads at once; with -race it is the proof that they
// may. Ids are unique and times within a thread do not run backwards.
func TestThreads(t *testing.T) {
	const threads, each = 16, 500
	r := New(threads, "", ticker())
	var wg sync.WaitGroup
	for n := range threads {
		wg.Go(func() {
			for i := range each {
				id := r.Invoke(n, rundir.Op{Kind: rundir.KindCreate}, 0)
				outcome := []string{rundir.OutcomeOK, rundir.OutcomeFail, rundir.OutcomeUnknown}[i%3]
				r.Complete(n, id, outcome, &rundir.Reply{Code: "OK"}, nil)
				if i%100 == 0 {
					r.Ops()
				}
			}
		})
	}
	wg.Wait()
	ops := r.Ops()
	if len(ops) != threads*each {
		t.Fatalf("%d operations, want %d", len(ops), threads*each)
	}
	last := make(map[int]int64)
	clients := map[string]int{}
	for i, op := range ops {
		if op.ID != int64(i+1) {
			t.Fatalf("operation %d has id %d", i, op.ID)
		}
		if op.Start <= last[op.Thread] {
			t.Fatalf("thread %d starts at %d after %d", op.Thread, op.Start, last[op.Thread])
		}
		last[op.Thread] = max(op.Start, op.End)
		if op.Outcome == rundir.OutcomeUnknown {
			clients[op.Client]++
		}
	}
	for client, n := range clients {
		if n != 1 {
			t.Errorf("client %s has %d unknown operations; each must end its client", client, n)
		}
	}
}

func BenchmarkInvokeComplete(b *testing.B) {
	r := New(1, "", ticker())
	reply := &rundir.Reply{Code: "OK"}
	b.ReportAllocs()
	for b.Loop() {
		id := r.Invoke(0, rundir.Op{Kind: rundir.KindCreate, Path: "/a"}, 0)
		r.Complete(0, id, rundir.OutcomeOK, reply, nil)
	}
}
