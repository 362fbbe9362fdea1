package chunkserver

import (
	"sync/atomic"
	"time"
)

// counters are totals since the start.
type counters struct {
	mutations, written, read, pushed                atomic.Uint64
	scrubbed, corrupt, cloned, clonedBytes, removed atomic.Uint64
	scrubRounds, revocations, acknowledged          atomic.Uint64
	syncWait                                        atomic.Int64 // nanoseconds
}

// Counters are totals since the start.
type Counters struct {
	// Syncs of chunks' files, of folders, and of the chunkserver's own header.
	// SyncTime is how long they took, one added to the other, and SyncBusy for how
	// long at least one was in flight; both count up to now.
	Syncs    uint64
	SyncTime time.Duration
	SyncBusy time.Duration
	// Mutations made durable, pads included, of Written bytes with their frames.
	Mutations uint64
	Written   uint64
	// Read and Pushed are bytes sent to readers and taken from clients.
	Read   uint64
	Pushed uint64
	// Scrubbed bytes were compared with their checksums in ScrubRounds walks
	// through all chunks. Corrupt counts replicas that turned out damaged.
	Scrubbed    uint64
	ScrubRounds uint64
	Corrupt     uint64
	// Cloned replicas were fetched from others or copied here, of ClonedBytes
	// bytes; Removed ones were deleted.
	Cloned      uint64
	ClonedBytes uint64
	Removed     uint64
	// Revocations were asked for because a replica did not take a mutation.
	Revocations uint64
	// Acknowledged mutations are those that this chunkserver acknowledged as primary,
	// pads excepted; SyncWait is for how long of each one's time, added up, its chunk's
	// file here was being synced: for itself, or for what was written before it.
	Acknowledged uint64
	SyncWait     time.Duration
}

// Counters returns the totals since the start.
func (s *Server) Counters() Counters {
	c, syncs := &s.stats, s.syncs.read(s.opts.Now())
	return Counters{
		Syncs: syncs.count, SyncTime: syncs.sum, SyncBusy: syncs.busy,
		Acknowledged: c.acknowledged.Load(), SyncWait: time.Duration(c.syncWait.Load()),
		Mutations: c.mutations.Load(), Written: c.written.Load(), Read: c.read.Load(), Pushed: c.pushed.Load(),
		Scrubbed: c.scrubbed.Load(), ScrubRounds: c.scrubRounds.Load(), Corrupt: c.corrupt.Load(),
		Cloned: c.cloned.Load(), ClonedBytes: c.clonedBytes.Load(), Removed: c.removed.Load(), Revocations: c.revocations.Load(),
	}
}

// Levels are what there is now.
type Levels struct {
	Chunks        int
	CorruptChunks int
	// Bytes of all chunks; BufferBytes wait for their mutation.
	Bytes       uint64
	BufferBytes int64
	// OpenFiles are files of chunks that are open now.
	OpenFiles int
	// Leases that this chunkserver holds as primary.
	Leases int
}

// Levels counts what there is now.
func (s *Server) Levels() Levels {
	now := s.opts.Now()
	var l Levels
	for _, c := range s.allChunks() {
		c.mu.Lock()
		if c.head.version > 0 && c.file != nil {
			l.Chunks++
			l.Bytes += c.durable
		}
		if c.corrupt {
			l.CorruptChunks++
		}
		if c.lease != nil && c.lease.live(now) {
			l.Leases++
		}
		c.mu.Unlock()
	}
	l.BufferBytes, l.OpenFiles = s.buffer.size(), s.files.count()
	return l
}
