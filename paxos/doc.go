// Package paxos is the algorithm of Multi-Paxos and nothing else: a state
// machine that takes messages, ticks and proposals and hands back, in a Ready,
// what to persist, send and apply.
//
// It opens no file or socket, starts no goroutine, reads no clock; the caller
// owns disk, network and time, and its duties stand on the fields of [Ready]. It
// writes no snapshot and carries none from node to node: it says when one is needed.
//
//	n, err := paxos.New(config)
//	n.Step(message); n.Tick(); n.Propose(value); n.ReadIndex(id)
//	for n.HasReady() { rd := n.Ready() ... n.Persisted(rd.Token) ... n.Applied(slot) }
//
// One node is acceptor (acceptor.go), learner (learner.go, catchup.go) and
// possible leader (proposer.go is phase 1, leader.go phase 2, read.go its reads).
// snapshot.go is the log's lower end; members.go, change.go and extend.go are changes
// of the members, transfer.go of the lead, lease.go reads without asking.
// The steady state is one Accept and one Accepted a peer for everything proposed
// between two calls of Ready.
//
// # The rules
//
// The code names these by number. A rule that one node can see broken is checked
// in it, and panics; package paxostest has a monitor for each that takes more
// than one node to see.
//
//  1. A promised ballot never falls; nothing is accepted below the promise -
//     except a value known to be chosen.
//  2. Promise and Accepted leave only after what they speak of is durable.
//  3. A node's own ballot is durable before its Prepare leaves.
//  4. A leader's own vote counts only after its own write is durable.
//  5. A Promise reports every accepted slot from the one asked for on, chosen and
//     applied ones included, page by page; it counts with its last page. Of slots
//     that it has compacted it says that they are chosen: nothing is proposed there,
//     and what is above is applied and read only once a snapshot has been brought.
//     A compacted slot is never a gap.
//  6. A new leader adopts, slot by slot, the value of the highest ballot in a
//     quorum of Promises; gaps get no-ops, before any new command.
//  7. One value a slot is ever chosen; what is applied is a contiguous prefix.
//  8. No ballot is used twice; a restarted leader takes a new one.
//  9. Rejected candidates back off by seeded jitter.
//  10. Elections need a quorum's leave, leading a quorum's contact; a leader that
//     steps aside falls silent.
//  11. Votes count per slot and ballot: an adopted value is written again at the
//     new ballot, on the leader's own disk too.
//  12. A notice (ballot b, chosen through k) marks a slot only if what was
//     accepted there has a ballot of b or above. Else the value is fetched.
//  13. There is at most one value at a slot and ballot.
//  14. An acknowledged range is durable at its ballot without a hole. (A range
//     names both ends, so one that starts behind a hole, or after a restart, can be
//     told as well as one from the first slot of the ballot.)
//  15. A read waits until every slot of the quorum of Promises is chosen and
//     applied, and for a round of confirmation that started after it was asked.
//  16. A configuration chosen in slot s governs the slots from s + Alpha on; no slot
//     is proposed so far ahead of what is chosen, nor without a phase-1 quorum of its
//     own configuration; votes and reads count by the configuration of their slot. One
//     change at a time: what is chosen during another change is void. The change is
//     sealed, and the old members let go, once a phase-2 quorum of the new ones durably
//     knows all below to be chosen. Ids are never used again.
//  17. A lease runs from before the heartbeat was sent, on the leader's clock; the
//     granter, from when it arrived, promises nothing to others, nor does it for as long
//     after a restart. Who was told by the leader to take over is promised all the same;
//     so that leader reads under no lease any more.
//  18. The two quorums intersect: a phase-1 and a phase-2 quorum together exceed the
//     members. What is chosen survives the loss of any |Q2| - 1 disks.
//
// # The switches
//
// [Switches] lead step by step from this to Raft (switches.go, keep.go): only
// up-to-date candidates, one vote a term, old slots kept at their ballot, contiguous
// acceptance. Not every mix is safe; [Switches.Safe] names the rule that a mix
// breaks, and New refuses it. Rule 16 needs ballots that order all leaders, and old
// slots proposed again; else the members do not change. With old slots kept, rules 6
// and 11 change places with
// Raft's: a leader adopts nothing, and a slot of an earlier leader is chosen only with
// one of its own behind it.
package paxos
