// Package etcdraft runs go.etcd.io/raft under the engine: the library's
// RawNode with asynchronous storage writes, on the shared log and wire.
//
// The package holds no loop, goroutine or retry, and moves no snapshot's bytes:
// the engine does. It does not forward proposals. Its lease reads are the
// library's, which are known to go stale (docs/divergence.md). What it adds to
// the library where that has nothing: addresses and identities of members, the
// fetching of snapshots, and a leader that resigns.
package etcdraft
