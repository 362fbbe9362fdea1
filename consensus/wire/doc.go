// Package wire owns every socket between replicas: it listens, dials, shakes
// hands, frames, coalesces and counts.
//
// Three things live here:
//
//   - [Network], the door through which sockets come: [TCP], [NewMemory], or a
//     wrapper that a test puts around either.
//   - [Transport], messages between the replicas of one cluster. All messages
//     that wait for a peer leave in one Write. Sending never blocks; delivery is
//     best effort and in order within one connection.
//   - [Stream], raw connections after the same handshake, for a library that
//     brings its own protocol (hashicorp/raft).
//
// # On the wire
//
//	hello    "gfsw" · version 2 · kind · body length (uint16) · body
//	body     from (uint64) · to (uint64) · length of the cluster's name (uint8) · cluster's name · where the dialer listens
//	answer   "gfsw" · version 2 · code (0 = welcome) · text length (uint16) · text
//	message  length (uint32) · payload; a Transport connection carries nothing else
//
// All integers are big endian. Only the dialer sends messages on a Transport
// connection; the other direction carries the answer and then silence.
//
// A peer that breaks the format, exceeds a limit or stays silent in the
// handshake is disconnected; it costs at most one read block, which grows only
// with the bytes that it really sent, up to the frame limit.
//
// The package is not an RPC system, has no delivery guarantee, does not
// authenticate (the handshake tells misconfigured peers apart, not hostile
// ones) and knows nothing of any protocol's messages.
package wire
