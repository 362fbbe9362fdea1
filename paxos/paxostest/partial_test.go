package paxostest

import (
	"fmt"
	"testing"

	"gfslab/paxos"
)

// The three partial partitions that stop leader-based protocols for good
// (Omni-Paxos; Cloudflare's outage of November 2020): in each of them some node
// reaches a quorum, so the cluster must go on, and ballots must not climb.
func TestPartialPartitionsDoNotStopProgress(t *testing.T) {
	for _, c := range []struct {
		name  string
		nodes int
		links [][2]int // what still works, both ways; node 1 leads before the cut
		cut   [][2]int // cut a while before the rest
		lead  int      // who must lead afterwards
		reach []int    // who must keep up
	}{
		// Everyone, the leader too, reaches node 2 only.
		{name: "quorum loss", nodes: 5, links: [][2]int{{1, 2}, {2, 3}, {2, 4}, {2, 5}}, lead: 2, reach: []int{1, 2, 3, 4, 5}},
		// As before, and the leader is gone, and node 2 has missed what was chosen last.
		{name: "constrained election", nodes: 5, links: [][2]int{{2, 3}, {2, 4}, {2, 5}}, cut: [][2]int{{1, 2}, {2, 3}, {2, 4}, {2, 5}}, lead: 2, reach: []int{2, 3, 4, 5}},
		// A chain: node 3 does not reach the leader, node 2 reaches both.
		{name: "chained", nodes: 3, links: [][2]int{{1, 2}, {2, 3}}, lead: 1, reach: []int{1, 2, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := uint64(1); seed <= 5; seed++ {
				if why := playPartial(seed, c.nodes, c.links, c.cut, c.lead, c.reach); why != "" {
					t.Fatalf("seed %d: %s", seed, why)
				}
			}
		})
	}
}

// playPartial returns what went wrong, empty if nothing did.
func playPartial(seed uint64, nodes int, links, early [][2]int, lead int, reach []int) (why string) {
	defer func() {
		if v, ok := recover().(*Violation); ok {
			why = v.Error()
		}
	}()
	s := swarm{nodes: nodes, delay: 1, burst: 1, config: paxos.Config{HeartbeatTicks: 2, ElectionTicks: 10, Window: 8,
		MaxMessageBytes: 64, LeaderDiskParallel: true, PrePrepare: true, CheckQuorum: true}}
	w := newWorld(seed, s, &Report{})
	w.calm = true
	w.peers[0].node.Campaign()
	w.peers[0].drain()
	w.run(40)
	for _, l := range early {
		w.cutLink[l[0]-1][l[1]-1], w.cutLink[l[1]-1][l[0]-1] = true, true
	}
	if len(early) > 0 {
		w.run(6) // shorter than any election timeout
	}
	for a := range w.cutLink {
		for b := range w.cutLink[a] {
			w.cutLink[a][b] = true
		}
	}
	for _, l := range links {
		w.cutLink[l[0]-1][l[1]-1], w.cutLink[l[1]-1][l[0]-1] = false, false
	}
	w.run(400)
	st := w.peers[lead-1].node.Status()
	if st.Role != paxos.Leader {
		return fmt.Sprintf("node %d is %v of %v; it alone reaches a quorum", lead, st.Role, st.Ballot)
	}
	before := st
	w.run(400)
	st = w.peers[lead-1].node.Status()
	if st.Ballot != before.Ballot || st.Chosen < before.Chosen+100 {
		return fmt.Sprintf("from ballot %v, slot %d to ballot %v, slot %d in 400 ticks", before.Ballot, before.Chosen, st.Ballot, st.Chosen)
	}
	for _, id := range reach {
		if got := w.peers[id-1].node.Status().Applied; got+100 < st.Applied {
			return fmt.Sprintf("node %d has applied %d, the leader %d", id, got, st.Applied)
		}
	}
	return ""
}

func (w *world) run(ticks int) {
	for range ticks {
		w.tick()
	}
}
