package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gfslab/consensus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func limits(change func(*consensus.Limits)) consensus.Limits {
	l := consensus.Matched2()
	if change != nil {
		change(&l)
	}
	return l
}

// propose starts n calls and returns their outcomes once all have ended.
func propose(ctx context.Context, p *Proposer, n int) func() ([]consensus.Result, []error) {
	results, errs := make([]consensus.Result, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { results[i], errs[i] = p.Propose(ctx, fmt.Appendf(nil, "command-%d", i)) })
		synctest.Wait() // so that the queue holds them in the order of i
	}
	return func() ([]consensus.Result, []error) { wg.Wait(); return results, errs }
}

func decode(t *testing.T, b Batch) *Decoded {
	t.Helper()
	var d Decoded
	if err := Decode(b.Data, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

func echo(d *Decoded) [][]byte {
	var results [][]byte
	for _, c := range d.Commands {
		results = append(results, append([]byte("done "), c...))
	}
	return results
}

func TestEachCallerGetsItsOwnResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{Node: 1, Nonce: 7, Limits: limits(func(l *consensus.Limits) { l.BatchEntries = 3 })})
		wait := propose(t.Context(), p, 8)
		var sizes []int
		for index := uint64(10); ; index++ {
			b, ok := p.Cut()
			if !ok {
				break
			}
			sizes = append(sizes, b.Commands)
			d := decode(t, b)
			p.Complete(index, &Decoded{Origin: Origin{2, 7, b.Seq}}, nil) // another node's
			p.Complete(index, &Decoded{Origin: Origin{1, 6, b.Seq}}, nil) // an earlier incarnation's
			p.Complete(index, d, echo(d))
			p.Complete(index+100, d, echo(d)) // nobody waits any more
		}
		results, errs := wait()
		if fmt.Sprint(sizes) != "[3 3 2]" {
			t.Fatalf("batches of %v, want [3 3 2]", sizes)
		}
		for i, r := range results {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			want := consensus.Result{Index: uint64(10 + i/3), Offset: i % 3}
			if r.Index != want.Index || r.Offset != want.Offset || string(r.Value) != fmt.Sprintf("done command-%d", i) {
				t.Fatalf("caller %d got %d.%d %q", i, r.Index, r.Offset, r.Value)
			}
		}
		if p.Waiting() != 0 || p.InFlight() != 0 {
			t.Fatalf("%d waiting and %d in flight remain", p.Waiting(), p.InFlight())
		}
	})
}

func TestBatchBytesBoundABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{Node: 1, Limits: limits(func(l *consensus.Limits) { l.BatchBytes = 20; l.MaxCommandBytes = 50 })})
		if _, err := p.Propose(t.Context(), make([]byte, 51)); !errors.Is(err, consensus.ErrDropped) {
			t.Fatalf("a command above the limit: got %v, want ErrDropped", err)
		}
		wait := propose(t.Context(), p, 3) // 9 bytes each
		for _, want := range []int{2, 1} {
			if b, _ := p.Cut(); b.Commands != want {
				t.Fatalf("got a batch of %d, want %d", b.Commands, want)
			}
		}
		p.FailInFlight(consensus.ErrUnknown)
		wait()
	})
}

func TestOutcomesOfCallersThatLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{Node: 1, Limits: limits(nil)})
		cut, cancelCut := context.WithTimeout(t.Context(), time.Second)
		defer cancelCut()
		inBatch := propose(cut, p, 2)
		b, _ := p.Cut()
		late, cancelLate := context.WithTimeout(t.Context(), time.Second)
		defer cancelLate()
		inQueue := propose(late, p, 2)
		time.Sleep(2 * time.Second)
		for name, got := range map[string]struct {
			wait func() ([]consensus.Result, []error)
			want error
		}{"in a batch": {inBatch, consensus.ErrUnknown}, "in the queue": {inQueue, consensus.ErrDropped}} {
			_, errs := got.wait()
			for _, err := range errs {
				if !errors.Is(err, got.want) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: got %v, want %v and the deadline", name, err, got.want)
				}
			}
		}
		d := decode(t, b)
		p.Complete(1, d, echo(d)) // recycles the abandoned ones
		if _, ok := p.Cut(); ok {
			t.Error("withdrawn commands were cut into a batch")
		}
		if p.Waiting() != 0 || p.InFlight() != 0 {
			t.Errorf("%d waiting and %d in flight remain", p.Waiting(), p.InFlight())
		}
	})
}

func TestCloseTellsQueuedFromCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{Node: 1, Limits: limits(func(l *consensus.Limits) { l.BatchEntries, l.QueueCommands = 2, 3 })})
		wait := propose(t.Context(), p, 9) // 3 in the queue, 6 wait for room
		p.Cut()
		p.Close()
		_, errs := wait()
		for i, err := range errs {
			want := consensus.ErrClosed
			if i < 2 {
				want = consensus.ErrUnknown
			}
			if !errors.Is(err, want) {
				t.Errorf("caller %d got %v, want %v", i, err, want)
			}
		}
		if _, err := p.Propose(t.Context(), []byte("x")); !errors.Is(err, consensus.ErrClosed) {
			t.Errorf("after Close: got %v, want ErrClosed", err)
		}
	})
}

// TestNothingReadsACommandAfterPropose is for the race detector: callers
// overwrite their command as soon as Propose returns.
func TestNothingReadsACommandAfterPropose(t *testing.T) {
	p := New(Options{Node: 1, Limits: limits(nil)})
	stop := make(chan struct{})
	var cutter, callers sync.WaitGroup
	cutter.Go(func() {
		for index := uint64(1); ; index++ {
			if b, ok := p.Cut(); ok {
				d := decode(t, b)
				p.Complete(index, d, echo(d))
				continue
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 4 {
		callers.Go(func() {
			command := make([]byte, 64)
			for i := range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*10*time.Microsecond)
				_, _ = p.Propose(ctx, command)
				cancel()
				clear(command)
			}
		})
	}
	callers.Wait()
	close(stop)
	cutter.Wait()
}

func BenchmarkProposeCutComplete(b *testing.B) {
	wake := make(chan struct{}, 1)
	p := New(Options{Node: 1, Limits: limits(nil), Notify: func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		var d Decoded
		results := make([][]byte, consensus.Matched2().BatchEntries)
		for index := uint64(1); ; {
			if batch, ok := p.Cut(); ok {
				if err := Decode(batch.Data, &d); err != nil {
					panic(err)
				}
				p.Complete(index, &d, results)
				index++
				continue
			}
			if _, ok := <-wake; !ok {
				return
			}
		}
	}()
	b.ReportAllocs()
	b.SetParallelism(128)
	command := make([]byte, 100)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := p.Propose(context.Background(), command); err != nil {
				b.Error(err)
			}
		}
	})
	close(wake)
	<-done
}
