package hashiraft

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// The library looks at random times whether a snapshot is due; its timer is
// off, and takeSnapshots asks it to take one whenever enough was applied.

// takeSnapshots takes one snapshot after the other.
func (r *Replica) takeSnapshots() {
	for {
		select {
		case <-r.stop:
			return
		case <-r.snapshotDue:
			if err := r.takeSnapshot(); err != nil {
				r.cfg.Logger.Warn("no snapshot was taken", "err", err)
			}
		case answer := <-r.snapshotAsked:
			answer <- r.takeSnapshot()
		}
	}
}

// early begins the text of the library's refusal of a snapshot while its state
// machine lags behind a configuration.
const early = "cannot take snapshot now"

// takeSnapshot has the library take one. What it refuses for the moment is
// tried again.
func (r *Replica) takeSnapshot() error {
	for {
		r.snapshots.begin()
		err := r.futures.wait(r.raft.Snapshot())
		r.snapshots.end()
		switch {
		case errors.Is(err, raft.ErrNothingNewToSnapshot):
			return nil
		case err == nil, !errors.Is(err, raft.ErrLeadershipTransferInProgress) && !strings.HasPrefix(err.Error(), early):
			return err
		}
		pause := time.NewTimer(r.cfg.Limits.Tick)
		select {
		case <-pause.C:
		case <-r.stop:
		}
		pause.Stop()
		if r.closing() {
			return consensus.ErrClosed
		}
	}
}

// removeSegments removes what the log does not need any more, apart from the
// library's goroutines, which commits wait for.
func (r *Replica) removeSegments() {
	for {
		select {
		case <-r.stop:
			return
		case job := <-r.removals:
			job()
		}
	}
}

// took notes a snapshot that is durable.
func (r *Replica) took(m storage.SnapshotMeta) {
	r.cfg.Observe(consensus.Event{Kind: consensus.EventSnapshot, Node: r.cfg.Self, Term: m.Stamp, Index: m.Index})
	r.snapshotsTaken.Add(1)
}

// superseded says that another snapshot came first. The library keeps the text
// of an error only.
func superseded(err error) bool {
	return strings.Contains(err.Error(), errYields.Error()) || strings.Contains(err.Error(), storage.ErrSuperseded.Error())
}

// SnapshotNow implements consensus.Snapshotter.
func (r *Replica) SnapshotNow(ctx context.Context) (consensus.SnapshotInfo, error) {
	if r.closing() {
		return consensus.SnapshotInfo{}, consensus.ErrClosed
	}
	answer := make(chan error, 1)
	select {
	case r.snapshotAsked <- answer:
	case <-ctx.Done():
		return consensus.SnapshotInfo{}, ctx.Err()
	case <-r.stop:
		return consensus.SnapshotInfo{}, consensus.ErrClosed
	}
	select {
	case err := <-answer:
		if err != nil && !superseded(err) {
			return consensus.SnapshotInfo{}, fmt.Errorf("hashiraft: snapshot: %w", err)
		}
	case <-ctx.Done():
		return consensus.SnapshotInfo{}, ctx.Err()
	case <-r.stop:
		return consensus.SnapshotInfo{}, consensus.ErrClosed
	}
	f, err := r.log.OpenSnapshotFile()
	if errors.Is(err, storage.ErrNoSnapshot) {
		return consensus.SnapshotInfo{}, fmt.Errorf("%w: nothing has been applied yet", consensus.ErrRefused)
	}
	if err != nil {
		return consensus.SnapshotInfo{}, err
	}
	info := consensus.SnapshotInfo{Index: f.Info.Index, Term: f.Info.Stamp, Bytes: f.Info.Size}
	return info, f.Close()
}
