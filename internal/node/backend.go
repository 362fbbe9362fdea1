package node

import (
	"fmt"
	"strings"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/etcdraft"
	"gfslab/consensus/hashiraft"
	"gfslab/consensus/multipaxos"
	"gfslab/consensus/unreplicated"
)

// The backends' names.
const (
	MultiPaxos   = "multipaxos"
	EtcdRaft     = "etcdraft"
	HashiRaft    = "hashiraft"
	Unreplicated = "unreplicated"
)

// backend is one implementation of the contract.
type backend struct {
	name      string
	open      func(consensus.Config, engine.Deps) (consensus.Replica, error)
	effective func(consensus.Limits) map[string]string
	protocol  func(consensus.Limits) engine.Protocol // nil where the engine opens none that has peers
	check     func(l consensus.Limits, voters int) error
}

func backends() []backend {
	return []backend{
		{MultiPaxos, multipaxos.Open, multipaxos.Effective, multipaxos.Protocol, multipaxos.Check},
		{EtcdRaft, etcdraft.Open, etcdraft.Effective, func(consensus.Limits) engine.Protocol { return etcdraft.Protocol() }, ownCoreOnly},
		{HashiRaft, openHashi, hashiraft.Effective, nil, ownCoreOnly},
		{Unreplicated, unreplicated.Open, unreplicated.Effective, nil, ownCoreOnly},
	}
}

func openHashi(cfg consensus.Config, d engine.Deps) (consensus.Replica, error) {
	return hashiraft.Open(cfg, hashiraft.Deps{
		FS: d.FS, Dir: d.Dir, Network: d.Network, Listener: d.Listener,
		SegmentBytes: d.SegmentBytes, TailBytes: d.TailBytes,
	})
}

// Backends names every backend, the control last.
func Backends() []string {
	var names []string
	for _, b := range backends() {
		names = append(names, b.name)
	}
	return names
}

// Replicated names the backends that replicate: all but the control.
func Replicated() []string {
	all := Backends()
	return all[:len(all)-1]
}

func find(name string) (backend, error) {
	for _, b := range backends() {
		if b.name == name {
			return b, nil
		}
	}
	return backend{}, fmt.Errorf("backend %q is unknown; it must be one of %s", name, strings.Join(Backends(), ", "))
}

// OpenReplica opens a replica of the named backend.
func OpenReplica(name string, cfg consensus.Config, d engine.Deps) (consensus.Replica, error) {
	b, err := find(name)
	if err != nil {
		return nil, err
	}
	return b.open(cfg, d)
}

// Protocol returns the named backend as the engine opens it, for a world that
// runs cores without the engine's goroutines.
func Protocol(name string, l consensus.Limits) (engine.Protocol, error) {
	b, err := find(name)
	if err == nil && b.protocol == nil {
		err = fmt.Errorf("backend %q has no core with peers that runs without goroutines of its own", name)
	}
	if err != nil {
		return engine.Protocol{}, err
	}
	return b.protocol(l), nil
}

func ownCoreOnly(l consensus.Limits, _ int) error { return l.OwnCoreOnly() }

// CheckLimits says what a replica of the named backend would refuse of the limits,
// in a cluster of that many voters.
func CheckLimits(name string, l consensus.Limits, voters int) error {
	b, err := find(name)
	if err != nil {
		return err
	}
	return b.check(l, voters)
}

// Effective returns the named backend's own translation of the limits, for the
// manifest of a run.
func Effective(name string, l consensus.Limits) (map[string]string, error) {
	b, err := find(name)
	if err != nil {
		return nil, err
	}
	return b.effective(l), nil
}
