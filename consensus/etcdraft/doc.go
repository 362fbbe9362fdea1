// Package etcdraft runs go.etcd.io/raft under the engine: the library's
// RawNode with asynchronous storage writes, on the shared log and wire.
//
// The package holds no loop, goroutine or retry: the engine has them. It does
// not change membership, take snapshots or forward proposals.
package etcdraft
