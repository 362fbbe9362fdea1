package master

import (
	"context"
	"slices"
	"sync"
	"time"

	"gfslab/master/meta"
)

// replication is what a leader knows and does about replicas beyond the log. It
// is worth nothing in another term; a new leader learns it anew, by walking the
// chunks and by hearing the chunkservers.
type replication struct {
	o    Options
	wake chan struct{} // holds a token when there may be something to do

	mu    sync.Mutex // never held while anything blocks
	term  uint64     // 0: this replica does not lead
	since time.Time  // when authority was proven for the first time in term
	// warm is set once this leader may judge replication: everybody that is a
	// member of anything reported in full, or WarmUp is over.
	warm    bool
	named   map[string]bool // who is a member of a chunk seen by the first walk
	next    uint64          // where the walk over the chunks goes on
	walks   int             // walks completed in this term
	began   time.Time       // the present walk
	hurry   bool            // the walk is to be done soon
	queue   *cloneQueue
	without *handleSet // chunks without a live current replica
	under   *handleSet // chunks below their goal
	running int        // tasks that are being worked at
	orphans map[string]uint64
	left    []string  // chunkservers whose replicas are still to be walked over
	round   time.Time // when that began
	alive   string    // who was alive at the last look
	balance time.Time
	hidden  time.Time        // when the hidden files were looked at
	total   ReplicationStats // since this master started
	inTerm  ReplicationStats
}

func newReplication(o Options) *replication {
	r := &replication{o: o, wake: make(chan struct{}, 1)}
	r.reset(0)
	return r
}

// reset forgets all that belongs to another term. Call with mu held.
func (r *replication) reset(term uint64) {
	r.term, r.since, r.warm, r.next, r.walks, r.hurry, r.alive = term, r.o.Now(), false, 0, 0, true, ""
	r.named, r.without, r.under = make(map[string]bool), newHandleSet(), newHandleSet()
	r.queue, r.orphans, r.inTerm, r.hidden = newCloneQueue(), make(map[string]uint64), ReplicationStats{}, time.Time{}
	r.began, r.left, r.round = time.Time{}, nil, time.Time{}
}

// kick lets the loop look soon.
func (r *replication) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// tick is how often the leader looks.
func (r *replication) tick() time.Duration {
	if r.o.ReplicateAfter < 0 {
		return 250 * time.Millisecond
	}
	return min(max(r.o.ReplicateAfter/8, 10*time.Millisecond), 250*time.Millisecond)
}

// replicate is the loop of the background work on replicas; it ends with Close.
func (m *Master) replicate() {
	ticker := time.NewTicker(m.upkeep.tick())
	defer ticker.Stop()
	for {
		select {
		case <-m.closing.Done():
			return
		case <-ticker.C:
		case <-m.upkeep.wake:
		}
		term, ok := m.replicationTerm()
		if !ok {
			continue
		}
		m.walkChunks(term)
		m.warmUp(term)
		m.walkHidden(term)
		m.walkReplicas(term)
		m.dispatch(term)
		m.rebalance(term)
	}
}

