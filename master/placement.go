package master

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Placement follows section 4.2 of the GFS paper: on different racks, where the
// disks are used less than elsewhere, and where few chunks were made lately,
// because what was just made will be written to. Each is a number of its own, of
// which the mean over all is 1; what little there is of one says little.
const (
	// recentHalf is the time in which a chunk placed counts half as much.
	recentHalf = 30 * time.Second
	// recentLittle, useLittle and bytesLittle are added to the means: chunks, part
	// of the disk, bytes where no capacity is known.
	recentLittle = 1
	useLittle    = 0.01
	bytesLittle  = 256 << 20
	// fullAt is the part of a disk beyond which nothing more is placed there.
	fullAt = 0.95
)

// decaying is a count that halves in a fixed time.
type decaying struct {
	half  time.Duration
	value float64
	at    time.Time
}

func (d *decaying) add(n float64, now time.Time) {
	d.value, d.at = d.get(now)+n, now
}

func (d *decaying) get(now time.Time) float64 {
	if d.value == 0 {
		return 0
	}
	return d.value * math.Exp2(-float64(now.Sub(d.at))/float64(d.half))
}

// candidate is a chunkserver that may get a replica.
type candidate struct {
	name, rack string
	used       uint64
	capacity   uint64 // 0: not known
	recent     float64
}

// spread chooses up to want of the candidates: first those on the racks that
// have fewest replicas, those in taken included, and of them those that are used
// least. Candidates in the order of their names and the generator decide all.
func spread(candidates []candidate, taken map[string]int, want int, rng *rand.Rand) []string {
	load := loads(candidates)
	order := make([]int, len(candidates))
	for i := range order {
		order[i] = i
	}
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(load[a], load[b]) })
	racks := make(map[string]int, len(taken))
	for rack, n := range taken {
		racks[rack] = n
	}
	names := make([]string, 0, want)
	for len(names) < want && len(order) > 0 {
		best := 0
		for i, x := range order {
			if racks[candidates[x].rack] < racks[candidates[order[best]].rack] {
				best = i
			}
		}
		c := candidates[order[best]]
		names = append(names, c.name)
		racks[c.rack]++
		order = slices.Delete(order, best, best+1)
	}
	return names
}

// loads are the sums of the numbers that placement goes by.
func loads(candidates []candidate) []float64 {
	use, little := make([]float64, len(candidates)), useLittle
	for i, c := range candidates {
		if c.capacity == 0 { // then bytes have to do for all
			little = bytesLittle
			break
		}
		use[i] = float64(c.used) / float64(c.capacity)
	}
	var meanUse, meanRecent float64
	for i, c := range candidates {
		if little == bytesLittle {
			use[i] = float64(c.used)
		}
		meanUse += use[i] / float64(len(candidates))
		meanRecent += c.recent / float64(len(candidates))
	}
	load := make([]float64, len(candidates))
	for i, c := range candidates {
		load[i] = use[i]/(meanUse+little) + c.recent/(meanRecent+recentLittle)
	}
	return load
}

// candidates are the chunkservers that are alive and not full, in the order of
// their names, without those that skip says. Call with mu held.
func (t *chunkservers) candidates(now time.Time, skip func(*chunkserver) bool) []candidate {
	var all []candidate
	for _, c := range t.byName {
		if t.alive(c, now) && !c.full() && !skip(c) {
			all = append(all, candidate{name: c.name, rack: c.rack, used: c.use(), capacity: c.capacity, recent: c.recent.get(now)})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(a.name, b.name) })
	return all
}

// use is the number of bytes on the chunkserver's disk, or of what it reported
// if it does not say.
func (c *chunkserver) use() uint64 {
	if c.used > 0 {
		return c.used
	}
	return c.replicas.bytes
}

func (c *chunkserver) full() bool {
	return c.capacity > 0 && float64(c.used) > fullAt*float64(c.capacity)
}

// place chooses chunkservers for a new chunk.
func (t *chunkservers) place(ctx context.Context, want int) ([]string, error) {
	enough := func() bool {
		n, now := 0, t.o.Now()
		for _, c := range t.byName {
			if t.alive(c, now) {
				n++
			}
		}
		return n >= want
	}
	if err := t.warmUp(ctx, enough); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	names := spread(t.candidates(now, func(*chunkserver) bool { return false }), nil, want, t.rng)
	for _, name := range names {
		t.byName[name].recent.add(1, now)
	}
	return names, nil
}
