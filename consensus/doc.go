// Package consensus is the contract between a replicated service and the
// protocol that replicates its log.
//
// A service hands commands to a [Replica] and implements a [StateMachine]; a
// backend (multipaxos, etcdraft, hashiraft, unreplicated) decides an order and
// applies it. The caller's duties, in order:
//
//  1. Treat [ErrUnknown] as "may have happened": retry only under a session
//     that makes the retry exactly-once.
//  2. Serve a linearizable read only after [Replica.ReadBarrier] returned.
//  3. Keep Apply deterministic: no clock, no rand, no map order, no goroutine.
//
// The package is not an implementation: it opens no file, no socket, starts no
// goroutine, and imports nothing of this module.
package consensus
