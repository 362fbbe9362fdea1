package storage

import (
	"errors"
	"fmt"
	"log/slog"

	"gfslab/internal/disk"
)

// Entry is one log entry. Stamp is the Raft term or the packed Paxos ballot.
// Data belongs to the log once handed over and is never changed by anyone.
type Entry struct {
	Index uint64
	Stamp uint64
	Data  []byte
}

// KV is a change of one stable key. A nil Value deletes the key.
type KV struct {
	Key   string
	Value []byte
}

// Batch is what one Commit makes durable, whole or not at all. It is applied
// in the order of its fields.
type Batch struct {
	HardState    []byte  // nil = unchanged
	TruncateFrom uint64  // 0 = none; drops all entries >= it, before Entries are put
	CompactTo    uint64  // 0 = none; drops all entries <= it
	Entries      []Entry // ascending; gaps allowed; an entry at an index that is there replaces it
	Stable       []KV
}

// Options of a log. FS and Dir are required.
type Options struct {
	FS           disk.FS
	Dir          string
	SegmentBytes int64        // a segment is left for a new one once this long; default 16 MiB, largest 1 GiB
	TailBytes    int64        // newest entries kept in memory; default 8 MiB; negative = none
	Logger       *slog.Logger // nil = silent
}

const (
	defaultSegmentBytes = 16 << 20
	defaultTailBytes    = 8 << 20
	maxSegmentBytes     = 1 << 30
	// maxBatchBytes bounds one record, so that an offset always fits 32 bits.
	maxBatchBytes = 1 << 30
	// maxGap bounds the in-memory index against an absurd slot number.
	maxGap = 1 << 22
	// maxTailGap bounds how far the tail stretches over a gap.
	maxTailGap = 1 << 12
)

func (o Options) withDefaults() (Options, error) {
	if o.FS == nil || o.Dir == "" {
		return o, errors.New("storage: Options.FS and Options.Dir are required")
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.SegmentBytes < 0 || o.SegmentBytes > maxSegmentBytes {
		return o, fmt.Errorf("storage: SegmentBytes %d is not in 1..%d", o.SegmentBytes, maxSegmentBytes)
	}
	if o.TailBytes == 0 {
		o.TailBytes = defaultTailBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

var (
	// ErrClosed: the log was closed by its owner.
	ErrClosed = errors.New("storage: log is closed")
	// ErrCorrupt: bytes that were durable can no longer be read. The error's
	// text names file and offset; see CorruptionError.
	ErrCorrupt = errors.New("storage: corrupt")
	// ErrFormat: written by a format version that this code does not know.
	ErrFormat = errors.New("storage: unknown format version")
	// ErrBatch: a batch that breaks the rules of Batch. Nothing was written.
	ErrBatch = errors.New("storage: bad batch")
	// ErrNoSnapshot: no snapshot was saved yet.
	ErrNoSnapshot = errors.New("storage: no snapshot")
)

// CorruptionError names the first place that could not be read.
// errors.Is(err, ErrCorrupt) holds.
type CorruptionError struct {
	File   string
	Offset int64
	Reason string
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("storage: corrupt: %s at offset %d: %s", e.File, e.Offset, e.Reason)
}

// Unwrap makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptionError) Unwrap() error { return ErrCorrupt }

// Recovery says what Open found.
type Recovery struct {
	Segments   int    // segment files read
	Records    int    // valid records in them
	Entries    int    // entries present afterwards
	TornTail   bool   // the newest segment ended in an unfinished record
	CutSegment uint64 // where it was cut; 0 without a torn tail
	CutOffset  int64
	CutBytes   int64 // from the cut to the last byte that was not zero
}

// Counters since Open. Bytes is what was handed to the file system, chunk
// headers included and zero filling excluded.
type Counters struct {
	Commits  uint64
	Entries  uint64
	Records  uint64 // commits and segment heads
	Fsyncs   uint64 // all: segments, directory, snapshots
	DirSyncs uint64 // those of them that synced a directory
	Bytes    uint64
	Filled   uint64 // zero bytes written ahead of the records
	Segments uint64 // segments open now
	Rotated  uint64
	Removed  uint64
}
