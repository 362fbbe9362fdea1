// Package multipaxos runs the Paxos core under the engine: it gives the core
// its log, and its messages their encoding.
//
// It holds no rule of the protocol (package paxos has them), no loop and no
// goroutine (the engine has them).
package multipaxos