// replicationTerm returns the term for which authority is proven: nothing is
// judged before this leader has applied an entry of its own term. Once is enough
// for a term: what is decided later goes through the log, which refuses who is
// deposed, or to chunkservers, which obey no lower term than they have seen.
func (m *Master) replicationTerm() (term uint64, ok bool) {
	r := m.upkeep
	st := m.replica.Status()
	r.mu.Lock()
	known := r.term
	if !isLeader(st) && known != 0 {
		r.reset(0)
	}
	r.mu.Unlock()
	if !isLeader(st) {
		return 0, false
	}
	if st.Term == known {
		return known, true
	}
	ctx, cancel := context.WithTimeout(m.closing, m.o.CallTimeout)
	defer cancel()
	term, err := m.authority(ctx)
	if err != nil {
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reset(term)
	return term, true
}

// goal is how many replicas a chunk should have.
func (m *Master) goal(c *meta.Chunk) int {
	if c.Goal != 0 {
		return int(c.Goal)
	}
	return m.o.Replicas
}

// lookAt judges chunks and queues those that need work.
func (m *Master) lookAt(term uint64, chunks []meta.Chunk) {
	r, now := m.upkeep, m.o.Now()
	verdicts := make([]verdict, len(chunks))
	m.servers.mu.Lock()
	for i := range chunks {
		verdicts[i] = m.servers.glance(&chunks[i], m.goal(&chunks[i]), now)
	}
	m.servers.mu.Unlock()
	var events []ReplicationEvent
	r.mu.Lock()
	for i := range chunks {
		if e, queued := r.file(term, &chunks[i], &verdicts[i], now); queued {
			events = append(events, e)
		}
	}
	r.mu.Unlock()
	for _, e := range events {
		m.o.OnReplication(e)
	}
}

// file puts a chunk where its verdict says. Call with mu held.
func (r *replication) file(term uint64, c *meta.Chunk, v *verdict, now time.Time) (e ReplicationEvent, queued bool) {
	if r.term != term {
		return e, false
	}
	if r.walks == 0 {
		for _, name := range c.Members {
			r.named[name] = true
		}
	}
	if !r.warm {
		return e, false
	}
	idle := v.fine || len(c.Members) == 0 || c.Deleted || !v.under() && !v.over() && !v.repairable()
	r.under.set(c.Handle, !idle && v.under())
	r.without.set(c.Handle, !idle && len(v.current) == 0)
	if idle {
		r.queue.drop(c.Handle)
		return e, false
	}
	if len(v.current) == 0 {
		// Nothing can be done until one of them is back.
		r.queue.drop(c.Handle)
		return e, false
	}
	wait := max(r.o.ReplicateAfter, 0)
	if v.repairable() || v.over() {
		wait = 0
	}
	if r.o.ReplicateAfter < 0 || !r.queue.put(c.Handle, urgency{live: len(v.current)}, now, wait) {
		return e, false
	}
	return ReplicationEvent{At: now, Term: term, Kind: "queued", Handle: c.Handle, Version: c.Version, Live: len(v.current), Goal: v.goal}, true
}

// warmUp notes once this leader has heard enough.
func (m *Master) warmUp(term uint64) {
	r, now := m.upkeep, m.o.Now()
	r.mu.Lock()
	walked, warm, since, over := r.walks > 0, r.warm, r.since, now.Sub(r.since) >= m.o.WarmUp
	named := make([]string, 0, len(r.named))
	for name := range r.named {
		named = append(named, name)
	}
	r.mu.Unlock()
	if warm || !over && (!walked || !m.servers.reported(named, since)) {
		return
	}
	r.mu.Lock()
	if r.term == term {
		// From the first chunk on again: what was seen so far was not judged.
		r.warm, r.named, r.next, r.hurry = true, make(map[string]bool), 0, true
	}
	r.mu.Unlock()
	m.o.OnReplication(ReplicationEvent{At: now, Term: term, Kind: "warm"})
	r.kick()
}

// warmingUp reports whether this master has not heard enough yet to say that
// what it does not know is not there.
func (m *Master) warmingUp() bool {
	r := m.upkeep
	r.mu.Lock()
	term, warm := r.term, r.warm
	r.mu.Unlock()
	if term != 0 || isLeader(m.replica.Status()) {
		return !warm
	}
	return m.o.Now().Sub(m.servers.started) < m.o.WarmUp
}

// look has a chunk judged soon: something about it may have changed.
func (m *Master) look(handle uint64) {
	r := m.upkeep
	r.mu.Lock()
	term := r.term
	r.mu.Unlock()
	if term == 0 {
		return
	}
	if c, code, _ := m.machine.chunk(handle); code == meta.OK {
		m.lookAt(term, []meta.Chunk{c})
		r.kick()
	}
}

// wanted notes that a client waits for the chunk.
func (m *Master) wanted(handle uint64) {
	r := m.upkeep
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.term != 0 {
		r.queue.want(handle, m.o.Now())
	}
}

// aliveNames lists who is alive, and since which boot, in one string.
func (t *chunkservers) aliveNames() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	var names []string
	for _, c := range t.byName {
		if t.alive(c, now) {
			state := "\x00-"
			if c.complete {
				state = "\x00+"
			}
			names = append(names, c.name+"\x00"+c.boot.id+state)
		}
	}
	slices.Sort(names)
	all := ""
	for _, n := range names {
		all += n + "\x01"
	}
	return all
}

// reported reports whether full reports of all of them were heard, and what
// changed since until some moment after since.
func (t *chunkservers) reported(names []string, since time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	for _, name := range names {
		if c := t.byName[name]; c == nil || !c.complete || !t.alive(c, now) || c.heard.Before(since) {
			return false
		}
	}
	return true
}
