package master

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/api"
	"gfslab/consensus"
)

// TestChurn drives leases at random in virtual time: claims, revocations, leader
// changes, silent and refusing chunkservers, lost answers. The masters' clocks
// are as fast as rho allows and the chunkservers' as slow. Whenever a grant
// enters the log, nobody may act on an older one.
//
// GFSLAB_CHURN_SEEDS sets how many seeds are tried.
func TestChurn(t *testing.T) {
	seeds := churnSeeds(t)
	totals := make(map[string]int)
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { churn(t, uint64(seed), totals) })
		})
	}
	for _, kind := range []string{"active", "claim", "end", "elected", "inherited", "no chunkserver", "failed"} {
		if totals[kind] == 0 {
			t.Errorf("it never came to %q: %v", kind, totals)
		}
	}
	t.Logf("%d seeds: %v", seeds, totals)
}

func churnSeeds(t *testing.T) int {
	s := os.Getenv("GFSLAB_CHURN_SEEDS")
	if s == "" {
		return 10
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func churn(t *testing.T, seed uint64, totals map[string]int) {
	begin := time.Now()
	c := newCellWith(t, func(o *Options) {
		o.Seed = seed
		o.Now = func() time.Time { return begin.Add(scaled(time.Since(begin), 1+leaseRho)) }
	}, 3, "cs1", "cs2", "cs3", "cs4")
	c.slow = true
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.keepAlive(ctx) })
	defer func() {
		cancel()
		wg.Wait()
		c.stop()
	}()
	handles := []uint64{c.newChunk("/f"), c.newChunk("/g")}
	c.mu.Lock()
	c.onLease = func(e LeaseEvent) {
		if e.Kind != "active" {
			return
		}
		for name, s := range c.servers {
			if epoch := s.acting(e.Handle); epoch != 0 && epoch < e.Epoch {
				t.Errorf("seed %d at %v: chunk %d granted to %s under epoch %d while %s acts under %d", seed, time.Since(begin), e.Handle, e.Primary, e.Epoch, name, epoch)
			}
		}
	}
	c.mu.Unlock()
	var mu sync.Mutex
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		totals[what]++
	}
	end := begin.Add(20 * time.Second)
	var workers sync.WaitGroup
	for worker := range 6 {
		rng := rand.New(rand.NewPCG(seed, uint64(worker)))
		workers.Go(func() {
			for time.Now().Before(end) {
				c.churnOnce(ctx, rng, handles[rng.IntN(len(handles))], note)
				time.Sleep(time.Duration(rng.IntN(60)+1) * time.Millisecond)
			}
		})
	}
	workers.Go(func() { c.disturb(rand.New(rand.NewPCG(seed, 99)), end, note) })
	workers.Wait()
	for _, s := range c.servers {
		s.set(false, "")
	}
	for _, r := range c.group.replicas {
		r.fail(nil, nil, false)
	}
	for _, handle := range handles { // all healed: somebody answers in time
		ctx, cancel := context.WithTimeout(t.Context(), 2*leaseTerm)
		m := c.masters[c.group.replicas[0].Status().Leader-1]
		if r, err := m.FindLeaseHolder(ctx, &api.LeaseRequest{Handle: handle}); err != nil || r.Code != api.Code_OK {
			t.Errorf("seed %d: after all is healed: %v, %v", seed, r, err)
		}
		cancel()
	}
	for _, kind := range []string{"active", "claim", "end"} {
		totals[kind] += c.count(kind)
	}
}

// churnOnce makes one random call to a random master, or one claim.
func (c *fakeCell) churnOnce(ctx context.Context, rng *rand.Rand, handle uint64, note func(string)) {
	m := c.masters[rng.IntN(len(c.masters))]
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(1000)+1)*time.Millisecond)
	defer cancel()
	switch rng.IntN(10) {
	case 0:
		if _, err := m.RevokeLease(ctx, &api.LeaseRequest{Handle: handle}); err != nil {
			note("failed")
		}
	case 1, 2, 3:
		r, err := m.FindLeaseHolder(ctx, &api.LeaseRequest{Handle: handle})
		switch {
		case err != nil:
			note("failed")
		case r.Code == api.Code_NO_CHUNKSERVER:
			note("no chunkserver")
		case !r.Granted && r.At.Term > 1 && !m.leases.begunIn(r.At.Term, r.Handle):
			note("inherited")
		}
	default:
		names := []string{"cs1", "cs2", "cs3", "cs4"}
		c.servers[names[rng.IntN(len(names))]].claim(ctx, handle)
	}
}

// begunIn reports whether the chunk's lease was granted in this term.
func (l *leases) begunIn(term, handle uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.held[handle]
	return l.term == term && h != nil && h.fresh
}

// disturb changes leaders, silences chunkservers and loses answers. Members that
// are lost do not come back, so a chunkserver is never silent for long.
func (c *fakeCell) disturb(rng *rand.Rand, end time.Time, note func(string)) {
	for time.Now().Before(end) {
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
		names := []string{"cs1", "cs2", "cs3", "cs4"}
		s := c.servers[names[rng.IntN(len(names))]]
		switch rng.IntN(6) {
		case 0, 1:
			c.group.elect(consensus.NodeID(rng.IntN(3) + 1))
			note("elected")
		case 2:
			s.set(false, "activate")
		case 3:
			s.set(false, "end")
		case 4:
			r := c.group.replicas[rng.IntN(3)]
			r.fail(consensus.ErrUnknown, nil, rng.IntN(2) == 0)
			time.Sleep(50 * time.Millisecond)
			r.fail(nil, nil, false)
		case 5:
			s.set(true, "")
			time.Sleep(time.Duration(rng.IntN(50)) * time.Millisecond) // shorter than a call's timeout
			s.set(false, "")
		}
	}
}
