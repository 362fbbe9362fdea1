// Package master is the GFS master: it serves the namespace over gRPC, keeps
// track of chunkservers, and grants, extends and ends chunk leases. Its state is
// package meta's state machine, replicated by any consensus.Replica.
//
// A mutation is validated, becomes a metapb command, is proposed, and is
// answered with the reply that Apply left at its position in the log. A read
// waits for the replica's ReadBarrier and looks up locally. What a caller may
// conclude from an error is in errors.go.
//
// Goroutines: one per lease grant or revocation that is in progress, and one
// sweeper; all end with Close. No lock is held while anything blocks.
//
// It is not a consensus implementation and knows none: package internal/node
// puts backend and master together. It does not re-replicate chunks: a replica
// that misses a grant loses its membership for good.
package master
