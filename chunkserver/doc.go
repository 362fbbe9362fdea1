// Package chunkserver stores chunks and orders their mutations.
//
// A chunkserver keeps one file a chunk: a small durable header (version, term)
// and the chunk's bytes, which are the frames of package api. As *primary* of a
// lease it chooses offset and serial number of each record append, writes it,
// forwards it to the secondaries of its grant and acknowledges it when every
// replica has it on disk and the lease is still live by its own clock. As
// *secondary* it applies mutations in the primary's serial order.
//
// What safety rests on: version and term are durable before PrepareGrant
// answers; a mutation is durable before it is acknowledged; a replica refuses
// mutations of a lower version than its own; the replica set comes from the
// grant and never from a client; the lease runs from the moment the claim was
// *sent*. Clocks bound only how long a cut-off primary goes on.
//
// Each chunk has a queue and at most one worker goroutine, which alone writes
// its file: it takes all waiting mutations, writes them, and syncs once. No
// mutex is held across I/O.
//
// This package is not a namespace (that is the master's), not a consensus
// replica, and it does not repair: it neither clones chunks nor collects garbage.
package chunkserver
