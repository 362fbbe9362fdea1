package master

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/consensus"
	"gfslab/master/meta"
)

// TestUpkeepChurn writes to chunks while chunkservers die, return, lose their
// disks and rot, and masters fail over. No acknowledged write is ever missing from
// a current replica, no last good one is given up, and when all is quiet again
// each chunk is at its goal and nothing else is on any disk.
//
// GFSLAB_CHURN_SEEDS sets how many seeds are tried.
func TestUpkeepChurn(t *testing.T) {
	seeds := 6
	if s := os.Getenv("GFSLAB_CHURN_SEEDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		seeds = n
	}
	totals := make(map[string]int)
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			upkeepBubble(t, func(o *Options) { o.Seed = uint64(seed); o.LeaseWait = seed%2 == 0 }, 3, five, func(t *testing.T, u *upkeepCell) {
				u.lagging = true
				x := &upkeepChurn{upkeepCell: u, rng: rand.New(rand.NewPCG(uint64(seed), 2)), acked: make(map[uint64][]uint64), files: make(map[string]uint64), totals: totals}
				x.run()
			})
		})
	}
	for _, what := range []string{"acknowledged", "failed write", "killed", "wiped", "rotted", "elected", "deleted", "cloned", "dropped", "removed", "orphan"} {
		if totals[what] == 0 {
			t.Errorf("it never came to %q: %v", what, totals)
		}
	}
	t.Logf("%d seeds: %v", seeds, totals)
}

type upkeepChurn struct {
	*upkeepCell
	rng    *rand.Rand
	token  uint64
	acked  map[uint64][]uint64 // by handle
	files  map[string]uint64   // path to handle
	made   int
	totals map[string]int
}

func (x *upkeepChurn) run() {
	for range 8 {
		x.create()
	}
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); {
		x.step()
		x.check()
		time.Sleep(time.Duration(7+x.rng.IntN(200)) * time.Millisecond)
	}
	for _, s := range x.servers {
		s.set(false, "")
		if s.store.isDown() {
			s.store.restart()
		}
	}
	handles := slices.Sorted(maps.Values(x.files))
	x.await(3*time.Minute, "at the end", x.atGoal(handles, 3))
	x.await(time.Minute, "nothing else", func() string {
		for name, s := range x.servers {
			for _, h := range s.store.handles() {
				if !slices.Contains(handles, h) {
					return fmt.Sprintf("%s has chunk %d", name, h)
				}
			}
		}
		return ""
	})
	x.check()
	for _, kind := range []string{"cloned", "dropped", "removed"} {
		x.totals[kind] += len(x.kinds(kind))
	}
	for _, e := range x.kinds("remove") {
		x.totals[e.Reason]++
	}
}

func (x *upkeepChurn) step() {
	paths := slices.Sorted(maps.Keys(x.files))
	path := paths[x.rng.IntN(len(paths))]
	handle := x.files[path]
	name := five[x.rng.IntN(len(five))]
	s := x.servers[name]
	switch n := x.rng.IntN(100); {
	case n < 60:
		x.write(handle)
	case n < 68:
		if x.up() > 3 && !s.store.isDown() {
			s.store.kill()
			x.totals["killed"]++
		}
	case n < 80:
		if s.store.isDown() {
			s.store.restart()
		}
		s.set(false, "")
	case n < 83:
		if x.spare(name) {
			s.store.change(func(s *fakeStore) { clear(s.replicas) })
			s.store.restart()
			x.totals["wiped"]++
		}
	case n < 87:
		if good := x.good(handle); slices.Contains(good, name) && len(good) > 2 {
			x.corrupt(name, handle)
			x.totals["rotted"]++
		}
	case n < 91:
		x.group.elect(consensus.NodeID(1 + x.rng.IntN(3)))
		x.totals["elected"]++
	case n < 94:
		s.set(false, []string{"prepare", "clone", "end"}[x.rng.IntN(3)])
	case len(x.files) > 4:
		x.remove(path)
	default:
		x.create()
	}
}

