package sim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Result is what a worker says of one seed.
type Result struct {
	Seed  uint64
	Trace uint64
	Counts
	Violation *Violation `json:",omitempty"`
	Stall     string     `json:",omitempty"`
}

// Failed reports whether the seed shows a bug.
func (r *Result) Failed() bool { return r.Violation != nil || r.Stall != "" }

// patience is how long a worker lets one seed take: a thousand times the usual.
// One that takes longer spins without letting virtual time pass, and the worker's
// stack, which the panic prints, says where.
const patience = 2 * time.Minute

// Work is a worker: it reads lines "first count" and answers each seed with a
// line of JSON, until its input ends.
func Work(b Backend, o Options, in io.Reader, out io.Writer) error {
	// A world is small and short: what it leaves behind is best left lying longer.
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var first, count uint64
		if _, err := fmt.Sscan(lines.Text(), &first, &count); err != nil {
			return fmt.Errorf("sim: order %q: %w", lines.Text(), err)
		}
		for seed := first; seed < first+count; seed++ {
			watchdog := time.AfterFunc(patience, func() { panic(fmt.Sprintf("sim: %s seed %d does not end", b, seed)) })
			r := Run(b, seed, o)
			watchdog.Stop()
			if err := enc.Encode(Result{seed, r.Trace, r.Counts, r.Violation, r.Stall}); err != nil {
				return err
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return lines.Err()
}

// Search runs many seeds in worker processes, because worlds of one process must
// take turns.
type Search struct {
	First, Seeds uint64
	Workers      int
	// Worker makes the command of a worker, which must call Work.
	Worker func(context.Context) *exec.Cmd
	// Each is called for every seed, in the order of the seeds.
	Each func(*Result)
}

// chunk is how many seeds a worker gets at a time.
const chunk = 8

// Run returns when all seeds are done, a worker fails, or ctx ends; seeds that
// had been reported until then stand.
func (s *Search) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu   sync.Mutex
		next = s.First
		wg   sync.WaitGroup
		done = make(chan []Result)
	)
	take := func() (first, count uint64) {
		mu.Lock()
		defer mu.Unlock()
		first = next
		count = min(chunk, s.First+s.Seeds-next)
		next += count
		return first, count
	}
	for range s.Workers {
		wg.Go(func() {
			if err := s.worker(ctx, take, done); err != nil {
				cancel(err)
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	s.merge(done)
	return context.Cause(ctx)
}

// merge hands the results on in the order of their seeds.
func (s *Search) merge(done <-chan []Result) {
	waiting := map[uint64][]Result{}
	at := s.First
	for rs := range done {
		waiting[rs[0].Seed] = rs
		for rs := waiting[at]; rs != nil; rs = waiting[at] {
			delete(waiting, at)
			for i := range rs {
				s.Each(&rs[i])
			}
			at += uint64(len(rs))
		}
	}
}

// worker runs one process until there are no seeds left.
func (s *Search) worker(ctx context.Context, take func() (first, count uint64), done chan<- []Result) error {
	cmd := s.Worker(ctx)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = feed(ctx, in, json.NewDecoder(out), take, done)
	err = errors.Join(err, in.Close(), cmd.Wait())
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("sim: worker: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

func feed(ctx context.Context, in io.Writer, out *json.Decoder, take func() (first, count uint64), done chan<- []Result) error {
	for ctx.Err() == nil {
		first, count := take()
		if count == 0 {
			return nil
		}
		if _, err := fmt.Fprintln(in, first, count); err != nil {
			return err
		}
		rs := make([]Result, count)
		for i := range rs {
			if err := out.Decode(&rs[i]); err != nil {
				return fmt.Errorf("seed %d: %w", first+uint64(i), err)
			}
			if rs[i].Seed != first+uint64(i) {
				return fmt.Errorf("seed %d answered as %d", first+uint64(i), rs[i].Seed)
			}
		}
		done <- rs
	}
	return nil
}
