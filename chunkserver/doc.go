// Package chunkserver stores chunks and orders their mutations.
//
// A chunkserver keeps one file a chunk: a durable header (version, term, kind), a
// table with the length and crc32c of each block of 64 KiB, and the chunk's
// bytes: the frames of package api, or what was written at offsets. As *primary*
// of a lease it chooses the serial number, and for a record append the offset, of
// each mutation, writes it, forwards it to the secondaries of its grant and
// acknowledges it when every replica has it on disk and the lease is still live
// by its own clock. As *secondary* it applies mutations in the primary's serial
// order. Whole replicas are fetched from other chunkservers or copied here when
// the master says so, and removed when its leader names them.
//
// What safety rests on: version and term are durable before PrepareGrant
// answers; a mutation is durable before it is acknowledged; a replica refuses
// mutations of a lower version than its own, and after a restart those of its own
// too; the replica set comes from the grant and never from a client; the lease
// runs from the moment the claim was *sent*; no leader of a lower term than was
// seen is obeyed. Clocks bound only how long a cut-off primary goes on.
//
// No byte leaves that was not compared with its block's checksum, and a block is
// compared before it is changed in part. A replica with a damaged block takes
// part in no grant; the masters hear of it with the next report.
//
// Each chunk has a queue and at most one worker goroutine, which alone writes
// its file: it takes all waiting mutations, writes them with the table's slots,
// and syncs once; twice, if they go over acknowledged bytes, which takes a redo
// record first. No mutex is held across I/O. Files are opened when they are used, and
// a bounded number of them stays open.
//
// This package is not a namespace (that is the master's) and not a consensus
// replica. It does not decide where replicas should be, nor which may go.
package chunkserver
