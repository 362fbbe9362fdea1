package consensustest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gfslab/consensus"
)

// TestReference: the suite accepts a correct replica.
func TestReference(t *testing.T) {
	for _, sc := range scenarios() {
		if newReference().lacks(sc) != "" {
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			p := play{backend: newReference(), world: Virtual, scenario: sc, seed: sc.seed()}
			defer p.judge(t)
			p.in(t, func(t *testing.T) { p.run(t) })
		})
	}
}

// recorder is a T that remembers what it was told instead of failing.
type recorder struct {
	mu       sync.Mutex
	findings []string
}

func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) {}
func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings = append(r.findings, fmt.Sprintf(format, args...))
}
func (r *recorder) FailNow() { runtime.Goexit() }
func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.findings) > 0
}

// findingsOf plays one scenario against a backend and returns what the suite
// found.
func findingsOf(t *testing.T, b Backend, sc scenario) []string {
	t.Helper()
	r := &recorder{}
	p := play{backend: b, world: Virtual, scenario: sc, seed: sc.seed()}
	p.in(t, func(*testing.T) {
		done := make(chan struct{})
		go func() { // FailNow leaves it by Goexit
			defer close(done)
			p.run(r)
		}()
		<-done
		// Bugs may leave calls behind, all of them bounded.
		time.Sleep(time.Minute)
	})
	p.judge(r)
	return r.findings
}

// bug is a planted fault in a wrapper around a correct backend.
type bug struct {
	name string
	// plant returns the backend with the bug in it.
	plant func(b Backend) Backend
	// caught names scenarios of which at least one must object, and says the
	// words that one of its findings must contain: caught for the right reason.
	caught []string
	says   string
}

// wrapReplica plants a bug around the replica.
func wrapReplica(wrap func(cfg consensus.Config, r consensus.Replica) consensus.Replica) func(Backend) Backend {
	return func(b Backend) Backend {
		open := b.Open
		b.Open = func(cfg consensus.Config, env Env) (consensus.Replica, error) {
			r, err := open(cfg, env)
			if err != nil {
				return nil, err
			}
			return wrap(cfg, r), nil
		}
		return b
	}
}

// wrapMachine plants a bug between the replica and its state machine.
func wrapMachine(wrap func(cfg consensus.Config) consensus.StateMachine) func(Backend) Backend {
	return func(b Backend) Backend {
		open := b.Open
		b.Open = func(cfg consensus.Config, env Env) (consensus.Replica, error) {
			cfg.StateMachine = wrap(cfg)
			return open(cfg, env)
		}
		return b
	}
}

// proposing replaces Propose, reading replaces ReadBarrier, closing Close.
type (
	proposing struct {
		consensus.Replica
		propose func(ctx context.Context, command []byte) (consensus.Result, error)
	}
	reading struct {
		consensus.Replica
		read func(ctx context.Context) (uint64, error)
	}
	applying struct {
		consensus.StateMachine
		apply func(index uint64, commands [][]byte) [][]byte
	}
)

func (p proposing) Propose(ctx context.Context, command []byte) (consensus.Result, error) {
	return p.propose(ctx, command)
}
func (r reading) ReadBarrier(ctx context.Context) (uint64, error) { return r.read(ctx) }
func (a applying) Apply(index uint64, commands [][]byte) [][]byte { return a.apply(index, commands) }

func proposeBug(propose func(cfg consensus.Config, r consensus.Replica, ctx context.Context, command []byte) (consensus.Result, error)) func(Backend) Backend {
	return wrapReplica(func(cfg consensus.Config, r consensus.Replica) consensus.Replica {
		return proposing{r, func(ctx context.Context, command []byte) (consensus.Result, error) {
			return propose(cfg, r, ctx, command)
		}}
	})
}

func readBug(read func(r consensus.Replica, ctx context.Context) (uint64, error)) func(Backend) Backend {
	return wrapReplica(func(_ consensus.Config, r consensus.Replica) consensus.Replica {
		return reading{r, func(ctx context.Context) (uint64, error) { return read(r, ctx) }}
	})
}

