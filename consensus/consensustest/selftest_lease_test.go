package consensustest

import (
	"context"
	"sync"
	"testing"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/engine"
)

// leasedReads has a leader answer reads for two thirds of an election timeout after
// each that a quorum confirmed; its voters listen to nobody else for a whole one, unless
// it hands over the lead. From then on a right one asks again.
func leasedReads(right bool) func(Backend) Backend {
	return wrapReplica(func(cfg consensus.Config, r consensus.Replica) consensus.Replica {
		c := &complete{Replica: r.(*engine.Replica), founders: consensus.Founders(cfg.Peers)}
		var mu sync.Mutex
		var confirmed time.Time
		var given, term uint64 // the term of the lead that was given away, of the lease
		c.read = func(ctx context.Context) (uint64, error) {
			now, s := time.Now(), c.Status()
			mu.Lock()
			leased := now.Sub(confirmed) < cfg.Limits.ElectionTimeout()*2/3 && s.Term == term && s.Term != given
			mu.Unlock()
			if leased && s.Role == consensus.Leader {
				return s.Applied, nil
			}
			index, err := c.Replica.ReadBarrier(ctx)
			if err == nil {
				mu.Lock()
				confirmed, term = now, s.Term
				mu.Unlock()
			}
			return index, err
		}
		c.transfer = func(ctx context.Context, to consensus.NodeID) error {
			if right {
				mu.Lock()
				given = c.Status().Term
				mu.Unlock()
			}
			return c.Replica.Transfer(ctx, to)
		}
		return c
	})
}

// TestALeaseThatEndsWithItsLeadIsClean: the twin of the planted lease passes.
func TestALeaseThatEndsWithItsLeadIsClean(t *testing.T) {
	for _, sc := range scenarios() {
		if sc.name == "read-lease-transfer" {
			if found := findingsOf(t, leasedReads(true)(newComplete()), sc); len(found) != 0 {
				t.Errorf("%q", found)
			}
		}
	}
}
