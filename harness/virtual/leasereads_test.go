package virtual

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"gfslab/consensus"
	"gfslab/harness"
	"gfslab/harness/cluster"
	"gfslab/internal/node"
)

// leaseTrials names how many trials TestLeaseReads makes a backend and mode.
const leaseTrials = "GFSLAB_LEASE_TRIALS"

// TestLeaseReads restarts a follower inside the lease. What is asserted is what
// the read modes promise of our own doing: a linearizable read or one through the
// log is never stale, nor is a lease read of multipaxos or hashiraft; and the
// experiment can see a stale read, as the control shows. What etcd/raft's
// LeaseBased does is a finding.
func TestLeaseReads(t *testing.T) {
	n := 2
	if text := os.Getenv(leaseTrials); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			t.Fatalf("%s=%s: want a number from 1", leaseTrials, text)
		}
	}
	var table strings.Builder
	fmt.Fprintln(&table, "| backend | read mode | trials | void | old leader answered after the write | stale trials | stale reads | write p50 ms | old leader's last answer p50 ms |")
	fmt.Fprintln(&table, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, mode := range harness.LeaseModes() {
		for _, backend := range node.Replicated() {
			var trials []harness.LeaseTrial
			for i := range n {
				trials = append(trials, leaseTrial(t, backend, mode, uint64(1000+i)))
			}
			fmt.Fprintln(&table, judgeLeases(t, backend, mode, trials))
		}
	}
	t.Log("\n" + table.String())
}

func leaseTrial(t *testing.T, backend string, mode consensus.ReadMode, seed uint64) (trial harness.LeaseTrial) {
	var err error
	synctest.Test(t, func(t *testing.T) {
		trial, err = harness.LeaseReads(context.Background(), backend, mode, seed, cluster.VirtualWorld(seed))
	})
	if err != nil {
		t.Fatalf("%s %s seed %d: %v", backend, mode, seed, err)
	}
	return trial
}

// judgeLeases returns the trials' line of the table.
func judgeLeases(t *testing.T, backend string, mode consensus.ReadMode, trials []harness.LeaseTrial) string {
	void, late, stale, reads := 0, 0, 0, 0
	var wrote, last []float64
	for _, x := range trials {
		if x.Void != "" {
			void++
			t.Logf("%s %s seed %d is void: %s", backend, mode, x.Seed, x.Void)
			continue
		}
		if x.Late > 0 {
			late++
		}
		if x.Stale > 0 {
			stale++
		}
		reads += x.Stale
		wrote, last = append(wrote, x.WroteMS), append(last, x.LastMS)
	}
	safe := mode == consensus.ReadLinearizable || mode == consensus.ReadLog || mode == consensus.ReadLease && backend != node.EtcdRaft
	switch {
	case void == len(trials):
		t.Errorf("%s %s: every trial is void", backend, mode)
	case safe && stale > 0:
		t.Errorf("%s %s: %d of %d trials had stale reads: %+v", backend, mode, stale, len(trials), trials)
	case mode == consensus.ReadStale && stale == 0:
		t.Errorf("%s: the control shows no stale read: the experiment cannot see one", backend)
	}
	return fmt.Sprintf("| %s | %s | %d | %d | %d | %d | %d | %.0f | %.0f |", backend, mode, len(trials), void, late, stale, reads, middle(wrote), middle(last))
}

func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
