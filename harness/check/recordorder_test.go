package check

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"gfslab/results/rundir"
)

// randomRecords makes appends and reads of one chunk by some threads. Each takes
// effect at a moment of its own; then at most some replies are falsified.
func randomRecords(r *rand.Rand, n, threads, falsified int, wide int64) []*rundir.Op {
	free := make([]int64, threads)
	var offset uint64
	var ops []*rundir.Op
	for moment := int64(0); len(ops) < n; moment += 1 + r.Int64N(4) {
		thread := r.IntN(threads)
		start := max(free[thread], moment-r.Int64N(wide))
		if start > moment {
			continue
		}
		end := moment + r.Int64N(wide)
		free[thread] = end + 1
		op := &rundir.Op{ID: int64(len(ops) + 1), Thread: thread, Kind: rundir.KindAppend, Outcome: rundir.OutcomeOK, Start: start, End: end}
		op.Reply = &rundir.Reply{Code: codeOK, Handle: 1, Version: 1 + offset/20, ChunkOffset: offset}
		if offset > 0 && r.IntN(2) == 0 {
			op.Kind = rundir.KindReadRecord
			op.Reply.ChunkOffset = r.Uint64N(offset)
		} else {
			offset += 1 + r.Uint64N(3)
		}
		ops = append(ops, op)
	}
	slices.SortStableFunc(ops, func(a, b *rundir.Op) int { return cmp.Compare(a.Start, b.Start) })
	for range falsified {
		switch rep := ops[r.IntN(n)].Reply; r.IntN(3) {
		case 0:
			rep.ChunkOffset = r.Uint64N(offset + 1)
		case 1:
			rep.ChunkOffset++
		default:
			rep.Version = r.Uint64N(3)
		}
	}
	return ops
}

// What is decided without a search is what porcupine finds with one.
func TestRecordsAreDecidedAsPorcupineWould(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	p := recordPartition()
	seen := map[porcupine.CheckResult]int{}
	for range 3000 {
		history := p.porcupineOps(randomRecords(r, 1+r.IntN(14), 1+r.IntN(5), r.IntN(3), 1+r.Int64N(20)), completedAll)
		want := porcupine.CheckOperationsTimeout(p.model, history, time.Minute)
		seen[want]++
		if got := decideRecords(history); got != want {
			for _, o := range history {
				t.Logf("%d to %d: %s", o.Call, o.Return, p.model.DescribeOperation(o.Input, o.Output))
			}
			t.Fatalf("seed %d: decided %s, porcupine says %s", seed, got, want)
		}
	}
	if seen[porcupine.Ok] < 300 || seen[porcupine.Illegal] < 300 {
		t.Errorf("seed %d: %v: too few of one kind", seed, seen)
	}
}

// A chunk that everybody hangs on at once, as while the power is off, is decided,
// and one bad read in it is found.
func TestRecordsOfManyAreDecided(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, 0))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p := recordPartition()
	p.ops = randomRecords(r, 2000, 64, 0, 400)
	if v := p.verdict(ctx, p.ops, completedAll); v != porcupine.Ok {
		t.Fatalf("seed %d: %s", seed, v)
	}
	for _, op := range p.ops[500:] {
		if op.Kind == rundir.KindReadRecord {
			op.Reply.ChunkOffset = 1 << 20
			break
		}
	}
	if v := p.verdict(ctx, p.ops, completedAll); v != porcupine.Illegal {
		t.Errorf("seed %d: a read of what was never appended is %s", seed, v)
	}
	if op, _ := p.firstBad(ctx); op == nil || op.Reply.ChunkOffset != 1<<20 {
		t.Errorf("seed %d: the first bad operation is %+v", seed, op)
	}
}
