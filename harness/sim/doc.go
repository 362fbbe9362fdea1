// Package sim runs whole clusters in a simulated world: the real protocol cores
// under the engine's own scheduler, the real log on a disk that loses power, the
// real encoding of messages and commands, and the metadata state machine, all in
// one goroutine and in virtual time. Everything random comes from one seed, so a
// seed gives the same trace in any process that runs the same binary.
//
// Simulated are the network between replicas, the time that disks, state
// machines and processes take, crashes, clocks and clients. It judges what
// really happened - what reached which disk, what was applied, what a client was
// told - and never what a replica believes.
//
// It is not a test of goroutines, sockets or files (the tiers virtual, local and
// process are), and it cannot run hashicorp/raft, which has goroutines and a
// clock of its own. Worlds of etcd/raft draw from the process-wide reader of
// crypto/rand, which Run replaces while it works: at most one Run at a time in a
// process, and nothing beside it that needs secure randomness.
package sim
