package sim

import (
	"errors"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
)

// files is the node's thread that reads and writes snapshots.
type files struct {
	io      *engine.SnapshotIO
	jobs    []func() // one after the other, each taking its time on the disk
	working bool
	fetched *storage.SnapshotFile // for the state machine
	// saving is a snapshot that is written and not yet durable.
	saving *storage.SnapshotWriter
	meta   storage.SnapshotMeta
	state  consensus.Snapshot // captured, not yet written
}

// takeFiles queues what the scheduler wants done with files.
func (n *node) takeFiles() {
	f := &n.files
	for _, p := range n.fx.Store {
		f.jobs = append(f.jobs, func() {
			err := f.io.Store(p)
			n.w.note('p', uint64(n.index), uint64(p.Offset), uint64(len(p.Data)))
			n.later(func() { n.sched.Stored(p, err) })
		})
	}
	if file := n.fx.Finish; file != 0 {
		f.jobs = append(f.jobs, func() { n.finishFile(file) })
	}
	for _, q := range n.fx.Serve {
		f.jobs = append(f.jobs, func() {
			info, offset, data, err := f.io.Serve(q)
			n.later(func() { n.sched.Served(q, info, offset, data, err, &n.fx) })
		})
	}
	n.workFiles()
}

func (n *node) workFiles() {
	f := &n.files
	if !f.working && len(f.jobs) > 0 {
		f.working = true
		n.after(n.diskDelay(), evFile)
	}
}

// file does one job.
func (n *node) file() {
	f := &n.files
	if n.stalls(evFile) {
		return
	}
	job := f.jobs[0]
	f.jobs, f.working = f.jobs[1:], false
	job()
	n.workFiles()
}

// finishFile makes a fetched snapshot durable.
func (n *node) finishFile(number uint64) {
	got, err := n.files.io.Finish(number)
	if err == nil {
		n.shadow.hold(got.Info.Index)
	}
	n.later(func() {
		if err != nil {
			n.w.say("node %d does not take a fetched snapshot: %v", n.number(), err)
			n.sched.Fetched(storage.SnapshotInfo{}, err, &n.fx)
			return
		}
		n.files.fetched = got
		n.w.note('g', uint64(n.index), got.Info.Index)
		n.files.jobs = append(n.files.jobs, n.sweep)
		n.sched.Fetched(got.Info, nil, &n.fx)
	})
}

func (n *node) sweep() {
	if err := n.files.io.Sweep(); err != nil {
		n.w.fail("log-writable", "node %d: %v", n.number(), err)
	}
}

// capture takes the state as it is; the loop decides whether it is written.
func (n *node) capture() {
	index, stamp := n.applier.applied, n.applier.stamp
	state, err := n.machine.Snapshot()
	n.later(func() {
		n.sched.Captured(index, stamp, err, &n.fx)
		meta := n.fx.Save
		switch {
		case meta != nil:
			n.files.state, n.files.meta = state, *meta
			n.after(n.diskDelay(), evSave)
		case err == nil:
			state.Release()
		}
	})
}

// save writes the captured state, and at its next call makes it durable.
func (n *node) save() {
	f := &n.files
	if n.stalls(evSave) {
		return
	}
	var size int64
	var err error
	if f.saving == nil {
		if f.saving, err = n.log.NewSnapshot(f.meta); err == nil {
			if _, err = f.state.WriteTo(f.saving); err == nil {
				n.after(n.diskDelay(), evSave)
				return
			}
			err = errors.Join(err, f.saving.Abort())
		}
	} else if err = f.saving.Commit(); err == nil {
		size = f.saving.Size()
		n.shadow.hold(f.meta.Index)
		n.w.report.Snapshots++
		n.w.note('v', uint64(n.index), f.meta.Index, uint64(size))
		f.jobs = append(f.jobs, n.sweep)
		n.workFiles()
	}
	if err != nil && !errors.Is(err, storage.ErrSuperseded) {
		n.w.fail("log-writable", "node %d writes a snapshot: %v", n.number(), err)
	}
	f.state.Release()
	f.saving, f.state = nil, nil
	n.later(func() { n.sched.Saved(size, err, &n.fx) })
}

// cutShort does what was under way when the power went, to no avail if syncs
// fail by then.
func (f *files) cutShort() {
	if f.saving != nil {
		_ = f.saving.Commit() // whether it is there, the next life will see
	}
	if len(f.jobs) > 0 {
		f.jobs[0]()
	}
}
