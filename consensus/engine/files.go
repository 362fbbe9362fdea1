package engine

import (
	"errors"
	"fmt"
	"sync"

	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// files reads and writes the pieces of snapshots, on a goroutine of its own.
// The scheduler bounds what is queued.
type files struct {
	io   *SnapshotIO
	wake chan struct{}

	mu      sync.Mutex
	queue   []func()
	stopped bool
}

func (f *files) push(job func()) {
	f.mu.Lock()
	f.queue = append(f.queue, job)
	f.mu.Unlock()
	f.poke()
}

func (f *files) stop() {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.poke()
}

func (f *files) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run does one job after the other until stop; what is then left is not done.
func (f *files) run() {
	for range f.wake {
		for {
			f.mu.Lock()
			if f.stopped {
				f.mu.Unlock()
				return
			}
			var job func()
			if len(f.queue) > 0 {
				job = f.queue[0]
				f.queue[0], f.queue = nil, f.queue[1:]
			}
			f.mu.Unlock()
			if job == nil {
				break
			}
			job()
		}
	}
}

// transferFiles hands the scheduler's wishes to the goroutine of the files.
func (r *Replica) transferFiles() {
	for _, p := range r.fx.Store {
		r.files.push(func() {
			err := r.files.io.Store(p)
			r.inbox.later(func() { r.sched.Stored(p, err) }, func(error) {})
		})
	}
	if file := r.fx.Finish; file != 0 {
		r.files.push(func() {
			got, err := r.files.io.Finish(file)
			drop := func(error) {
				if err == nil {
					_ = got.Close() // it was only read
				}
			}
			if !r.inbox.later(func() { r.gotFile(got, err) }, drop) {
				drop(nil)
			}
		})
	}
	for _, q := range r.fx.Serve {
		r.files.push(func() {
			info, offset, data, err := r.files.io.Serve(q)
			r.inbox.later(func() { r.sched.Served(q, info, offset, data, err, &r.fx) }, func(error) {})
		})
	}
}

// gotFile keeps the snapshot that was fetched open for the state machine, which
// the core may let it replace.
func (r *Replica) gotFile(file *storage.SnapshotFile, err error) {
	if err != nil {
		r.warn("engine: a fetched snapshot was not taken", err)
		r.sched.Fetched(storage.SnapshotInfo{}, err, &r.fx)
		return
	}
	r.dropFile()
	r.fetched = file
	r.fetches.Add(1)
	r.files.push(r.sweep)
	r.sched.Fetched(file.Info, nil, &r.fx)
}

func (r *Replica) dropFile() {
	if r.fetched != nil {
		_ = r.fetched.Close() // it was only read
		r.fetched = nil
	}
}

func (r *Replica) sweep() { _ = r.files.io.Sweep() } // these files were only read

// outgrow closes a fetched snapshot that the core did not install, and never will once
// the state machine has passed it: open, it would keep its room on the disk for good.
func (r *Replica) outgrow(index uint64) {
	if file := r.fetched; file != nil && file.Info.Index <= index {
		r.fetched = nil
		r.files.push(func() { _ = file.Close() }) // it was only read
	}
}

// restore finds the fetched snapshot that the state machine is to take over.
func (r *Replica) restore(meta *storage.SnapshotMeta) (*storage.SnapshotFile, error) {
	// Of what was proposed here, all through the snapshot's index may be in it, and
	// its results will never be known.
	r.proposer.FailInFlight(consensus.ErrUnknown)
	file := r.fetched
	if file == nil || file.Info.Index != meta.Index || file.Info.Stamp != meta.Stamp {
		return nil, fmt.Errorf("engine: the protocol installs a snapshot through %d that was not fetched", meta.Index)
	}
	r.fetched = nil
	return file, nil
}

// captured takes the captured state from the applier.
func (r *Replica) captured(index, stamp uint64, state consensus.Snapshot, err error) {
	release := func(error) {
		if err == nil {
			state.Release()
		}
	}
	taken := r.inbox.later(func() {
		r.sched.Captured(index, stamp, err, &r.fx)
		meta := r.fx.Save
		if meta == nil {
			release(nil)
			return
		}
		r.tasks.Go(func() {
			defer state.Release()
			size, err := save(r.log, *meta, state, r.stop)
			r.inbox.later(func() { r.saved(meta.Index, size, err) }, func(error) {})
		})
	}, release)
	if !taken {
		release(nil)
	}
}

func (r *Replica) saved(index uint64, size int64, err error) {
	if err != nil {
		r.warn("engine: no snapshot was taken", err)
	} else {
		r.snapshots.Add(1)
		r.files.push(r.sweep)
		r.outgrow(index)
	}
	r.sched.Saved(size, err, &r.fx)
}

// save writes one captured state.
func save(log *storage.Log, meta storage.SnapshotMeta, state consensus.Snapshot, stop <-chan struct{}) (size int64, err error) {
	w, err := log.NewSnapshot(meta)
	if err != nil {
		return 0, err
	}
	if _, err := state.WriteTo(storage.NewPacedWriter(w, stop)); err != nil {
		return 0, errors.Join(err, w.Abort())
	}
	if err := w.Commit(); err != nil {
		return 0, err
	}
	return w.Size(), nil
}
