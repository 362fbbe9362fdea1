package consensustest

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/etcdraft"
	"gfslab/consensus/storage"
	"gfslab/internal/disk"
)

// newComplete returns a real backend with every capability, for bugs in what the
// reference does not have.
func newComplete() Backend { return completeOver(func(f engine.Factory) engine.Factory { return f }) }

func completeOver(wrap func(engine.Factory) engine.Factory) Backend {
	return Backend{Name: "etcdraft", Open: func(cfg consensus.Config, env Env) (consensus.Replica, error) {
		if cfg.Limits.ReadMode == consensus.ReadLease {
			cfg.Limits.ReadMode = consensus.ReadLinearizable // its leases are no model of correctness
		}
		r, err := engine.Open(cfg, engine.Deps{FS: env.FS, Dir: env.Dir, Network: env.Network, Listener: env.Listener},
			engine.Protocol{Name: "etcdraft", Contiguous: true, Open: wrap(etcdraft.NewCore)})
		if err != nil {
			return nil, err
		}
		return r, nil
	}}
}

// complete is a replica with every capability; what is set takes the place of
// its own method.
type complete struct {
	*engine.Replica
	founders consensus.Members
	read     func(ctx context.Context) (uint64, error)
	stale    func(ctx context.Context, atLeast uint64) (uint64, error)
	members  func() consensus.Members
	change   func(ctx context.Context, c consensus.Change) (consensus.Members, error)
	transfer func(ctx context.Context, to consensus.NodeID) error
	snapshot func(ctx context.Context) (consensus.SnapshotInfo, error)
}

func (c *complete) ReadBarrier(ctx context.Context) (uint64, error) {
	if c.read != nil {
		return c.read(ctx)
	}
	return c.Replica.ReadBarrier(ctx)
}

func (c *complete) ReadStale(ctx context.Context, atLeast uint64) (uint64, error) {
	if c.stale != nil {
		return c.stale(ctx, atLeast)
	}
	return c.Replica.ReadStale(ctx, atLeast)
}

func (c *complete) Members() consensus.Members {
	if c.members != nil {
		return c.members()
	}
	return c.Replica.Members()
}

func (c *complete) ChangeMembers(ctx context.Context, ch consensus.Change) (consensus.Members, error) {
	if c.change != nil {
		return c.change(ctx, ch)
	}
	return c.Replica.ChangeMembers(ctx, ch)
}

func (c *complete) Transfer(ctx context.Context, to consensus.NodeID) error {
	if c.transfer != nil {
		return c.transfer(ctx, to)
	}
	return c.Replica.Transfer(ctx, to)
}

func (c *complete) SnapshotNow(ctx context.Context) (consensus.SnapshotInfo, error) {
	if c.snapshot != nil {
		return c.snapshot(ctx)
	}
	return c.Replica.SnapshotNow(ctx)
}

// completeBug plants a bug by replacing methods.
func completeBug(spoil func(c *complete)) func(Backend) Backend {
	return wrapReplica(func(cfg consensus.Config, r consensus.Replica) consensus.Replica {
		c := &complete{Replica: r.(*engine.Replica), founders: consensus.Founders(cfg.Peers)}
		spoil(c)
		return c
	})
}

// observeBug changes or, returning false, hides events.
func observeBug(spoil func(e *consensus.Event) bool) func(Backend) Backend {
	return openBug(func(cfg *consensus.Config, _ *Env) {
		observe := cfg.Observe
		cfg.Observe = func(e consensus.Event) {
			if spoil(&e) {
				observe(e)
			}
		}
	})
}

// openBug changes what a replica is opened with.
func openBug(spoil func(cfg *consensus.Config, env *Env)) func(Backend) Backend {
	return func(b Backend) Backend {
		open := b.Open
		b.Open = func(cfg consensus.Config, env Env) (consensus.Replica, error) {
			spoil(&cfg, &env)
			return open(cfg, env)
		}
		return b
	}
}

func limitsBug(spoil func(l *consensus.Limits)) func(Backend) Backend {
	return openBug(func(cfg *consensus.Config, _ *Env) { spoil(&cfg.Limits) })
}

// TestSuiteCatchesBugsOfCompleteBackends: each planted bug is rejected, for the
// right reason.
func TestSuiteCatchesBugsOfCompleteBackends(t *testing.T) { catchAll(t, completeBugs(), newComplete) }

// TestCompleteBackendIsClean: the same backend without a bug passes the scenarios
// that catch bugs in it.
func TestCompleteBackendIsClean(t *testing.T) {
	catchers := map[string]bool{}
	for _, b := range completeBugs() {
		for _, name := range b.caught {
			catchers[name] = true
		}
	}
	for _, sc := range scenarios() {
		if catchers[sc.name] {
			if found := findingsOf(t, newComplete(), sc); len(found) != 0 {
				t.Errorf("%s: %q", sc.name, found)
			}
		}
	}
}

