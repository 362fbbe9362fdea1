package master

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/api"
	"gfslab/consensus"
)

// TestChurnTree drives files, snapshots and writes at random in virtual time,
// through leader changes, silent and dead chunkservers, lost answers and clocks
// that are off as far as rho allows, with leases that are waited for and with
// fencing. A write is acknowledged if the primary acts under its lease when it
// begins and every replica of its grant takes it. Then: what was acknowledged is on
// every member, and a snapshot holds what was acknowledged before it was asked for,
// and never changes: no member of its chunk ever holds what none held at its moment.
// Members may differ where a write reached some of them and was not acknowledged, in
// a snapshot as anywhere else; which of them are left later is no change.
//
// GFSLAB_CHURN_SEEDS sets how many seeds are tried.
func TestChurnTree(t *testing.T) {
	totals := make(map[string]int)
	seeds := churnSeeds(t)
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { churnTree(t, uint64(seed), totals) })
		})
	}
	for _, kind := range []string{"acked", "refused", "snapshot", "unequal", "deleted", "elected", "dead", "copy-commit", "fence", "revoke", "end"} {
		if totals[kind] == 0 {
			t.Errorf("it never came to %q: %v", kind, totals)
		}
	}
	t.Logf("%d seeds: %v", seeds, totals)
}

// world is what a churning cell's clients know.
type world struct {
	*fakeCell
	t     *testing.T
	begin time.Time
	seed  uint64

	mu     sync.Mutex
	stamp  uint64              // the last contents written
	acked  map[string]uint64   // by path: the last contents acknowledged
	frozen map[string][]uint64 // by path of a snapshot: the contents that members had
	totals map[string]int
}

func (w *world) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.totals[what]++
}

var churnNames = []string{"cs1", "cs2", "cs3", "cs4", "cs5"}

func churnTree(t *testing.T, seed uint64, totals map[string]int) {
	begin := time.Now()
	c := newCellWith(t, func(o *Options) {
		o.Seed, o.LeaseWait, o.ReplicateAfter, o.WarmUp = seed, seed%2 == 0, time.Second, time.Second
		// A silent fake never answers a call: such a clone holds its chunk until then.
		o.CloneTimeout = 2 * time.Second
		o.Now = func() time.Time { return begin.Add(scaled(time.Since(begin), 1+leaseRho)) }
	}, 3, churnNames...)
	c.slow, c.late = true, true
	w := &world{fakeCell: c, t: t, begin: begin, seed: seed, acked: map[string]uint64{}, frozen: map[string][]uint64{}, totals: totals}
	ctx, cancel := context.WithCancel(t.Context())
	var background sync.WaitGroup
	background.Go(func() { c.keepAlive(ctx) })
	defer func() {
		cancel()
		background.Wait()
		c.stop()
	}()
	paths := []string{"/a", "/b", "/c"}
	for _, path := range paths {
		c.newChunk(path)
	}
	end := begin.Add(20 * time.Second)
	var workers sync.WaitGroup
	for worker := range 5 {
		rng := rand.New(rand.NewPCG(seed, uint64(worker)))
		workers.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				w.once(ctx, rng, paths[rng.IntN(len(paths))], &api.Session{Client: fmt.Sprint("w", worker), Seq: uint64(n + 1)})
				time.Sleep(time.Duration(rng.IntN(60)+1) * time.Millisecond)
			}
		})
	}
	workers.Go(func() { w.breakThings(rand.New(rand.NewPCG(seed, 99)), end) })
	workers.Wait()
	for _, r := range c.group.replicas {
		r.fail(nil, nil, false)
	}
	time.Sleep(10 * time.Second) // clones, and leases that run out
	w.judge(paths)
	for _, kind := range []string{"copy-commit", "fence", "revoke", "end"} {
		totals[kind] += c.count(kind)
	}
}

