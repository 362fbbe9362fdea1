package chunkserver

import (
	"errors"
	"fmt"
	"sync"

	"gfslab/internal/disk"
)

var (
	errStale    = errors.New("version or term is lower than the replica's")
	errNotHere  = errors.New("no such version of the chunk here")
	errDead     = errors.New("the chunk's disk failed")
	errShutdown = errors.New("the chunkserver is closing")
)

// chunk is one replica.
//
// Only its worker writes the file. mu guards the rest and is never held across
// I/O or a wait.
type chunk struct {
	handle uint64
	path   string

	mu   sync.Mutex
	file disk.File // nil until the first PrepareGrant has created it

	// head is durable. accepting is the version that the worker has reached: it
	// is raised before the header's sync, so that no mutation of the old version
	// slips in behind it.
	head      slot
	accepting uint64
	term      uint64 // term of accepting's grant
	// generation is of the header written last, synced or not.
	generation uint64

	// recovered is the version found at the start. A lease of it is not resumed:
	// the serials that were given out under it are forgotten.
	recovered uint64

	end     uint64 // beyond everything written or given out
	durable uint64 // readers see bytes below it
	full    bool   // a pad was ordered or found
	failed  error  // set once a write or sync failed: the chunk refuses all

	queue   []*task
	working bool

	order serialOrder  // as secondary, of version accepting
	lease *lease       // as primary; nil if none was ever activated
	ended uint64       // highest epoch that was ended here
	acked *ackedRecord // replies by data id, for replayed appends
}

// task is one job for the chunk's worker.
type task struct {
	// write runs first, outside mu; an error fails only this task.
	write func() error
	// after runs when the sync that covers the write has succeeded.
	after func()
	done  chan struct{}
	err   error
}

func newTask(write func() error, after func()) *task {
	return &task{write: write, after: after, done: make(chan struct{})}
}

// enqueueLocked hands the task to the worker, starting one if none runs. The
// order of calls is the order of writes. mu must be held.
func (s *Server) enqueueLocked(c *chunk, t *task) {
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
		batch := c.queue
		c.queue = nil
		if len(batch) == 0 {
			c.working = false
			c.mu.Unlock()
			return
		}
		failed := c.failed
		c.mu.Unlock()
		s.runBatch(c, batch, failed)
	}
}

func (s *Server) runBatch(c *chunk, batch []*task, failed error) {
	written := 0
	for _, t := range batch {
		if t.err = failed; failed == nil {
			t.err = t.write()
			if t.err != nil && errors.Is(t.err, errDead) {
				failed = t.err
			}
		}
		if t.err == nil {
			written++
		}
	}
	if written > 0 && failed == nil {
		if err := s.syncChunk(c); err != nil {
			failed = fmt.Errorf("%w: %w", errDead, err)
		}
	}
	if failed != nil {
		c.mu.Lock()
		c.failed = failed
		c.mu.Unlock()
		s.log.Error("chunk failed", "chunkserver", s.opts.Name, "handle", c.handle, "err", failed)
	}
	for _, t := range batch {
		if t.err == nil {
			// After a failed sync nobody knows what is on disk.
			if t.err = failed; failed == nil {
				t.after()
			}
		}
		close(t.done)
	}
}

func (s *Server) syncChunk(c *chunk) error {
	c.mu.Lock()
	f := c.file
	c.mu.Unlock()
	s.syncs.Add(1)
	return f.SyncData()
}

// writeAt writes into the chunk's bytes; called by the worker only.
func (c *chunk) writeAt(b []byte, offset uint64) error {
	c.mu.Lock()
	f := c.file
	c.mu.Unlock()
	if f == nil {
		return errNotHere
	}
	if _, err := f.WriteAt(b, dataStart+int64(offset)); err != nil {
		return fmt.Errorf("%w: %w", errDead, err)
	}
	return nil
}

// admit says whether the worker may apply a mutation of (version, term).
func (c *chunk) admit(version, term uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case version < c.accepting || term < c.term:
		return errStale
	case version > c.accepting:
		return errNotHere
	}
	return nil
}

// reserve takes [offset, end) for a mutation that a secondary applies. Within a
// version offsets rise with the serial: nothing is written over.
func (c *chunk) reserve(offset, end uint64, full bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if offset < c.order.end {
		return errContradicts
	}
	c.order.end = end
	c.end = max(c.end, end)
	c.full = c.full || full
	return nil
}

// synced raises what readers may see.
func (c *chunk) synced(end uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.durable = max(c.durable, end)
}

// serialOrder is what a secondary knows of the order of one version.
type serialOrder struct {
	settled uint64          // refused at or below
	arrived map[uint64]bool // above settled
	end     uint64          // beyond the last mutation applied
	changed chan struct{}   // closed and replaced when something arrives; nil if nobody waits
}

func newSerialOrder() serialOrder { return serialOrder{arrived: make(map[uint64]bool)} }

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
		if !o.arrived[k] {
			return false
		}
	}
	return true
}

func (o *serialOrder) arrive(serial uint64) {
	o.arrived[serial] = true
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