func (x *upkeepChurn) create() {
	x.made++
	path := fmt.Sprintf("/churn%03d", x.made)
	x.files[path] = x.newChunk(path)
	x.write(x.files[path])
}

// remove deletes a file for good.
func (x *upkeepChurn) remove(path string) {
	r, err := x.leader().Delete(x.t.Context(), &api.DeleteRequest{Session: x.session(), Path: path})
	if err != nil || r.Code != api.Code_OK {
		x.t.Fatal(r, err)
	}
	if r, err = x.leader().Delete(x.t.Context(), &api.DeleteRequest{Session: x.session(), Path: path, Id: r.Id}); err != nil || r.Code != api.Code_OK {
		x.t.Fatal(r, err)
	}
	delete(x.acked, x.files[path])
	delete(x.files, path)
	x.totals["deleted"]++
}

// write has the primary write to all replicas of its grant; it is acknowledged if
// all did.
func (x *upkeepChurn) write(handle uint64) {
	r, err := x.leader().FindLeaseHolder(x.t.Context(), &api.LeaseRequest{Handle: handle})
	if err != nil || r.Code != api.Code_OK {
		return
	}
	primary := x.servers[r.Primary]
	if primary.acting(handle) != r.Epoch && !primary.claim(x.t.Context(), handle) {
		return
	}
	primary.mu.Lock() // nobody ends the lease meanwhile
	defer primary.mu.Unlock()
	if g := primary.grants[handle]; g == nil || g.Epoch != r.Epoch || !time.Now().Before(primary.until[handle]) {
		return
	}
	x.token++
	all := true
	for _, name := range r.Replicas {
		all = x.servers[name].store.write(handle, r.Version, x.token) && all
	}
	if !all {
		x.totals["failed write"]++
		return
	}
	x.totals["acknowledged"]++
	x.acked[handle] = append(x.acked[handle], x.token)
}

// check looks for acknowledged writes that a current replica lacks.
func (x *upkeepChurn) check() {
	for handle, tokens := range x.acked {
		c, code, _ := x.leader().machine.chunk(handle)
		if code != meta.OK {
			x.t.Fatalf("chunk %d: %v", handle, code)
		}
		for _, name := range c.Members {
			copied, found := x.servers[name].store.get(handle)
			if !found || copied.corrupt || copied.version < c.Version {
				continue
			}
			for _, token := range tokens {
				if !slices.Contains(copied.tokens, token) {
					x.t.Fatalf("chunk %d version %d: the current replica at %s lacks write %d of %v: %+v", handle, c.Version, name, token, tokens, copied)
				}
			}
		}
		if len(x.goodOrDown(c)) == 0 {
			x.t.Fatalf("chunk %d has no good replica: %+v", handle, c)
		}
	}
}

// goodOrDown lists members that have a good current replica, up or not.
func (x *upkeepChurn) goodOrDown(c meta.Chunk) (names []string) {
	for _, name := range c.Members {
		if copied, found := x.servers[name].store.get(c.Handle); found && !copied.corrupt && copied.version >= c.Version {
			names = append(names, name)
		}
	}
	return names
}

// spare reports whether everything on the chunkserver is elsewhere twice.
func (x *upkeepChurn) spare(name string) bool {
	for _, handle := range x.files {
		c, _, _ := x.leader().machine.chunk(handle)
		if good := x.goodOrDown(c); slices.Contains(good, name) && len(good) < 3 {
			return false
		}
	}
	return true
}

func (x *upkeepChurn) up() (n int) {
	for _, s := range x.servers {
		if !s.store.isDown() {
			n++
		}
	}
	return n
}

func (s *fakeStore) handles() (all []uint64) {
	s.change(func(s *fakeStore) { all = slices.Sorted(maps.Keys(s.replicas)) })
	return all
}

func (s *fakeStore) write(handle, version, token uint64) (ok bool) {
	s.change(func(s *fakeStore) {
		if c := s.replicas[handle]; c != nil && !s.down && !c.corrupt && c.version == version {
			c.tokens, c.length, ok = append(slices.Clip(c.tokens), token), c.length+1, true
		}
	})
	return ok
}