func completeBugs() []bug {
	return slices.Concat(snapshotBugs(), memberBugs(), readBugs(), leadBugs())
}

func snapshotBugs() []bug {
	return []bug{
		{
			name: "installs a snapshot and restores nothing",
			plant: wrapMachine(func(cfg consensus.Config) consensus.StateMachine {
				return forgetful{cfg.StateMachine}
			}),
			caught: []string{"snapshot-now-all", "laggard"}, says: "agreement",
		},
		{
			name: "writes the state of a later moment into a snapshot",
			plant: wrapMachine(func(cfg consensus.Config) consensus.StateMachine {
				return lateSnapshot{cfg.StateMachine.(*machine)}
			}),
			caught: []string{"snapshot-every", "snapshot-now-all", "laggard"}, says: "indexes must rise",
		},
		{
			name: "claims snapshots that it does not make",
			plant: completeBug(func(c *complete) {
				c.snapshot = func(context.Context) (consensus.SnapshotInfo, error) {
					return consensus.SnapshotInfo{Index: c.Status().Applied, Bytes: 100}, nil
				}
			}),
			caught: []string{"snapshot-now"}, says: "and says: snapshot at 0",
		},
		{
			name: "begins anew when its snapshot is damaged",
			plant: func(b Backend) Backend {
				open := b.Open
				b.Open = func(cfg consensus.Config, env Env) (consensus.Replica, error) {
					r, err := open(cfg, env)
					if errors.Is(err, storage.ErrCorrupt) {
						env.Dir = "another"
						return open(cfg, env)
					}
					return r, err
				}
				return b
			},
			caught: []string{"snapshot-damaged"}, says: "the replica opened",
		},
		{
			name:  "never takes a snapshot",
			plant: limitsBug(func(l *consensus.Limits) { l.SnapshotEvery = 0 }), caught: []string{"snapshot-every"},
			says: "every node to cut its log",
		},
		{
			name:   "keeps quiet about a state that was replaced",
			plant:  observeBug(func(e *consensus.Event) bool { return e.Kind != consensus.EventRestored }),
			caught: []string{"laggard", "large-snapshot"}, says: "without a snapshot",
		},
	}
}

// forgetful reads images and forgets them.
type forgetful struct{ consensus.StateMachine }

