// Package client is the GFS client: it finds the leading master, retries until
// an outcome is certain or the context ends, caches where chunks are, pushes
// data, appends and reads records, and writes and reads bytes.
//
// Every operation ends with one of three outcomes. OK: a definite reply came,
// whatever its code says (NOT_FOUND is a reply). Fail: surely nothing was done.
// Unknown: an attempt left this machine and no definite reply to the operation
// came back; it may have happened, or may still.
//
// A mutation keeps its session (client, seq) over all attempts, so that the
// master performs it once. Record append is at-least-once: a retry may leave a
// second copy, which readers drop by (client, seq).
//
// Lookups are linearizable, or stale: what any replica has applied, but nothing
// older than the client has seen. Leases are asked for by path and index: the first
// write to a chunk that a snapshot shares makes a copy, with a handle of its own.
//
// A [Client] runs one operation at a time, as a session demands; many clients
// share one [Conns]. The package keeps no background goroutines of its own, and
// it is not a file system: it neither buffers writes nor reads ahead.
package client