// once does one random thing through a random master.
func (w *world) once(ctx context.Context, rng *rand.Rand, path string, session *api.Session) {
	m := w.masters[rng.IntN(len(w.masters))]
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(1500)+1)*time.Millisecond)
	defer cancel()
	switch rng.IntN(20) {
	case 0, 1:
		w.snap(ctx, m, path, session)
	case 2:
		w.mu.Lock()
		var old string
		for snap := range w.frozen {
			old = max(old, snap)
		}
		delete(w.frozen, old)
		w.mu.Unlock()
		if _, err := m.Delete(ctx, &api.DeleteRequest{Session: session, Path: old, Id: 0}); old != "" && err == nil {
			w.note("deleted")
		}
	case 3, 4:
		w.servers[churnNames[rng.IntN(len(churnNames))]].extend(ctx)
	default:
		w.write(ctx, rng, m, path)
	}
}

// extend claims all leases of a chunkserver again.
func (c *fakeChunkserver) extend(ctx context.Context) {
	c.mu.Lock()
	var handles []uint64
	for handle := range c.grants {
		handles = append(handles, handle)
	}
	c.mu.Unlock()
	for _, handle := range handles {
		c.claim(ctx, handle)
	}
}

// write finds the path's primary, waits a little, as a client that caches does, and
// writes to it.
func (w *world) write(ctx context.Context, rng *rand.Rand, m *Master, path string) {
	r, err := m.FindLeaseHolder(ctx, &api.LeaseRequest{Path: path})
	if err != nil || r.Code != api.Code_OK {
		w.note("refused")
		return
	}
	for range rng.IntN(4) {
		time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
		w.mutate(path, r)
	}
}

// mutate writes through the primary, which does not stop in between: what is not
// on all replicas when a primary says that it stopped is not acknowledged.
func (w *world) mutate(path string, r *api.ChunkReply) {
	// Under the lock, so that the order of stamps is that of the writes.
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers[r.Primary].whileActing(r.Handle, r.Version, func(grant *api.GrantRequest, silent bool) {
		w.stamp++
		// What is shared when a write begins is shared for as long as its version stands.
		shared, _, _ := w.masters[0].machine.chunk(r.Handle)
		for _, name := range grant.Replicas {
			s := w.servers[name]
			if name != r.Primary {
				silent = s.isSilent()
			}
			if silent || !s.store.overwrite(r.Handle, grant.Version, w.stamp) {
				return
			}
			if shared.Refs > 1 && slices.Contains(shared.Members, name) {
				w.t.Errorf("seed %d at %v: %s took a write of chunk %d version %d, which %d files share", w.seed, time.Since(w.begin), name, r.Handle, grant.Version, shared.Refs)
			}
		}
		w.acked[path] = w.stamp
		w.totals["acked"]++
	})
}

