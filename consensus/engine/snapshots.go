package engine

import (
	"errors"
	"fmt"

	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// phase is how far the snapshot under way has come.
type phase uint8

const (
	idle      phase = iota
	capturing       // the state machine is to be captured
	saving          // the capture is being written
)

// snapshots decides when to take one, and what the log may then let go of.
type snapshots struct {
	newest    storage.SnapshotInfo // on disk, its file's Size included
	compacted uint64               // the log holds, or soon will hold, nothing through it
	phase     phase
	saving    storage.SnapshotMeta
	tried     uint64 // index of the newest attempt
	// installing: a fetched snapshot has replaced the state machine's state, and
	// the log's write that goes with it is not durable yet. A snapshot of our own
	// taken now could hide from recovery that the log is still to be cut.
	installing bool
	// asked counts requests; those through taking wait for the one under way, the
	// others for the next.
	asked, taking, ended uint64
	ends                 []SnapshotEnd
}

// RequestSnapshot asks for a snapshot of all that was handed out for
// application so far. The ticket comes back in Effects.Snapshots.
func (s *Scheduler) RequestSnapshot() (ticket uint64) {
	s.snaps.asked++
	return s.snaps.asked
}

// runSnapshots starts a snapshot when one is due or asked for.
func (s *Scheduler) runSnapshots(fx *Effects) {
	x := &s.snaps
	if x.phase == idle && !x.installing {
		at, wanted := s.due(fx), x.asked > x.ended
		if wanted {
			at = s.handed
		}
		_, able := s.core.(Compactor)
		switch {
		case wanted && !able:
			x.end(SnapshotEnd{Ticket: x.asked, Err: fmt.Errorf("%w: the protocol cannot compact its log", consensus.ErrRefused)})
		case wanted && at == 0:
			x.end(SnapshotEnd{Ticket: x.asked, Err: fmt.Errorf("%w: nothing has been applied yet", consensus.ErrRefused)})
		case at > 0 && !s.knownAt(at):
			x.end(SnapshotEnd{Ticket: x.asked, Err: fmt.Errorf("%w: no member is known here yet", consensus.ErrRefused)})
		case wanted && at <= x.newest.Index:
			x.end(x.success(x.asked))
		case at > x.newest.Index && able:
			x.phase, x.taking, x.tried = capturing, x.asked, at
			fx.Capture = at
		}
	}
	fx.Snapshots = append(fx.Snapshots, x.ends...)
	x.ends = clearSlice(x.ends)
}

// due is the index through which a snapshot is due, or 0; see
// consensus.SnapshotTurn.
func (s *Scheduler) due(fx *Effects) uint64 {
	every := s.opts.SnapshotEvery
	if every == 0 {
		return 0
	}
	turn := consensus.SnapshotTurn(s.opts.Node, every)
	if s.handed < turn {
		return 0
	}
	// What was handed out earlier may be applied already.
	passed := s.handed
	if len(fx.Apply) > 0 {
		passed = fx.Apply[0].Index - 1
	}
	at := s.handed - (s.handed-turn)%every
	if at <= s.snaps.newest.Index || at <= s.snaps.tried || at < passed {
		return 0
	}
	return at
}

func (x *snapshots) end(e SnapshotEnd) {
	if e.Ticket > x.ended {
		x.ended = e.Ticket
		x.ends = append(x.ends, e)
	}
}

func (x *snapshots) success(ticket uint64) SnapshotEnd {
	n := &x.newest
	return SnapshotEnd{Ticket: ticket, Info: consensus.SnapshotInfo{Index: n.Index, Term: n.Stamp, Bytes: n.Size}}
}

// Captured reports that the state through index, whose last entry has the
// given stamp, was captured; or err, why it could not be.
func (s *Scheduler) Captured(index, stamp uint64, err error, fx *Effects) {
	x := &s.snaps
	if err != nil {
		x.phase = idle
		x.end(SnapshotEnd{Ticket: x.taking, Err: fmt.Errorf("engine: capturing the state: %w", err)})
		return
	}
	s.Applied(index)
	if index <= x.newest.Index { // a fetched one came first
		x.phase = idle
		x.end(x.success(x.taking))
		return
	}
	x.phase = saving
	x.saving = storage.SnapshotMeta{Index: index, Stamp: stamp}
	if c, ok := s.core.(Compactor); ok {
		x.saving.Data = c.SnapshotData(index)
	}
	meta := x.saving
	fx.Save = &meta
}

// Saved reports that the snapshot of Effects.Save is durable, in a file of size
// bytes; or err, why it is not.
func (s *Scheduler) Saved(size int64, err error, fx *Effects) {
	x := &s.snaps
	x.phase = idle
	switch {
	case errors.Is(err, storage.ErrSuperseded) || err == nil && x.saving.Index <= x.newest.Index:
		x.end(x.success(x.taking))
		return
	case err != nil:
		x.end(SnapshotEnd{Ticket: x.taking, Err: fmt.Errorf("engine: writing a snapshot: %w", err)})
		return
	}
	x.newest = storage.SnapshotInfo{SnapshotMeta: x.saving, Size: size}
	fx.Events = append(fx.Events, s.event(consensus.EventSnapshot, x.saving.Stamp, x.saving.Index))
	before := x.compacted
	ticket := x.success(x.taking)
	if to := x.saving.Index; to > s.opts.TrailingEntries {
		s.compactTo(to - s.opts.TrailingEntries)
	}
	if c, ok := s.core.(Compactor); ok {
		c.Compact(x.compacted, x.saving)
	}
	if x.compacted == before {
		x.end(ticket)
		return
	}
	// Whoever asked also waits for the log to be cut.
	x.ended = max(x.ended, x.taking)
	s.next.ends = append(s.next.ends, ticket)
}
