package hashiraft

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/consensus"
)

func TestTransferUnderLoad(t *testing.T) {
	for _, named := range []bool{true, false} {
		t.Run(fmt.Sprintf("named %v", named), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3, nil)
				for _, d := range w.disks {
					d.StallSyncs(time.Millisecond)
				}
				old := w.leader()
				var writers sync.WaitGroup
				outcomes := map[consensus.Outcome]int{}
				var mu sync.Mutex
				for i := range 50 {
					writers.Go(func() {
						time.Sleep(time.Duration(i) * 300 * time.Microsecond)
						_, err := old.Propose(t.Context(), fmt.Appendf(nil, "c%d", i))
						mu.Lock()
						defer mu.Unlock()
						outcomes[consensus.OutcomeOf(err)]++
					})
				}
				time.Sleep(5 * time.Millisecond)
				var to consensus.NodeID
				if named {
					to = old.cfg.Self%3 + 1
				}
				if err := old.Transfer(t.Context(), to); err != nil {
					t.Fatal(err)
				}
				leader, _ := old.roles.known()
				if leader == old.cfg.Self || leader == 0 || named && leader != to {
					t.Errorf("node %d leads after a transfer to %d", leader, to)
				}
				writers.Wait()
				if outcomes[consensus.OK] == 0 || outcomes[consensus.Fail] == 0 || outcomes[consensus.Unknown] > old.cfg.Limits.Window {
					t.Errorf("outcomes %v", outcomes)
				}
				w.propose(w.leader(), "after")
			})
		})
	}
}

func TestTransferIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		leader := w.leader()
		var notLeader *consensus.NotLeaderError
		follower := w.replicas[leader.cfg.Self%3]
		if err := follower.Transfer(t.Context(), 0); !errors.As(err, &notLeader) || notLeader.Hint != leader.cfg.Self {
			t.Errorf("a follower: %v", err)
		}
		for _, to := range []consensus.NodeID{leader.cfg.Self, 9} {
			if err := leader.Transfer(t.Context(), to); !errors.Is(err, consensus.ErrRefused) {
				t.Errorf("to node %d: %v", to, err)
			}
		}
		w.propose(leader, "after")
	})
}

// A transfer to one that does not answer fails, and the leader serves again
// within two election timeouts or so, not after the library's own ten.
func TestTransferToOneThatIsCutOff(t *testing.T) {
	for _, idle := range []bool{true, false} {
		t.Run(fmt.Sprintf("idle %v", idle), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3, nil)
				leader := w.leader()
				away := w.replicas[leader.cfg.Self%3]
				w.isolate(away)
				if !idle {
					w.propose(leader, "while it is away")
				}
				begun := time.Now()
				if err := leader.Transfer(t.Context(), away.cfg.Self); err == nil || consensus.OutcomeOf(err) == consensus.OK {
					t.Fatal("a transfer to a replica that nobody reaches succeeded")
				}
				w.propose(leader, "after")
				if d, most := time.Since(begun), 3*leader.cfg.Limits.ElectionTimeout(); d > most {
					t.Errorf("the leader served again after %v; at most %v is allowed", d, most)
				}
				// The best one is not the one that is away.
				if err := leader.Transfer(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				if now, _ := leader.roles.known(); now == away.cfg.Self || now == leader.cfg.Self {
					t.Errorf("node %d leads", now)
				}
			})
		})
	}
}
