package paxostest

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gfslab/paxos"
)

// More commands of the transcripts:
//
//	cluster ... [lease=TICKS] [alpha=N]
//	join                             a node of the next id, which knows nobody but whom to ask
//	members node=N voters=(1,2) [learners=(3)]  propose to change the members
//	transfer node=N to=M             hand the lead over
//	resign node=N                    fall silent

// lead runs the commands that change who leads and who votes.
func (s *stage) lead(t *testing.T, d *datadriven.TestData, p *peer) {
	switch d.Cmd {
	case "members":
		slot, err := p.node.ProposeMembers(paxos.Members{Voters: idsArg(t, d, "voters"), Learners: idsArg(t, d, "learners")})
		s.result(err, "slot %d", slot)
	case "transfer":
		s.result(p.node.Transfer(paxos.NodeID(scan(t, d, "to", 0))), "begun")
	case "resign":
		p.node.Resign()
	}
}

func (s *stage) join(t *testing.T) {
	c := s.config
	c.ID, c.Join = paxos.NodeID(len(s.peers)+1), true
	c.Seed = uint64(c.ID)
	for _, p := range s.peers {
		c.Peers = append(c.Peers, p.id)
	}
	p := &peer{id: c.ID, config: c, disk: &disk{}, world: s}
	s.peers = append(s.peers, p)
	s.nodes[p.id] = newObserved()
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	s.restarted(p)
}

func idsArg(t *testing.T, d *datadriven.TestData, key string) (ids []paxos.NodeID) {
	for _, a := range d.CmdArgs {
		for _, v := range a.Vals {
			if a.Key != key {
				continue
			}
			n, err := strconv.Atoi(v)
			if err != nil {
				t.Fatalf("%s: %q is no node", d.Pos, v)
			}
			ids = append(ids, paxos.NodeID(n))
		}
	}
	slices.Sort(ids)
	return ids
}

// terms adds what the first commands did not know to a cluster.
func terms(t *testing.T, d *datadriven.TestData, c *paxos.Config) {
	c.Lease, c.Alpha = time.Duration(scan(t, d, "lease", 0)), uint64(scan(t, d, "alpha", 0))
}