// snap takes a snapshot and notes what it holds.
func (w *world) snap(ctx context.Context, m *Master, path string, session *api.Session) {
	w.mu.Lock()
	least := w.acked[path]
	w.mu.Unlock()
	to := fmt.Sprintf("/snap-%s-%d", session.Client, session.Seq)
	r, err := m.Snapshot(ctx, &api.SnapshotTreeRequest{Session: session, From: path, To: to})
	if err != nil || r.Code != api.Code_OK {
		w.note("refused")
		return
	}
	held := w.contents(to)
	if len(held) == 0 {
		return
	}
	if slices.Min(held) < least {
		w.t.Errorf("seed %d at %v: the snapshot of %s holds %v; %d was acknowledged before", w.seed, time.Since(w.begin), path, held, least)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen[to] = held
	w.totals["snapshot"]++
	if slices.Min(held) != slices.Max(held) {
		w.totals["unequal"]++
	}
}

// contents are those of the members of the path's chunk, in their order.
func (w *world) contents(path string) (held []uint64) {
	x, _, _ := w.masters[0].machine.chunkAt(path, 0, 0)
	for _, name := range x.Members {
		copied, found := w.servers[name].store.get(x.Handle)
		if !found || copied.version < x.Version {
			w.t.Errorf("seed %d at %v: member %s of chunk %d of %s has version %d (%v), not %d", w.seed, time.Since(w.begin), name, x.Handle, path, copied.version, found, x.Version)
		}
		held = append(held, copied.length)
	}
	return held
}

// strange returns the contents that are there now and were not before.
func strange(before, now []uint64) (out []uint64) {
	for _, contents := range now {
		if !slices.Contains(before, contents) {
			out = append(out, contents)
		}
	}
	return out
}

// breakThings changes leaders, silences chunkservers, some until they count as
// dead, and loses answers.
func (w *world) breakThings(rng *rand.Rand, end time.Time) {
	for time.Now().Before(end) {
		time.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
		s := w.servers[churnNames[rng.IntN(len(churnNames))]]
		switch rng.IntN(7) {
		case 0, 1:
			w.group.elect(consensus.NodeID(rng.IntN(3) + 1))
			w.note("elected")
		case 2:
			s.set(false, []string{"activate", "end", "copy"}[rng.IntN(3)])
		case 3:
			r := w.group.replicas[rng.IntN(3)]
			r.fail(consensus.ErrUnknown, nil, rng.IntN(2) == 0)
			time.Sleep(50 * time.Millisecond)
			r.fail(nil, nil, false)
		case 4:
			s.set(true, "")
			time.Sleep(time.Duration(rng.IntN(50)) * time.Millisecond)
			s.set(false, "")
		case 5, 6:
			s.set(true, "")
			s.store.kill()
			time.Sleep(w.o.DeadAfter + time.Duration(rng.IntN(400))*time.Millisecond)
			s.restart()
			s.set(false, "")
			w.note("dead")
		}
	}
	for _, s := range w.servers {
		s.set(false, "")
	}
}

// judge looks at what is there in the end, when all is healed.
func (w *world) judge(paths []string) {
	m := w.masters[w.group.replicas[0].Status().Leader-1]
	for snap, held := range w.frozen {
		if now := w.contents(snap); len(strange(held, now)) > 0 {
			w.t.Errorf("seed %d: the members of %s held %v and hold %v", w.seed, snap, held, now)
		}
	}
	for _, path := range paths {
		if now := w.contents(path); w.acked[path] > 0 && (len(now) == 0 || slices.Min(now) < w.acked[path]) {
			w.t.Errorf("seed %d: %s holds %v; %d was acknowledged", w.seed, path, now, w.acked[path])
		}
		w.servable(m, path)
	}
	for i, m := range w.masters {
		for tries := 0; ; tries++ { // work on replicas may go on
			m.leases.mu.Lock()
			flights, copies := len(m.leases.flights), len(m.leases.copies)
			m.leases.mu.Unlock()
			n := m.paths.Len()
			if n == 0 && flights == 0 && copies == 0 {
				break
			}
			if tries == 100 {
				w.t.Errorf("seed %d: master %d: %d paths locked, %d flights, %d copies in hand", w.seed, i+1, n, flights, copies)
				break
			}
			time.Sleep(111 * time.Millisecond)
		}
	}
}

// servable wants a lease on the path's chunk in good time.
func (w *world) servable(m *Master, path string) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*leaseTerm)
	defer cancel()
	for {
		r, err := m.FindLeaseHolder(ctx, &api.LeaseRequest{Path: path})
		if err == nil && r.Code == api.Code_OK {
			return
		}
		if ctx.Err() != nil {
			x, _, _ := m.machine.chunkAt(path, 0, 0)
			w.t.Errorf("seed %d: %s after all is healed: %v, %v; the chunk is %+v", w.seed, path, r, err, x)
			for _, name := range x.Members {
				copied, found := w.servers[name].store.get(x.Handle)
				w.t.Logf("member %s has %+v, %v", name, copied, found)
			}
			return
		}
		time.Sleep(leaseTerm / 5)
	}
}
