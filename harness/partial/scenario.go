package partial

import "gfslab/consensus"

// Scenario is one way to cut a network in part. L leads before the cut; H, the hub,
// is another node.
type Scenario struct {
	Name string
	// Recipe says what is cut, for the reader.
	Recipe string
	Nodes  int
	// Lag: H is cut from L for a while before, so that it misses what L goes on to
	// choose. A trial in which H does not lag then is void.
	Lag bool
	// Still: the load rests before the cut until all logs are equal; void if they
	// do not become so.
	Still bool
	// keeps reports whether the link between two nodes stays.
	keeps func(r roles, a, b consensus.NodeID) bool
	// Nobody may commit after the cut.
	Nobody bool
	// LeaderStays: L keeps a quorum; no election is needed.
	LeaderStays bool
	// LeaderHeard: L is deaf to most, and H hears it still.
	LeaderHeard bool
}

// roles are who is who in one trial.
type roles struct {
	leader, hub consensus.NodeID
	// pair are two nodes that are neither leader nor hub, in a scenario without hub.
	pair [2]consensus.NodeID
}

// Scenarios are the three of the Omni-Paxos paper, and the controls.
func Scenarios() []Scenario {
	star := func(r roles, a, b consensus.NodeID) bool { return a == r.hub || b == r.hub }
	starWithoutLeader := func(r roles, a, b consensus.NodeID) bool { return star(r, a, b) && a != r.leader && b != r.leader }
	return []Scenario{
		{Name: "quorum-loss", Nodes: 5, keeps: star, LeaderHeard: true,
			Recipe: "every link but those of H is cut: L reaches H only, H reaches all"},
		{Name: "constrained-election", Nodes: 5, Lag: true, keeps: starWithoutLeader,
			Recipe: "L-H is cut, and 40 to 80 ms later all links of L, and every other link but those of H"},
		{Name: "chained", Nodes: 3, LeaderStays: true,
			keeps:  star,
			Recipe: "the link between L and the third node is cut; H reaches both"},
		{Name: "hub-current", Nodes: 5, Still: true, keeps: starWithoutLeader,
			Recipe: "positive control: the cuts of constrained-election at once, with all logs equal"},
		{Name: "no-hub", Nodes: 5, Nobody: true,
			keeps: func(r roles, a, b consensus.NodeID) bool {
				pair := func(x, y consensus.NodeID) bool { return a == x && b == y || a == y && b == x }
				return pair(r.leader, r.hub) || pair(r.pair[0], r.pair[1])
			},
			Recipe: "negative control: nobody reaches more than one other node"},
	}
}

// ScenarioNamed returns the scenario of that name.
func ScenarioNamed(name string) (Scenario, bool) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}

// Admits reports whether the rules of a mode surely let a connected node lead in the
// scenario: only then a trial must recover in time. Without pre-vote they let any
// number of candidates that cannot win outbid the one that can, and nothing bounds how
// often; so then nothing is demanded where an election is needed.
func Admits(s Scenario, m Mode) bool {
	switch {
	case s.Nobody:
		return false
	case s.LeaderStays:
		return true
	case !m.PreVote:
		return false
	case s.LeaderHeard && !m.CheckQuorum:
		return false // H hears L, which does not know that it lost its quorum
	case s.Lag:
		return m.AnyCandidate
	}
	return true
}
