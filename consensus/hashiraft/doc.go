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
//     acknowledged request began, and waits until a quorum of voters has answered
//     requests that began after the read was asked. (The library also counts
//     learners.)
//   - The library's AppliedIndex counts hand-off, not application. So reads wait
//     for the state machine's own applied index.
//
// The argument that a read sees every write acknowledged before it was asked
// stands at Replica.confirm; what lease reads rest on, at promise.
//
// # Disks that stall or fail
//
// The library stores on its main goroutine and sends heartbeats on others, so
// that a leader whose disk hangs would keep the lead. After two election timeouts
// this package gives the lead up and holds back everything that the library
// would send, until the disk answers. An error of the disk is a stall without
// an end: the library would panic if term or vote could not be stored, so such
// a write does not return before Close. It still panics, by design, if a
// committed entry cannot be read back.
//
// # Snapshots
//
// A snapshot holds, before the state machine's own bytes, the members with the
// highest identity ever used, which the library's configuration does not say,
// and ends with a checksum. Both ways it goes through a file piece by piece.
//
// # Membership
//
// The library changes one server at a time; see Replica.ChangeMembers for the
// order, and roster for who is talked to when. The entry that removes a server
// is not sent to it (see transport.pass).
//
// # Time
//
// All timers run on the wall clock, also while the process gets no processor.
// A backend that counts ticks slows down together with a starved process; this
// one loses its leader: on a machine with ten times more runnable threads than
// cores, answers to heartbeats took over 300 ms, twice the lease of matched-3.
// Compare failure-free figures only from machines that are not overcommitted.
//
// The package is not a general wrapper: it knows one log, one network and one
// way of batching, and none of the library's protocol versions before 3.
package hashiraft
