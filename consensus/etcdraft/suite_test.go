package etcdraft_test

import (
	"testing"

	"go.uber.org/goleak"

	"gfslab/consensus"
	"gfslab/consensus/consensustest"
	"gfslab/consensus/engine"
	"gfslab/consensus/etcdraft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func backend() consensustest.Backend {
	return consensustest.Backend{
		Name: "etcdraft",
		Open: func(cfg consensus.Config, env consensustest.Env) (consensus.Replica, error) {
			return etcdraft.Open(cfg, engine.Deps{FS: env.FS, Dir: env.Dir, Network: env.Network, Listener: env.Listener})
		},
		Capabilities: consensustest.Capabilities{LeaseUnsafe: true},
	}
}

func TestSuiteVirtual(t *testing.T) { consensustest.Run(t, backend(), consensustest.Virtual) }

func TestSuiteReal(t *testing.T) { consensustest.Run(t, backend(), consensustest.Real) }
