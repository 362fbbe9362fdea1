// Package master is the GFS master: it serves the namespace over gRPC, keeps
// track of chunkservers, and grants, extends and ends chunk leases. Its state is
// package meta's state machine, replicated by any consensus.Replica.
//
// A mutation is validated, locks its paths, becomes a metapb command, is proposed,
// and is answered with the reply that Apply left at its position in the log. A
// read waits for the replica's ReadBarrier and looks up locally; a stale read is
// answered by any replica as it is, a shadow master. What a caller may conclude
// from an error is in errors.go of package serving.
//
// What takes several steps - grants, revocations, copies on the first write after
// a snapshot, clones - is a flight: a chunk is in one at a time, and whoever wants
// it waits for that. Each step is checked again where the log is applied, so a
// leader that dies between two leaves nothing half done.
//
// Goroutines: one per flight, those of the background work (leases of removed
// files, hidden files that are due, replicas, the watch for a leader); all end
// with Close. No lock is held while anything blocks, but path locks, which wait
// without a goroutine or a mutex.
//
// It is not a consensus implementation and knows none: package internal/node
// puts backend and master together. It stores no chunk and moves no bytes of one:
// chunkservers do that among themselves.
package master