func applyBug(apply func(cfg consensus.Config, index uint64, commands [][]byte) [][]byte) func(Backend) Backend {
	return wrapMachine(func(cfg consensus.Config) consensus.StateMachine {
		sm := cfg.StateMachine
		return applying{sm, func(index uint64, commands [][]byte) [][]byte {
			return apply(cfg, index, commands)
		}}
	})
}

// TestSuiteCatchesBugs: each planted bug is rejected, for the right reason.
func TestSuiteCatchesBugs(t *testing.T) { catchAll(t, bugs(), newReference) }

// catchAll plants each bug in a fresh backend and plays the scenarios that must
// object.
func catchAll(t *testing.T, bugs []bug, base func() Backend) {
	all := scenarios()
	for _, b := range bugs {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			var catchers []string
			right := false
			for _, sc := range all {
				if !slices.Contains(b.caught, sc.name) {
					continue
				}
				found := findingsOf(t, b.plant(base()), sc)
				if len(found) == 0 {
					t.Errorf("scenario %s, seed %d, does not object", sc.name, sc.seed())
					continue
				}
				catchers = append(catchers, sc.name)
				for _, f := range found {
					if strings.Contains(f, b.says) {
						if !right {
							t.Logf("%s says: %s", sc.name, f)
						}
						right = true
					}
				}
				if !right {
					t.Logf("%s says: %s", sc.name, found[0])
				}
			}
			if len(catchers) != len(b.caught) {
				t.Errorf("of the scenarios %v only %v objected", b.caught, catchers)
			}
			if !right {
				t.Errorf("nobody said %q", b.says)
			}
		})
	}
}

// TestRecorderIsNeeded: the same machinery finds nothing in the correct
// replica, so that what it finds elsewhere is the bug.
func TestRecorderIsSilent(t *testing.T) {
	for _, sc := range scenarios() {
		if newReference().lacks(sc) != "" {
			continue
		}
		if found := findingsOf(t, newReference(), sc); len(found) != 0 {
			t.Errorf("%s: %q", sc.name, found)
		}
	}
}

