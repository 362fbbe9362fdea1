package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"gfslab/consensus"
	"gfslab/harness"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// replicaConfig is what a configuration file says of any node that holds a
// replica; flags win over it.
type replicaConfig struct {
	ID          uint64            `toml:"id"`
	Peers       map[string]string `toml:"peers"`
	Listen      string            `toml:"listen"`
	Data        string            `toml:"data"`
	Backend     string            `toml:"backend"`
	ClusterName string            `toml:"cluster_name"`
	Join        bool              `toml:"join"`
	Setting     string            `toml:"setting"`
	Limits      rundir.Limits     `toml:"limits"`
}

// replicaFlags are replicaConfig as flags.
type replicaFlags struct {
	peers  []string
	limits []string
	*replicaConfig
}

// node registers what is one node's own.
func (f *replicaFlags) node(c *cobra.Command) {
	fs := c.Flags()
	fs.Uint64Var(&f.ID, "id", 0, "this node's id, from 1")
	fs.StringSliceVar(&f.peers, "peers", nil, "id=host:port of the founders; with --join, of some members and this node")
	fs.StringVar(&f.Listen, "listen", "", "address to listen at (default: this node's among the peers)")
	fs.StringVar(&f.Data, "data", "", "the node's folder")
	fs.BoolVar(&f.Join, "join", false, "join a cluster that exists; add the node with gfslab cluster add")
}

// cluster registers what all nodes of a cluster have in common.
func (f *replicaFlags) cluster(c *cobra.Command, name string) {
	fs := c.Flags()
	fs.StringVar(&f.Backend, "backend", node.MultiPaxos, "one of "+strings.Join(node.Backends(), ", "))
	fs.StringVar(&f.ClusterName, "cluster-name", name, "nodes of another name are refused")
	fs.StringVar(&f.Setting, "setting", "matched-2", "one of "+strings.Join(harness.Settings(), ", "))
	fs.StringArrayVar(&f.limits, "limit", nil, "key=value that differs from the setting (gfslab plan print shows the keys of [limits])")
	complete(c, "backend", node.Backends())
	complete(c, "setting", harness.Settings())
}

// resolve checks the whole and turns it into what a node needs.
func (f *replicaFlags) resolve() (node.ReplicaDaemon, error) {
	d := node.ReplicaDaemon{
		Backend: f.Backend, Cluster: f.ClusterName, Self: consensus.NodeID(f.ID), Join: f.Join, Listen: f.Listen, Dir: f.Data,
	}
	named := f.replicaConfig.Peers
	if len(f.peers) > 0 {
		named = map[string]string{}
		for _, p := range f.peers {
			id, addr, ok := strings.Cut(p, "=")
			if !ok {
				return d, fmt.Errorf("--peers %s: want id=host:port", p)
			}
			named[id] = addr
		}
	}
	var err error
	d.Limits, err = resolveLimits(f.Setting, f.replicaConfig.Limits, f.limits)
	if err == nil {
		err = node.CheckLimits(f.Backend, d.Limits, len(named))
	}
	if f.ID == 0 {
		err = errors.Join(err, errors.New("--id is missing"))
	}
	if f.Data == "" {
		err = errors.Join(err, errors.New("--data is missing"))
	}
	for id, addr := range named {
		n, badID := strconv.ParseUint(id, 10, 64)
		if badID != nil || n == 0 {
			err = errors.Join(err, fmt.Errorf("peer %q: an id is a number from 1", id))
		}
		if _, _, bad := net.SplitHostPort(addr); bad != nil {
			err = errors.Join(err, fmt.Errorf("peer %s=%s: want host:port", id, addr))
		}
		d.Peers = append(d.Peers, consensus.Peer{ID: consensus.NodeID(n), Addr: addr})
	}
	slices.SortFunc(d.Peers, func(a, b consensus.Peer) int { return int(a.ID) - int(b.ID) })
	if !slices.ContainsFunc(d.Peers, func(p consensus.Peer) bool { return p.ID == d.Self }) {
		err = errors.Join(err, fmt.Errorf("node %d is not among the peers; name it there too", d.Self))
	}
	d.Seed = randomSeed()
	return d, err
}

// randomSeed makes nodes that are started alike time out apart.
func randomSeed() uint64 {
	var seed [8]byte
	rand.Read(seed[:]) // never fails
	return binary.LittleEndian.Uint64(seed[:])
}

// resolveLimits returns a setting's limits with what a file and flags change.
func resolveLimits(setting string, file rundir.Limits, flags []string) (consensus.Limits, error) {
	l, err := harness.LimitsOf(setting)
	if err != nil {
		return l, err
	}
	for _, f := range flags {
		if err := harness.SetLimit(&file, f); err != nil {
			return l, err
		}
	}
	return harness.Differ(l, file)
}
