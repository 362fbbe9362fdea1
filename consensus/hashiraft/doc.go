// Package hashiraft puts github.com/hashicorp/raft behind consensus.Replica,
// on the same log, sockets and batches as the other backends.
//
// What stays the library's own, because it cannot be handed in: its clock
// (package time; a clock fault cannot enter), its random timeouts, its msgpack
// encoding, its goroutines, and that the leader stores an entry before it
// sends it. [Effective] prints how consensus.Limits were translated.
//
// # Outcomes
//
// A command is called failed only if the library answered ErrNotLeader (it
// does so only for commands that it has not put into its log) or if the
// command never left the queue. ErrLeadershipLost, ErrRaftShutdown (the
// library gives it to committed commands too), store errors and everything
// unforeseen are unknown.
//
// # Reads
//
// The library has no ReadIndex. Its VerifyLeader alone is not enough:
//
//   - It succeeds before an entry of the own term is committed. So one Barrier
//     is committed for each leadership gained, before its first read.
//   - It counts the answer to a heartbeat that was sent before the call. If that
//     answer was held up (in a socket, or by a stopped process), a successor may
//     have been elected and may have acknowledged writes between the heartbeat
//     and the call. So this package notes, in the transport, when each
//     acknowledged request began, and repeats VerifyLeader until a quorum has
//     answered requests that began after the read was asked.
//   - The library's AppliedIndex counts hand-off, not application. So reads wait
//     for the state machine's own applied index.
//
// The argument that a read sees every write acknowledged before it was asked
// stands at Replica.confirm.
//
// # Disk errors
//
// The library panics, on its own goroutines, when term or vote cannot be
// stored, or when a committed entry cannot be read: by design a disk error
// ends the process. Inject such errors only where a process may die.
//
// # Time
//
// All timers run on the wall clock, also while the process gets no processor.
// A backend that counts ticks slows down together with a starved process; this
// one loses its leader: on a machine with ten times more runnable threads than
// cores, answers to heartbeats took over 300 ms, twice the lease of matched-3.
// Compare failure-free figures only from machines that are not overcommitted.
//
// The package is not a general wrapper: no membership change, no leadership
// transfer, no user snapshots.
package hashiraft
