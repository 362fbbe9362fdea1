// Package storage is the durable log under every backend: entries with gaps
// and explicit truncation, hard state, stable keys, and snapshots kept beside.
//
// It is not a key-value store (stable keys are a handful, all in memory), not a
// shared log (one open Log per directory, held by a lock file), and it knows
// nothing of terms, ballots or quorums: an entry's Stamp is a number to it.
//
// # Files
//
//	0000000001.log                 segments, numbered without a hole
//	<index>-<stamp>.snap           a snapshot: magic, index, stamp, data, body, length, CRC-32C
//	<index>-<stamp>-fetched.snap   one that another replica wrote
//	*.tmp                          what is unfinished or on its way out; opening the log removes it
//	LOCK                           held while the log is open
//
// A segment is a stream of records in the chunk layout of pebble's record
// package (32 KiB blocks, CRC-32C per chunk), followed by zeros. Zeros are
// written ahead, so that a sync seldom commits file metadata.
//
//	record = header, body
//
//	header  bytes  meaning
//	version 1      1; any other is refused
//	kind    1      1 = head, first in its segment; 2 = batch
//	segment 8      number of the segment (all fixed fields are little-endian)
//	seq     8      counts records across segments, without a hole
//	durable 8      durable-through: highest seq known durable when this was written
//	oldest  8      oldest segment that recovery needs; older ones may be removed
//
//	body (uvarints; optional = length+1, 0 = absent)
//	hard state     optional bytes
//	truncate from  0 = none
//	compact to     0 = none
//	cut            segment, offset, bytes that recovery cut before this head; 0, 0, 0
//	stable keys    count, then key length, key, optional value (absent = delete)
//	entries        count, then index delta, stamp, data length, data
//
// A head repeats hard state, stable keys and compaction point, so a segment is
// needed only as long as it, or an older one, holds a live entry. Segments are
// removed oldest first, after a record saying so is durable.
//
// Records are framed by record.Writer into memory and leave in one write and one
// fdatasync by the goroutine that commits. record.LogWriter flushes on a
// goroutine of its own, which adds two switches to a lone append; the callers
// group their commands into batches already, so its own grouping is not needed.
// That is a choice by design: a side-by-side on a busy machine ranked neither.
// Its recycled files would also need a proof that a torn record never continues
// in the chunks of an older one; zeros need none.
//
// # Recovery
//
// A record that cannot be read is a torn tail only in the newest segment, and
// only if no record behind it knew it durable (durable-through); everything
// else is a CorruptionError. The torn bytes are overwritten with zeros, synced,
// and noted in the head of the new segment that every Open starts. Nothing is
// told to the caller before the newest segment and the directory are synced:
// bytes that only a cache had kept could otherwise be acknowledged and lost.
//
// # Limits
//
//   - Damage to the very last record of a log looks like a torn tail: no later
//     record can speak for it. It loses at most that one batch, noted in
//     Recovery.
//   - A batch is at most 1 GiB; an index may lie at most 4 Mi beyond the log.
//   - Removing whole files, or the directory, is not detected unless a file
//     that is still needed is missing in front of one that is there.
//   - The index takes 24 bytes per entry for as long as it is not compacted.
package storage