// bugs are the planted faults.
func bugs() []bug {
	return []bug{
		{
			name: "acknowledges early, without waiting for anything",
			plant: proposeBug(func(_ consensus.Config, r consensus.Replica, ctx context.Context, command []byte) (consensus.Result, error) {
				if r.Status().Role != consensus.Leader {
					return r.Propose(ctx, command)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
					defer cancel()
					r.Propose(ctx, append([]byte(nil), command...))
				}()
				return consensus.Result{Index: r.Status().Applied, Value: make([]byte, resultBytes)}, nil
			}),
			caught: []string{"order", "isolated-leader", "majority-loss"}, says: "lost write",
		},
		{
			name: "acknowledges a write whose outcome is unknown",
			plant: proposeBug(func(_ consensus.Config, r consensus.Replica, ctx context.Context, command []byte) (consensus.Result, error) {
				res, err := r.Propose(ctx, command)
				if errors.Is(err, consensus.ErrUnknown) {
					return consensus.Result{Index: r.Status().Applied, Value: make([]byte, resultBytes)}, nil
				}
				return res, err
			}),
			caught: []string{"isolated-leader", "ambiguous"}, says: "lost write",
		},
		{
			name: "acknowledges before its own state machine has applied",
			plant: func(b Backend) Backend {
				open := b.Open
				b.Open = func(cfg consensus.Config, env Env) (consensus.Replica, error) {
					late := &lateMachine{StateMachine: cfg.StateMachine}
					cfg.StateMachine = late
					return open(cfg, env)
				}
				return b
			},
			caught: []string{"order", "stale-read"}, says: "before its own state machine had applied it",
		},
		{
			name: "serves stale reads from a leader that trusts itself",
			plant: readBug(func(r consensus.Replica, ctx context.Context) (uint64, error) {
				if s := r.Status(); s.Role == consensus.Leader {
					return s.Applied, nil
				}
				return r.ReadBarrier(ctx)
			}),
			caught: []string{"stale-read", "isolated-leader"}, says: "stale read",
		},
		{
			name: "serves reads at the applied index of any replica",
			plant: readBug(func(r consensus.Replica, ctx context.Context) (uint64, error) {
				return r.Status().Applied, nil
			}),
			caught: []string{"followers", "stale-read", "majority-loss"}, says: "stale read",
		},
		{
			name: "confirms leadership but does not wait for its state machine",
			plant: readBug(func(r consensus.Replica, ctx context.Context) (uint64, error) {
				short, cancel := context.WithTimeout(ctx, 8*time.Millisecond)
				defer cancel()
				index, err := r.ReadBarrier(short)
				if err != nil && index > 0 {
					return r.Status().Applied, nil
				}
				return index, err
			}),
			caught: []string{"stale-read-slow-machine"}, says: "stale read",
		},
		{
			name: "applies some entries twice",
			plant: applyBug(func(cfg consensus.Config, index uint64, commands [][]byte) [][]byte {
				if index%9 == 0 && cfg.Self == 2 {
					cfg.StateMachine.Apply(index, commands)
				}
				return cfg.StateMachine.Apply(index, commands)
			}),
			caught: []string{"order", "restart"}, says: "exactly once",
		},
		{
			name: "proposes again by itself when the outcome is unknown",
			plant: proposeBug(func(_ consensus.Config, r consensus.Replica, ctx context.Context, command []byte) (consensus.Result, error) {
				short, cancel := context.WithTimeout(ctx, 3*time.Millisecond)
				defer cancel()
				res, err := r.Propose(short, command)
				if errors.Is(err, consensus.ErrUnknown) && ctx.Err() == nil {
					return r.Propose(ctx, command)
				}
				return res, err
			}),
			caught: []string{"slow-machine"}, says: "exactly once",
		},
		{
			name: "calls an unknown outcome a failure",
			plant: proposeBug(func(_ consensus.Config, r consensus.Replica, ctx context.Context, command []byte) (consensus.Result, error) {
				res, err := r.Propose(ctx, command)
				if errors.Is(err, consensus.ErrUnknown) {
					err = fmt.Errorf("%w: %w", consensus.ErrDropped, context.Cause(ctx))
				}
				return res, err
			}),
			caught: []string{"isolated-leader", "ambiguous"}, says: "false failure",
		},
		{
			name: "answers ErrClosed to commands under way at Close",
			plant: proposeBug(func(_ consensus.Config, r consensus.Replica, ctx context.Context, command []byte) (consensus.Result, error) {
				res, err := r.Propose(ctx, command)
				if errors.Is(err, consensus.ErrUnknown) && ctx.Err() == nil {
					err = consensus.ErrClosed
				}
				return res, err
			}),
			caught: []string{"close-under-load"}, says: "false failure",
		},
		{
			name: "loses acknowledged writes in a crash",
			plant: func(b Backend) Backend {
				open := b.Open
				b.Open = func(cfg consensus.Config, env Env) (consensus.Replica, error) {
					r, err := open(cfg, env)
					if err != nil {
						return nil, err
					}
					return r, loseTail(r.(*reference))
				}
				return b
			},
			caught: []string{"crash-all-0", "single-crash"}, says: "lost write",
		},
		{
			name: "reorders the commands of an entry on one replica",
			plant: applyBug(func(cfg consensus.Config, index uint64, commands [][]byte) [][]byte {
				if cfg.Self != 3 || len(commands) < 2 {
					return cfg.StateMachine.Apply(index, commands)
				}
				swapped := slices.Clone(commands)
				slices.Reverse(swapped)
				results := cfg.StateMachine.Apply(index, swapped)
				slices.Reverse(results)
				return results
			}),
			caught: []string{"proposers"}, says: "agreement",
		},
		{
			name: "skips an entry on one replica",
			plant: applyBug(func(cfg consensus.Config, index uint64, commands [][]byte) [][]byte {
				if cfg.Self == 1 && index%50 == 49 {
					return make([][]byte, len(commands))
				}
				return cfg.StateMachine.Apply(index, commands)
			}),
			caught: []string{"proposers", "order"}, says: "agreement",
		},
		{
			name: "mixes up the results of an entry",
			plant: applyBug(func(cfg consensus.Config, index uint64, commands [][]byte) [][]byte {
				results := cfg.StateMachine.Apply(index, commands)
				slices.Reverse(results)
				return results
			}),
			caught: []string{"proposers"}, says: "wrong result",
		},
		{
			name: "keeps the caller's command instead of a copy",
			plant: proposeBug(func(_ consensus.Config, r consensus.Replica, ctx context.Context, command []byte) (consensus.Result, error) {
				short, cancel := context.WithTimeout(ctx, time.Millisecond)
				defer cancel()
				res, err := r.Propose(short, command)
				if errors.Is(err, consensus.ErrUnknown) && ctx.Err() == nil {
					go func() {
						ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
						defer cancel()
						r.Propose(ctx, command)
					}()
				}
				return res, err
			}),
			caught: []string{"slow-machine"}, says: "damaged",
		},
		{
			name: "ignores its caller's context",
			plant: proposeBug(func(_ consensus.Config, r consensus.Replica, _ context.Context, command []byte) (consensus.Result, error) {
				ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
				defer cancel()
				return r.Propose(ctx, command)
			}),
			caught: []string{"majority-loss", "back-pressure"}, says: "after the end of its caller's context",
		},
		{
			name: "invents errors of its own",
			plant: proposeBug(func(_ consensus.Config, r consensus.Replica, ctx context.Context, command []byte) (consensus.Result, error) {
				res, err := r.Propose(ctx, command)
				if errors.Is(err, consensus.ErrUnknown) {
					err = errors.New("something went wrong")
				}
				return res, err
			}),
			caught: []string{"isolated-leader"}, says: "none of the contract's",
		},
		{
			name: "has no bound on what waits",
			plant: func(b Backend) Backend {
				open := b.Open
				b.Open = func(cfg consensus.Config, env Env) (consensus.Replica, error) {
					cfg.Limits.QueueCommands = 1 << 20
					return open(cfg, env)
				}
				return b
			},
			caught: []string{"back-pressure"}, says: "none was dropped",
		},
		{
			name: "lets two nodes lead one term",
			plant: func(b Backend) Backend {
				open := b.Open
				b.Open = func(cfg consensus.Config, env Env) (consensus.Replica, error) {
					observe := cfg.Observe
					cfg.Observe = func(e consensus.Event) {
						e.Term = 1
						observe(e)
					}
					return open(cfg, env)
				}
				return b
			},
			caught: []string{"five-elections"}, says: "both led term",
		},
	}
}

// lateMachine answers at once and applies a little later, in order.
type lateMachine struct {
	consensus.StateMachine
	mu    sync.Mutex
	queue []func()
	busy  bool
}

func (l *lateMachine) Apply(index uint64, commands [][]byte) [][]byte {
	copies := make([][]byte, len(commands))
	results := make([][]byte, len(commands))
	for i, c := range commands {
		copies[i] = slices.Clone(c)
		results[i] = make([]byte, resultBytes)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, func() { l.StateMachine.Apply(index, copies) })
	if !l.busy {
		l.busy = true
		go l.drain()
	}
	return results
}

func (l *lateMachine) drain() {
	for {
		pause(context.Background(), 3*time.Millisecond)
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.busy = false
			l.mu.Unlock()
			return
		}
		f := l.queue[0]
		l.queue = l.queue[1:]
		l.mu.Unlock()
		f()
	}
}

// loseTail makes a reference cluster forget its newest entry when a node opens.
func loseTail(r *reference) error {
	o := r.oracle
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.log); n > 0 {
		o.log = o.log[:n-1]
		o.sealed = min(o.sealed, n-1)
	}
	return nil
}
