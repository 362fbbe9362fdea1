package hashiraft_test

import (
	"testing"

	"go.uber.org/goleak"

	"gfslab/consensus"
	"gfslab/consensus/consensustest"
	"gfslab/consensus/hashiraft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func backend() consensustest.Backend {
	return consensustest.Backend{
		Name: "hashiraft",
		Open: func(cfg consensus.Config, env consensustest.Env) (consensus.Replica, error) {
			return hashiraft.Open(cfg, hashiraft.Deps{FS: env.FS, Dir: env.Dir, Network: env.Network, Listener: env.Listener})
		},
		Limits: consensus.Matched3(),
	}
}

func TestSuiteVirtual(t *testing.T) { consensustest.Run(t, backend(), consensustest.Virtual) }

func TestSuiteReal(t *testing.T) { consensustest.Run(t, backend(), consensustest.Real) }
