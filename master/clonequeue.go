package master

import (
	"cmp"
	"container/heap"
	"time"
)

// cloneQueue holds the chunks whose replicas need work, the most urgent first:
// those with the fewest live current replicas, of them those that a client waits
// for, then those of files that are not hidden, then those that wait for longest.
// Tasks that cannot be done before some moment wait apart. It is pure.
type cloneQueue struct {
	tasks map[uint64]*task
	ready taskHeap // by urgency
	later taskHeap // by notBefore
	seq   uint64
}

// queueMost is how long the queue may grow, for chunks of which several copies live.
const queueMost = 1 << 18

// task is one chunk that needs work. The queue owns its fields.
type task struct {
	handle uint64
	urgency
	since     time.Time // when it was found
	notBefore time.Time
	failures  int // since then
	seq       uint64
	in        *taskHeap // nil while it is being worked at
	at        int
}

// urgency is what tasks are ordered by.
type urgency struct {
	live   int  // current replicas that are alive
	wanted bool // a client waits
	hidden bool // no file that is not hidden has it
}

func newCloneQueue() *cloneQueue {
	q := &cloneQueue{tasks: make(map[uint64]*task)}
	q.ready.less = func(a, b *task) bool {
		return cmp.Or(cmp.Compare(a.live, b.live), falseFirst(b.wanted, a.wanted), falseFirst(a.hidden, b.hidden), cmp.Compare(a.seq, b.seq)) < 0
	}
	q.later.less = func(a, b *task) bool {
		return cmp.Or(a.notBefore.Compare(b.notBefore), cmp.Compare(a.seq, b.seq)) < 0
	}
	return q
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// put adds a chunk, or changes how many copies live. A new one is ready after wait;
// one that is known is ready no later than that. It reports whether it is new. A
// queue that is full takes no more chunks but those with one copy left: the next
// walks find the others.
func (q *cloneQueue) put(handle uint64, u urgency, now time.Time, wait time.Duration) bool {
	t := q.tasks[handle]
	if t == nil {
		if len(q.tasks) >= queueMost && u.live > 1 {
			return false
		}
		q.seq++
		t = &task{handle: handle, urgency: u, since: now, notBefore: now.Add(wait), seq: q.seq}
		q.tasks[handle] = t
		q.enqueue(t, now)
		return true
	}
	u.wanted, u.hidden = u.wanted || t.wanted, t.hidden
	sooner := t.failures == 0 && now.Add(wait).Before(t.notBefore)
	if t.urgency == u && !sooner {
		return false
	}
	t.urgency = u
	if sooner {
		t.notBefore = now.Add(wait)
	}
	if t.in != nil {
		q.dequeue(t)
		q.enqueue(t, now)
	}
	return false
}

// want notes that a client waits for the chunk, if it is in the queue.
func (q *cloneQueue) want(handle uint64, now time.Time) {
	if t := q.tasks[handle]; t != nil && !t.wanted {
		t.wanted = true
		if t.in != nil {
			q.dequeue(t)
			q.enqueue(t, now)
		}
	}
}

// hide notes whether only hidden files have the chunk, if it is in the queue.
func (q *cloneQueue) hide(handle uint64, hidden bool, now time.Time) {
	if t := q.tasks[handle]; t != nil && t.hidden != hidden {
		t.hidden = hidden
		if t.in != nil {
			q.dequeue(t)
			q.enqueue(t, now)
		}
	}
}

// drop forgets a chunk that needs no work any more.
func (q *cloneQueue) drop(handle uint64) {
	if t := q.tasks[handle]; t != nil {
		if t.in != nil {
			q.dequeue(t)
		}
		delete(q.tasks, handle)
	}
}

// take takes the most urgent task out, to be given back or dropped; nil if none
// is ready.
func (q *cloneQueue) take(now time.Time) *task {
	for len(q.later.tasks) > 0 && !q.later.tasks[0].notBefore.After(now) {
		t := q.later.tasks[0]
		q.dequeue(t)
		q.enqueue(t, now)
	}
	if len(q.ready.tasks) == 0 {
		return nil
	}
	t := q.ready.tasks[0]
	q.dequeue(t)
	return t
}

// giveBack returns a task that was taken, unless it was dropped meanwhile. It is
// not taken again before wait is over.
func (q *cloneQueue) giveBack(t *task, now time.Time, wait time.Duration) {
	if q.tasks[t.handle] == t {
		t.notBefore = now.Add(wait)
		q.enqueue(t, now)
	}
}

// waiting is the number of tasks that nobody works at.
func (q *cloneQueue) waiting() int { return len(q.ready.tasks) + len(q.later.tasks) }

func (q *cloneQueue) enqueue(t *task, now time.Time) {
	t.in = &q.ready
	if t.notBefore.After(now) {
		t.in = &q.later
	}
	heap.Push(t.in, t)
}

func (q *cloneQueue) dequeue(t *task) {
	heap.Remove(t.in, t.at)
	t.in = nil
}

// taskHeap implements heap.Interface.
type taskHeap struct {
	tasks []*task
	less  func(a, b *task) bool
}

func (h *taskHeap) Len() int           { return len(h.tasks) }
func (h *taskHeap) Less(i, j int) bool { return h.less(h.tasks[i], h.tasks[j]) }

func (h *taskHeap) Swap(i, j int) {
	h.tasks[i], h.tasks[j] = h.tasks[j], h.tasks[i]
	h.tasks[i].at, h.tasks[j].at = i, j
}

func (h *taskHeap) Push(x any) {
	t := x.(*task)
	t.at = len(h.tasks)
	h.tasks = append(h.tasks, t)
}

func (h *taskHeap) Pop() any {
	last := len(h.tasks) - 1
	t := h.tasks[last]
	h.tasks[last] = nil
	h.tasks = h.tasks[:last]
	return t
}
