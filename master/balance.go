package master

import (
	"cmp"
	"slices"
	"time"

	"gfslab/master/meta"
)

// Replicas are moved from full chunkservers to empty ones slowly, one at a time,
// and only while nothing else is to be done: a new chunkserver fills up gradually
// instead of being swamped (section 4.3 of the GFS paper).

const (
	// balanceOver is the part of the mean use by which a chunkserver must be off it
	// for something to be moved, balanceLeast the bytes between the fullest and the
	// emptiest.
	balanceOver  = 0.1
	balanceLeast = 64 << 20
	// balanceLook is how many replicas are looked at for one that can be moved.
	balanceLook = 256
)

// rebalance starts one move if it is due.
func (m *Master) rebalance(term uint64) {
	r, now := m.upkeep, m.o.Now()
	if m.o.BalanceEvery < 0 || m.o.ReplicateAfter < 0 {
		return
	}
	r.mu.Lock()
	due := r.term == term && r.warm && r.running == 0 && r.queue.waiting() == 0 && r.without.count == 0 && now.Sub(r.balance) >= m.o.BalanceEvery
	if due {
		r.balance = now
	}
	r.mu.Unlock()
	if !due {
		return
	}
	from, to := m.servers.uneven(now)
	if from == "" {
		return
	}
	j, found := m.movable(from, to, now)
	if !found {
		return
	}
	r.mu.Lock()
	r.running++
	r.mu.Unlock()
	if !m.start(func() { m.mend(term, nil, j) }) {
		m.servers.release(&j)
	}
}

// uneven returns the fullest and the emptiest chunkserver, if one of them is so
// far off the mean that moving helps.
func (t *chunkservers) uneven(now time.Time) (from, to string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.candidates(now, func(s *chunkserver) bool { return !s.complete })
	for _, s := range t.byName { // what is full may give, if not take
		if s.full() && s.complete && t.alive(s, now) {
			all = append(all, candidate{name: s.name, used: s.use(), capacity: s.capacity})
		}
	}
	if len(all) < 2 {
		return "", ""
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Compare(a.name, b.name) })
	known := !slices.ContainsFunc(all, func(c candidate) bool { return c.capacity == 0 })
	use := func(c candidate) float64 {
		if known {
			return float64(c.used) / float64(c.capacity)
		}
		return float64(c.used)
	}
	var mean float64
	for _, c := range all {
		mean += use(c) / float64(len(all))
	}
	byUse := func(a, b candidate) int { return cmp.Compare(use(a), use(b)) }
	least, most := slices.MinFunc(all, byUse), slices.MaxFunc(all, byUse)
	if use(most) <= mean*(1+balanceOver) && use(least) >= mean*(1-balanceOver) || float64(most.used)-float64(least.used) < balanceLeast {
		return "", ""
	}
	return most.name, least.name
}

// movable finds a chunk to be moved and reserves what it needs: its lease is not
// active, it is at its goal, and the move makes use more even and spreads the
// replicas over no fewer racks.
func (m *Master) movable(from, to string, now time.Time) (j job, found bool) {
	r := m.upkeep
	cursor := "balance\x00" + from
	r.mu.Lock()
	at := r.orphans[cursor]
	r.mu.Unlock()
	handles, next := m.servers.page(from, at, balanceLook)
	chunks := make([]meta.Chunk, 0, len(handles))
	m.machine.view(func(s *meta.State) {
		for _, handle := range handles {
			if c, code := s.Chunk(handle); code == meta.OK && c.Epoch == 0 && c.Intent == 0 {
				chunks = append(chunks, c)
			}
		}
	})
	t := m.servers
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range chunks {
		c := &chunks[i]
		v := t.judge(c, m.goal(c), now)
		if j, found = t.move(c, &v, from, to, now); found {
			next = c.Handle + 1
			break
		}
	}
	r.mu.Lock()
	r.orphans[cursor] = next
	r.mu.Unlock()
	return j, found
}

// move reserves a move of one chunk, if it makes sense. Call with mu held.
func (t *chunkservers) move(c *meta.Chunk, v *verdict, from, to string, now time.Time) (j job, ok bool) {
	a, b := t.byName[from], t.byName[to]
	x, held := a.replicas.get(c.Handle)
	if len(v.confirmed) < v.goal || len(c.Members) != len(v.confirmed) || !slices.Contains(v.confirmed, from) || slices.Contains(c.Members, to) {
		return j, false
	}
	racks := t.racks(v.confirmed)
	switch {
	case !held || x.length == 0 || b.mayBeRemoving(c.Handle, now, t.o):
	case a.busy >= t.o.CloneLimit || b.busy >= t.o.CloneLimit:
	case a.rack != b.rack && racks[a.rack] == 1 && racks[b.rack] > 0: // fewer racks
	case a.capacity > 0 && b.capacity > 0 && part(b.use()+uint64(x.length), b.capacity) > part(a.use()-min(a.use(), uint64(x.length)), a.capacity):
	case (a.capacity == 0 || b.capacity == 0) && b.use()+2*uint64(x.length) > a.use():
	default:
		j = job{handle: c.Handle, target: to, drop: from, urgency: urgency{live: len(v.confirmed)}}
		j.sources = append([]string{from}, slices.DeleteFunc(slices.Clone(v.confirmed), func(n string) bool { return n == from })...)
		t.take(&j)
		return j, true
	}
	return j, false
}

func part(used, capacity uint64) float64 { return float64(used) / float64(capacity) }
