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
// Several writes that the core asks for while the disk is busy become one
// commit of the log, hence one fsync. Commands that arrive meanwhile become one
// entry.
//
// The package is not a protocol: it knows no term, vote or quorum beyond what
// [Core] reports. It holds no fault code either; faults enter by the file
// system, the network and the ticker that the caller hands in.
package engine
