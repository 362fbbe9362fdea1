package multipaxos_test

import (
	"testing"

	"go.uber.org/goleak"

	"gfslab/consensus"
	"gfslab/consensus/consensustest"
	"gfslab/consensus/engine"
	"gfslab/consensus/multipaxos"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func backend() consensustest.Backend {
	return consensustest.Backend{
		Name: "multipaxos",
		Open: func(cfg consensus.Config, env consensustest.Env) (consensus.Replica, error) {
			return multipaxos.Open(cfg, engine.Deps{FS: env.FS, Dir: env.Dir, Network: env.Network, Listener: env.Listener})
		},
	}
}

func TestSuiteVirtual(t *testing.T) { consensustest.Run(t, backend(), consensustest.Virtual) }

func TestSuiteReal(t *testing.T) { consensustest.Run(t, backend(), consensustest.Real) }

// switched is the backend with another protocol: the core's switches.
func switched(name string, s consensus.Switches) consensustest.Backend {
	b := backend()
	b.Name, b.Limits = "multipaxos, "+name, consensus.Matched2()
	b.Limits.Switches = s
	if kept := s.OldSlots == consensus.RaftMode().OldSlots; kept || s.Number == consensus.RaftMode().Number {
		b.Capabilities.Missing = append(b.Capabilities.Missing, consensustest.Membership, consensustest.Learners)
	}
	return b
}

func TestSuiteVirtualRaftMode(t *testing.T) {
	consensustest.Run(t, switched("Raft mode", consensus.RaftMode()), consensustest.Virtual)
}

func TestSuiteVirtualUpToDate(t *testing.T) {
	consensustest.Run(t, switched("up-to-date leaders", consensus.Switches{Eligibility: "up-to-date", CatchUp: "leader"}), consensustest.Virtual)
}

func TestSuiteVirtualVoteContiguous(t *testing.T) {
	s := consensus.Switches{Number: "vote", Acceptance: "contiguous", Notice: "piggyback"}
	consensustest.Run(t, switched("votes, contiguous", s), consensustest.Virtual)
}