func (forgetful) Restore(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func memberBugs() []bug {
	return []bug{
		{
			name:   "knows its founders only",
			plant:  completeBug(func(c *complete) { c.members = func() consensus.Members { return c.founders } }),
			caught: []string{"add-voter", "replace-voter"}, says: "and is in",
		},
		{
			name: "announces another configuration than the others",
			plant: observeBug(func(e *consensus.Event) bool {
				if e.Kind == consensus.EventMembers && e.Node == 2 {
					m := *e.Members
					m.Voters = m.Voters[1:]
					e.Members = &m
				}
				return true
			}),
			caught: []string{"add-voter"}, says: "membership: at index",
		},
		{
			name: "calls a change done that it has only begun",
			plant: completeBug(func(c *complete) {
				c.change = func(ctx context.Context, ch consensus.Change) (consensus.Members, error) {
					short, cancel := context.WithTimeout(ctx, time.Millisecond)
					defer cancel()
					m, err := c.Replica.ChangeMembers(short, ch)
					if errors.Is(err, consensus.ErrUnknown) {
						return c.Replica.Members().Apply(ch)
					}
					return m, err
				}
			}),
			caught: []string{"change-cut"}, says: "isolated, changed the members",
		},
		{
			name: "waves through what makes no sense",
			plant: completeBug(func(c *complete) {
				c.change = func(ctx context.Context, ch consensus.Change) (consensus.Members, error) {
					m, err := c.Replica.ChangeMembers(ctx, ch)
					if errors.Is(err, consensus.ErrRefused) {
						return c.Replica.Members(), nil
					}
					return m, err
				}
			}),
			caught: []string{"refused-changes"}, says: "want ErrRefused",
		},
		{
			name: "founds a cluster anew when it is told to",
			plant: openBug(func(cfg *consensus.Config, env *Env) {
				if len(cfg.Peers) == 1 {
					env.Dir = "another"
				}
			}),
			caught: []string{"lone-restart"}, says: "leads a cluster of its own",
		},
		{
			name: "lets learners vote",
			plant: completeBug(func(c *complete) {
				c.change = func(ctx context.Context, ch consensus.Change) (consensus.Members, error) {
					ch.AddVoters, ch.AddLearners = append(ch.AddVoters, ch.AddLearners...), nil
					return c.Replica.ChangeMembers(ctx, ch)
				}
			}),
			caught: []string{"learner"}, says: "to the change",
		},
		{
			name: "removes nobody, and lets who returns depose the leader",
			plant: func(b Backend) Backend {
				b = limitsBug(func(l *consensus.Limits) { l.PreVote, l.CheckQuorum = false, false })(b)
				return completeBug(func(c *complete) {
					c.change = func(_ context.Context, ch consensus.Change) (consensus.Members, error) {
						m, err := c.Replica.Members().Apply(ch)
						c.members = func() consensus.Members { return m }
						return m, err
					}
				})(b)
			},
			caught: []string{"removed-returns"}, says: "the return of a removed node",
		},
	}
}

func readBugs() []bug {
	return []bug{
		{
			name: "asks the others for each reader alone",
			plant: completeBug(func(c *complete) {
				turn := make(chan struct{}, 1)
				c.read = func(ctx context.Context) (uint64, error) {
					turn <- struct{}{}
					defer func() { <-turn }()
					return c.Replica.ReadBarrier(ctx)
				}
			}),
			caught: []string{"read-batches", "read-log-batches"}, says: "64 at a time, took",
		},
		{
			name: "holds its lease for too long",
			plant: completeBug(func(c *complete) {
				var mu sync.Mutex
				var confirmed time.Time
				c.read = func(ctx context.Context) (uint64, error) {
					now := time.Now()
					mu.Lock()
					leased := now.Sub(confirmed) < time.Second
					mu.Unlock()
					if s := c.Status(); leased && s.Role == consensus.Leader {
						return s.Applied, nil
					}
					index, err := c.Replica.ReadBarrier(ctx)
					if err == nil {
						mu.Lock()
						confirmed = now
						mu.Unlock()
					}
					return index, err
				}
			}),
			caught: []string{"read-lease", "read-lease-restart"}, says: "stale read",
		},
		{
			name:  "keeps its lease when it hands over the lead",
			plant: leasedReads(false), caught: []string{"read-lease-transfer"}, says: "stale read",
		},
		{
			name: "does not wait for what its reader has seen",
			plant: completeBug(func(c *complete) {
				c.stale = func(_ context.Context, atLeast uint64) (uint64, error) {
					return max(atLeast, c.Status().Applied), nil
				}
			}),
			caught: []string{"read-stale", "read-stale-laggard"}, says: "session order",
		},
		{
			name: "serves stale reads on the leader only",
			plant: completeBug(func(c *complete) {
				c.stale = func(ctx context.Context, atLeast uint64) (uint64, error) {
					if s := c.Status(); s.Role != consensus.Leader {
						return 0, &consensus.NotLeaderError{Hint: s.Leader}
					}
					return c.Replica.ReadStale(ctx, atLeast)
				}
			}),
			caught: []string{"read-stale"}, says: "refuses a stale read",
		},
	}
}

func leadBugs() []bug {
	return []bug{
		{
			name: "says that it has handed over the lead, and has not",
			plant: completeBug(func(c *complete) {
				c.transfer = func(context.Context, consensus.NodeID) error { return nil }
			}),
			caught: []string{"transfer", "transfer-load"}, says: "after a transfer",
		},
		{
			name: "hands over to whom it likes",
			plant: completeBug(func(c *complete) {
				c.transfer = func(ctx context.Context, _ consensus.NodeID) error { return c.Replica.Transfer(ctx, 0) }
			}),
			caught: []string{"transfer", "transfer-refused"}, says: "transfer to",
		},
		{
			name:   "deposes the leader when it comes back",
			plant:  limitsBug(func(l *consensus.Limits) { l.PreVote, l.CheckQuorum = false, false }),
			caught: []string{"pre-vote"}, says: "the return of a follower",
		},
		{
			name:   "leads on without a quorum",
			plant:  limitsBug(func(l *consensus.Limits) { l.CheckQuorum = false }),
			caught: []string{"check-quorum"}, says: "to lead no more",
		},
		{
			name: "clings to the lead while its disk stands still",
			plant: func(Backend) Backend {
				return completeOver(func(open engine.Factory) engine.Factory {
					return func(cfg consensus.Config, log *storage.Log, start engine.Start) (engine.Core, error) {
						core, err := open(cfg, log, start)
						return struct{ engine.Core }{core}, err
					}
				})
			},
			caught: []string{"disk-stall"}, says: "in vain for",
		},
		{
			name: "goes on when its disk fails",
			plant: openBug(func(_ *consensus.Config, env *Env) {
				env.FS = deafDisk{env.FS}
			}),
			caught: []string{"disk-failure"}, says: "in vain for",
		},
	}
}

// deafDisk hides the errors of syncs.
type deafDisk struct{ disk.FS }

type deafFile struct{ disk.File }

func (f deafFile) Sync() error     { _ = f.File.Sync(); return nil }
func (f deafFile) SyncData() error { _ = f.File.SyncData(); return nil }

func (d deafDisk) OpenReadWrite(name string, c disk.WriteCategory, opts ...vfs.OpenOption) (disk.File, error) {
	f, err := d.FS.OpenReadWrite(name, c, opts...)
	if err != nil {
		return nil, err
	}
	return deafFile{f}, nil
}
