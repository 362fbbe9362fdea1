package unreplicated_test

import (
	"testing"

	"go.uber.org/goleak"

	"gfslab/consensus"
	"gfslab/consensus/consensustest"
	"gfslab/consensus/engine"
	"gfslab/consensus/unreplicated"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func backend() consensustest.Backend {
	return consensustest.Backend{
		Name: "unreplicated",
		Open: func(cfg consensus.Config, env consensustest.Env) (consensus.Replica, error) {
			return unreplicated.Open(cfg, engine.Deps{FS: env.FS, Dir: env.Dir, Network: env.Network, Listener: env.Listener})
		},
		Capabilities: consensustest.Capabilities{SingleNode: true, Missing: []consensustest.Feature{
			consensustest.Install, consensustest.Membership, consensustest.Learners, consensustest.Transfer, consensustest.Resigns,
		}},
	}
}

func TestSuiteVirtual(t *testing.T) { consensustest.Run(t, backend(), consensustest.Virtual) }

func TestSuiteReal(t *testing.T) { consensustest.Run(t, backend(), consensustest.Real) }
