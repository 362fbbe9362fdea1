package hashiraft

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/consensus"
)

// current waits for a replica that leads, none of except. It commits nothing.
func (w *world) current(limit time.Duration, except ...*Replica) *Replica {
	w.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, r := range w.replicas {
			if !contains(except, r) && r.roles.current.Load() != nil {
				return r
			}
		}
	}
	w.t.Fatalf("no leader in %v", limit)
	return nil
}

// write starts a command and returns its outcome to come.
func (w *world) write(r *Replica, command string) <-chan error {
	answer := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		defer cancel()
		_, err := r.Propose(ctx, []byte(command))
		answer <- err
	}()
	return answer
}

func TestAStalledDiskLosesTheLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		old := w.leader()
		w.propose(old, "before")
		disk := w.disks[old.cfg.Self-1]
		disk.StallSyncs(20 * time.Second)
		begun := time.Now()
		open := w.write(old, "during")
		fresh := w.current(5*time.Second, old)
		t.Logf("another leads %v after the disk stalled", time.Since(begun))
		if d, most := time.Since(begun), 5*old.cfg.Limits.ElectionTimeout(); d > most {
			t.Errorf("the lead passed on after %v, at most %v is allowed", d, most)
		}
		if err := <-open; consensus.OutcomeOf(err) != consensus.Unknown {
			t.Errorf("the command that the disk held up: %v", err)
		}
		var notLeader *consensus.NotLeaderError
		if _, err := old.Propose(t.Context(), []byte("x")); !errors.As(err, &notLeader) {
			t.Errorf("a command to the stalled replica: %v", err)
		}
		if _, err := old.ReadBarrier(t.Context()); !errors.As(err, &notLeader) {
			t.Errorf("a read from the stalled replica: %v", err)
		}
		if s := old.Status(); s.Role != consensus.Follower || s.Leader == old.cfg.Self || s.Counters["stalled_resigns"] != 1 {
			t.Errorf("the stalled replica's status: %+v", s)
		}
		w.propose(fresh, "after")
		time.Sleep(time.Second)
		if !old.mute.held.Load() {
			t.Error("the replica speaks before its disk answers")
		}
		disk.StallSyncs(0) // what was held up goes on, too
		for w.journals[old.cfg.Self-1].text() != w.journals[fresh.cfg.Self-1].text() {
			time.Sleep(10 * time.Millisecond)
		}
		if old.mute.held.Load() {
			t.Error("the replica stays silent")
		}
	})
}

// Nobody else can lead: the leader takes up the lead again.
func TestAStalledDiskComesBackToNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		leader := w.leader()
		disk := w.disks[0]
		disk.StallSyncs(2 * time.Second)
		open := w.write(leader, "during")
		time.Sleep(time.Second)
		if leader.roles.current.Load() != nil {
			t.Fatal("it leads while its disk does not answer")
		}
		disk.StallSyncs(0)
		if err := <-open; consensus.OutcomeOf(err) != consensus.Unknown {
			t.Errorf("the command that the disk held up: %v", err)
		}
		w.propose(w.leader(), "after")
		if got := w.journals[0].text(); got != "during,after" {
			t.Errorf("applied %q", got)
		}
	})
}

func TestASlowDiskKeepsTheLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		leader := w.leader()
		w.disks[leader.cfg.Self-1].StallSyncs(leader.cfg.Limits.StallTimeout() * 9 / 10)
		for range 20 {
			w.propose(leader, "x")
		}
		if n := leader.stalls.Load(); n != 0 {
			t.Errorf("a disk that answers in time counted as stalled %d times", n)
		}
	})
}

// A disk that fails is one that stalls for ever; the process lives.
func TestAFailedDiskLosesTheLead(t *testing.T) {
	for name, fails := range map[string]func(w *world, r *Replica){
		"leader": func(w *world, r *Replica) { w.disks[r.cfg.Self-1].FailSyncs(errors.New("no disk")) },
		"everyone": func(w *world, r *Replica) {
			for _, d := range w.disks {
				d.FailSyncs(errors.New("no disk"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3, nil)
				old := w.leader()
				w.propose(old, "before")
				fails(w, old)
				begun := time.Now()
				if err := <-w.write(old, "during"); consensus.OutcomeOf(err) != consensus.Unknown {
					t.Errorf("the command that the disk failed: %v", err)
				}
				if name == "everyone" {
					time.Sleep(5 * time.Second) // the others campaign, and fail in turn
					for _, r := range w.replicas {
						if r.roles.current.Load() != nil {
							t.Errorf("node %d leads on a disk that failed", r.cfg.Self)
						}
					}
					return
				}
				fresh := w.current(5*time.Second, old)
				t.Logf("another leads %v after the disk failed", time.Since(begun))
				w.propose(fresh, "after")
				if got := w.journals[fresh.cfg.Self-1].text(); got != "before,after" && got != "before,during,after" {
					t.Errorf("applied %q", got)
				}
			})
		})
	}
}
