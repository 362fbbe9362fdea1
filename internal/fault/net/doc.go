// Package net puts faults behind the network door: it wraps a wire.Network so
// that links between named nodes can be cut, one way or both, and a node's
// connections can be killed, as a crash does.
//
// Each node gets its own wire.Network from [Fabric.Node]. Its Listen tells the
// fabric which address belongs to the node; its Dial knows who calls. Only the
// dialer's side of a connection is wrapped: it holds back its own Writes while
// caller→callee is cut, and what it has read while callee→caller is cut.
//
// What a cut does:
//
//   - Bytes stall; nothing fails by itself. Healing delivers them, in order.
//     Bytes that the system had taken before the cut still arrive: they were
//     under way.
//   - Deadlines and Close keep working, as on a silent link.
//   - The end of a connection, seen by the dialer, stalls too. A Close by the
//     dialer's own process reaches the other end even across a cut: the listener's
//     side is not wrapped.
//   - A dial across a cut, in either direction, hangs until it is healed or
//     its context ends: the SYN is lost.
//
// Without a fault a Read or Write costs one more atomic load.
//
// The package is for tests and the harness; the product never imports it. It
// does not delay, reorder or lose single packets, and does not see connections
// that bypass the fabric.
package net
