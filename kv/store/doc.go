// Package store is the state machine of the replicated key-value store: keys
// with a value and a revision, changed by put, delete and compare-and-swap, and
// sessions that make each change happen exactly once.
//
// It is pure: no clock, no random numbers, no goroutines, no map iteration, and
// nothing of ours imported, so that all replicas compute the same. Its trees are
// copied on write, so that a snapshot is captured in constant time and written
// beside further changes.
//
// It is not a database: all keys are in memory, there are no ranges, no
// transactions over several keys, no expiry, and old revisions are gone.
package store
