package chunkserver

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"gfslab/api"
)

var (
	errStale    = errors.New("version or term is lower than the replica's")
	errNotHere  = errors.New("no such version of the chunk here")
	errDead     = errors.New("the chunk's disk failed")
	errShutdown = errors.New("the chunkserver is closing")
	errGone     = errors.New("the replica is being removed")
	// errRestarted: the replica lost track of the serials of this version.
	errRestarted = errors.New("the replica was recovered or fetched at that version: it takes none of its mutations")
	errKind      = errors.New("the chunk is of the other kind")
)

// chunk is one replica.
//
// Only its worker writes the file. mu guards the rest and is never held across
// I/O or a wait.
type chunk struct {
	handle uint64
	path   string
	makers int // who is about to create it; the server's mu guards it

	mu   sync.Mutex
	file *openFile // nil until the replica has been created

	// head is durable. accepting is the version that the worker has reached: it
	// is raised before the header's sync, so that no mutation of the old version
	// slips in behind it.
	head      slot
	accepting uint64
	term      uint64 // term of accepting's grant
	// generation is of the header written last, synced or not.
	generation uint64

	// recovered is a version of which nothing is taken any more, neither a lease
	// nor a mutation: it was found at the start, or fetched from another replica,
	// and the serials that were given out under it are not known.
	recovered uint64

	// blocks are durable, and so are the bytes below durable, which readers see.
	blocks  []block
	durable uint64
	settled uint64 // the last durable batch
	end     uint64 // beyond everything written or given out
	full    bool   // a pad was ordered or found
	sealed  bool   // the master knows that it is full
	corrupt bool   // a block does not match its checksum
	failed  error  // set once a write or sync failed: the chunk refuses all

	// rewriting is not nil while acknowledged bytes change in place, and closed
	// when that is done; rewrites counts these times.
	rewriting chan struct{}
	rewrites  uint64

	queue   []*task
	working bool
	syncs   syncTime // of the file, by the worker

	order serialOrder // as secondary, of version accepting
	lease *lease      // as primary; nil if none was ever activated
	ended uint64      // highest epoch that was ended here
	acked ackedRecord // replies by data id, for replayed appends
}

// task is one job for the chunk's worker.
type task struct {
	// write runs first, outside mu, and stages what it writes; an error fails only
	// this task.
	write func(*batch) error
	// after runs when the sync that covers the write has succeeded.
	after func()
	// alone: it takes the file's place, must share no batch, and gets none.
	alone bool
	// again: it ends the removal of a replica that was given up.
	again bool
	done  chan struct{}
	err   error

	// synced is how long the chunk's file had been in syncs when the task was queued,
	// and waited how long it was while the task waited; set before done is closed.
	synced, waited time.Duration
}

func newTask(write func(*batch) error, after func()) *task {
	return &task{write: write, after: after, done: make(chan struct{})}
}

// enqueueLocked hands the task to the worker, starting one if none runs. The
// order of calls is the order of writes. mu must be held.
func (s *Server) enqueueLocked(c *chunk, t *task) {
	c.syncs.advance(s.opts.Now())
	t.synced = c.syncs.busy
	c.queue = append(c.queue, t)
	if !c.working {
		c.working = true
		s.workers.Add(1)
		go s.work(c)
	}
}

// work drains the queue: all waiting tasks share one sync.
func (s *Server) work(c *chunk) {
	defer s.workers.Done()
	for {
		c.mu.Lock()
		tasks := c.take()
		if len(tasks) == 0 {
			c.working = false
			c.mu.Unlock()
			return
		}
		failed := c.failed
		b := &batch{c: c, lay: layout{s.opts.ChunkBytes}, number: c.settled + 1, end: c.durable}
		file := c.file
		c.mu.Unlock()
		if tasks[0].alone {
			s.runAlone(tasks[0], failed)
			continue
		}
		if file != nil && failed == nil {
			err := b.open(s, file)
			if tooManyOpen(err) {
				refuse(tasks, fmt.Errorf("the chunk's file: %w", err)) // nothing was written
				continue
			}
			if err != nil {
				failed = fmt.Errorf("%w: %w", errDead, err)
			}
		}
		s.runBatch(b, tasks, failed)
		b.close(s)
	}
}

// refuse fails tasks that were not begun.
func refuse(tasks []*task, err error) {
	for _, t := range tasks {
		t.err = err
		close(t.done)
	}
}

