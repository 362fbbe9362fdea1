package paxostest

import (
	"math/rand/v2"

	"gfslab/paxos"
)

// drawSwitches gives a seed its protocol: Multi-Paxos for one seed in four, else
// any mix of switches and quorums that the core admits. It draws apart from the
// rest of the world, which so stays the same whatever switches there are.
func drawSwitches(seed uint64, nodes int) (c paxos.Config) {
	r := rand.New(rand.NewPCG(seed, 0x2545f4914f6cdd1d))
	if r.IntN(4) == 0 {
		return c
	}
	if r.IntN(3) == 0 {
		c.Phase1Quorum = 1 + r.IntN(nodes)
		c.Phase2Quorum = nodes + 1 - c.Phase1Quorum
	}
	for {
		c.Switches = paxos.Switches{
			Eligibility: pick(r, paxos.AnyNode, paxos.UpToDate),
			Number:      pick(r, paxos.Partitioned, paxos.OneVote),
			OldSlots:    pick(r, paxos.Reproposed, paxos.Kept),
			Acceptance:  pick(r, paxos.AnyOrder, paxos.Contiguous),
			Notice:      pick(r, paxos.NoticeIdle, paxos.NoticeEager, paxos.NoticePiggyback, paxos.NoticeHeartbeat),
			CatchUp:     pick(r, paxos.FromAny, paxos.FromLeader),
		}
		if c.Switches.Safe(nodes, c.Phase1Quorum) == nil {
			return c
		}
	}
}
