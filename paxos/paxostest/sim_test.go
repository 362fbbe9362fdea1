package paxostest

import (
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestSeeds runs GFSLAB_SEEDS seeds (200) from GFSLAB_FROM (1) on, and prints
// totals. None may break an invariant or stall, and nothing that matters may
// have stayed untried.
func TestSeeds(t *testing.T) {
	count, from := env(t, "GFSLAB_SEEDS", 200), env(t, "GFSLAB_FROM", 1)
	start := time.Now()
	reports := make([]Report, count)
	var wg sync.WaitGroup
	for worker := range 2 {
		wg.Go(func() {
			for i := worker; i < count; i += 2 {
				reports[i] = Run(uint64(from+i), Options{})
			}
		})
	}
	wg.Wait()
	total := Report{}
	failed := 0
	for i := range reports {
		r := &reports[i]
		if r.Failed() {
			if failed++; failed <= 5 {
				t.Errorf("%v", r)
			}
			continue
		}
		if r.Ticks < 1500 || r.Proposals < 200 || r.Crashes < 2 || r.Partitions < 1 {
			t.Errorf("%v: too little was tried (%d crashes, %d partitions)", r, r.Crashes, r.Partitions)
		}
		total.Add(r)
	}
	took := time.Since(start)
	t.Logf("%d seeds from %d in %v (%.0f/s), %d failed", count, from, took.Round(time.Millisecond), float64(count)/took.Seconds(), failed)
	t.Logf("ticks %d, proposals %d, acknowledged %d, reads %d (+%d refused), crashes %d, partitions %d", total.Ticks, total.Proposals,
		total.Acknowledged, total.ReadsConfirmed, total.ReadsRefused, total.Crashes, total.Partitions)
	t.Logf("elections %d, leader changes %d, gaps filled %d, values adopted %d, catch-ups %d, rejections %d", total.Elections,
		total.LeaderChanges, total.GapsFilled, total.ValuesAdopted, total.CatchUps, total.Rejections)
	t.Logf("snapshots %d, installed %d, changes of members %d, transfers %d, lease reads %d, sieges %d", total.Snapshots, total.Installs, total.Changes, total.Transfers, total.LeaseReads, total.Sieges)
	for name, n := range map[string]uint64{"elections": total.Elections, "gaps filled": total.GapsFilled, "values adopted": total.ValuesAdopted,
		"crashes": uint64(total.Crashes), "catch-ups": total.CatchUps, "reads": uint64(total.ReadsConfirmed), "partitions": uint64(total.Partitions),
		"installs": total.Installs, "changes": uint64(total.Changes), "transfers": uint64(total.Transfers), "lease reads": total.LeaseReads} {
		if n == 0 && failed == 0 {
			t.Errorf("no %s in %d seeds: the simulation does not reach them", name, count)
		}
	}
}

// TestFoundSeeds runs again what failed once.
func TestFoundSeeds(t *testing.T) {
	for seed, what := range map[uint64]string{
		11244:   "a candidate waits for ever for a snapshot whose owner is gone",
		2012451: "a newcomer does not answer the leader that is being left, which needs its promise",
		2018732: "candidates whose promises take longer than a timeout outbid each other for ever",
		1011998: "a node fetches what its round's leader got chosen before it hears of that leader, and acknowledges it then",
	} {
		if r := Run(seed, Options{}); r.Failed() {
			t.Errorf("%v\nonce: %s", &r, what)
		}
	}
}

// TestSameSeedSameTrace: a seed replays bit for bit.
func TestSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		a, b := Run(seed, Options{}), Run(seed, Options{})
		if a.Trace != b.Trace || a.Ticks != b.Ticks {
			t.Errorf("seed %d: traces %x and %x", seed, a.Trace, b.Trace)
		}
	}
	if a, b := Run(1, Options{}), Run(2, Options{}); a.Trace == b.Trace {
		t.Errorf("seeds 1 and 2 give the same trace %x", a.Trace)
	}
}

func env(t *testing.T, name string, otherwise int) int {
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q; it must be a number from 1 on", name, s)
	}
	return n
}