// take removes from the queue what makes up the next batch. mu must be held.
func (c *chunk) take() []*task {
	n := 0
	for n < len(c.queue) && !c.queue[n].alone {
		n++
	}
	if n == 0 && len(c.queue) > 0 {
		n = 1
	}
	tasks := c.queue[:n:n]
	c.queue = c.queue[n:]
	if len(c.queue) == 0 {
		c.queue = nil
	}
	return tasks
}

// runAlone runs a task that does its own I/O, also for a chunk that has failed,
// unless it is being removed.
func (s *Server) runAlone(t *task, failed error) {
	if t.err = failed; t.again || !errors.Is(failed, errGone) {
		t.err = t.write(nil)
	}
	if t.err == nil {
		t.after()
	}
	close(t.done)
}

func (s *Server) runBatch(b *batch, tasks []*task, failed error) {
	written := 0
	for _, t := range tasks {
		if t.err = failed; failed == nil {
			t.err = t.write(b)
			if t.err != nil && errors.Is(t.err, errDead) {
				failed = t.err
			}
		}
		if t.err == nil {
			written++
		}
		if errors.Is(t.err, errCorrupt) {
			s.markCorrupt(b.c, b.badAt, "found while writing")
		}
	}
	if written > 0 && failed == nil {
		if err := b.flush(s); err != nil {
			failed = fmt.Errorf("%w: %w", errDead, err)
		}
	}
	if failed != nil {
		s.fail(b.c, failed)
	}
	b.c.mu.Lock()
	synced := b.c.syncs.busy // none is in flight
	b.c.mu.Unlock()
	for _, t := range tasks {
		t.waited = synced - t.synced
		if t.err == nil {
			// After a failed sync nobody knows what is on disk.
			if t.err = failed; failed == nil {
				t.after()
			}
		}
		close(t.done)
	}
}

// fail makes the chunk refuse everything.
func (s *Server) fail(c *chunk, err error) {
	c.mu.Lock()
	if c.failed == nil || !errors.Is(c.failed, errGone) {
		c.failed = err
	}
	c.mu.Unlock()
	s.changed(c.handle)
	s.log.Error("chunk failed", "chunkserver", s.opts.Name, "handle", c.handle, "err", err)
}

// admit says whether the worker may apply a mutation of (version, term).
func (c *chunk) admit(version, term uint64, kind api.ChunkKind) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.admitLocked(version, term, kind)
}

func (c *chunk) admitLocked(version, term uint64, kind api.ChunkKind) error {
	switch {
	case c.failed != nil:
		return c.failed
	case version < c.accepting || term < c.term:
		return errStale
	case version > c.accepting:
		return errNotHere
	case version == c.recovered:
		return errRestarted
	case c.corrupt:
		return errCorrupt
	case kind != c.head.kind:
		return errKind
	}
	return nil
}

// reserve takes [offset, end) for a record that a secondary applies. Within a
// version their offsets rise with the serial: nothing is written over.
func (c *chunk) reserve(offset, end uint64, full bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if offset < c.order.end {
		return errContradicts
	}
	c.order.end = end
	c.full = c.full || full
	return nil
}

// serialOrder is what a secondary knows of the order of one version.
type serialOrder struct {
	settled uint64             // refused at or below
	arrived map[uint64]arrival // above settled
	end     uint64             // beyond the last record applied
	changed chan struct{}      // closed and replaced when something arrives; nil if nobody waits
}

// arrival is what came with a serial: another delivery must say the same, and
// waits for the same task, which is nil if the data was not there.
type arrival struct {
	key    dataKey
	offset uint64
	crc    uint32
	padTo  uint64
	write  bool
	task   *task
}

func newSerialOrder() serialOrder { return serialOrder{arrived: make(map[uint64]arrival)} }

// settle raises settled.
func (o *serialOrder) settle(to uint64) {
	if to <= o.settled {
		return
	}
	o.settled = to
	for serial := range o.arrived {
		if serial <= to {
			delete(o.arrived, serial)
		}
	}
	o.wake()
}

// complete reports whether every serial in (settled, serial) has arrived.
func (o *serialOrder) complete(serial uint64) bool {
	missing := serial - o.settled - 1
	if missing > uint64(len(o.arrived)) {
		return false
	}
	for k := o.settled + 1; k < serial; k++ {
		if _, ok := o.arrived[k]; !ok {
			return false
		}
	}
	return true
}

func (o *serialOrder) arrive(serial uint64, a arrival) {
	o.arrived[serial] = a
	o.wake()
}

func (o *serialOrder) wait() <-chan struct{} {
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.changed
}

func (o *serialOrder) wake() {
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}
