// Package engine runs the core of a protocol as a consensus.Replica. It is in
// two parts:
//
//   - [Scheduler] is pure: events in (ticks, frames, finished writes, applied
//     indexes), effects out (send, write, apply, wake readers). It decides what
//     may leave before which write, and in which order all things happen. A
//     simulator can drive it.
//   - [Replica] is the shell around it: one goroutine that feeds the scheduler,
//     one that writes the log, one that applies, and the transport.
//
// # Snapshots
//
// Every SnapshotEvery entries, each replica in its turn, the state machine is
// captured between two entries and written beside the load; once the file is
// durable the core is told and the log is cut. A laggard whose core asks for a
// snapshot pulls the file, piece by piece, from whom the core names: at most a
// MiB is on its way, and what has arrived is kept when the source changes and
// has the same file. The finished file is checked, named, and only then offered
// to the core, which installs it: restore in the order of the entries, and one
// write that cuts the log. A crash between the two leaves nothing undone that
// [Recover] does not do. The first byte of a frame tells the engine's messages
// (a request, a piece, a refusal) from the core's.
//
// # The lead
//
// A leader whose write to the log has been out for two election timeouts resigns,
// because its heartbeats would keep the others from taking over. Whose log fails
// falls silent for good.
//
// Several writes that the core asks for while the disk is busy become one
// commit of the log, hence one fsync. Commands that arrive meanwhile become one
// entry.
//
// The package is not a protocol: it knows no term, vote or quorum beyond what
// [Core] reports. It holds no fault code either; faults enter by the file
// system, the network and the ticker that the caller hands in.
package engine
