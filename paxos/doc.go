// Package paxos is the algorithm of Multi-Paxos and nothing else: a state
// machine that takes messages, ticks and proposals and hands back, in a Ready,
// what to persist, send and apply.
//
// It opens no file or socket, starts no goroutine, reads no clock; the caller
// owns disk and network, and its duties stand on the fields of [Ready].
//
//	n, err := paxos.New(config)
//	n.Step(message); n.Tick(); n.Propose(value); n.ReadIndex(id)
//	for n.HasReady() { rd := n.Ready() ... n.Persisted(rd.Token) ... n.Applied(slot) }
package paxos
