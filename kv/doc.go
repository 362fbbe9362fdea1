// Package kv is a replicated key-value store: it serves package store's state
// machine over gRPC, replicated by any consensus.Replica. It is the second state
// machine on the same contract as the GFS master, and the one whose work other
// systems publish figures of.
//
// A change is validated, becomes a store.Command, is proposed, and is answered
// with the reply that Apply left at its position in the log. A read waits for the
// replica's ReadBarrier (or, if it asks for a stale one, for ReadStale on any
// replica) and looks up locally. No lock is held while anything blocks.
//
// It is not a consensus implementation and knows none: package internal/node
// puts backend and server together. Nor has it ranges, transactions, watches or
// access control.
package kv
