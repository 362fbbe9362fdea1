package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"gfslab/consensus"
	"gfslab/harness"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// kvConfig is a node's configuration file; flags win over it.
type kvConfig struct {
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

// kvServeFlags are kvConfig as flags.
type kvServeFlags struct {
	file   string
	peers  []string
	limits []string
	kvConfig
}

func newKVServe() *cobra.Command {
	var f kvServeFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run one node until it is interrupted",
		Long: `Run one node of the key-value store until SIGINT or SIGTERM. Peers and clients
use the same address. A node that was killed is started again with the same
command; a replaced one gets a new id, a new folder and --join.

The file of --config has the flags' names as keys (cluster-name is cluster_name),
[peers] with 1 = "host:port", and [limits] with the keys that --limit takes.`,
		Example: `  gfslab kv serve --id 1 --peers 1=10.0.0.1:7400,2=10.0.0.2:7400,3=10.0.0.3:7400 --data /var/lib/gfslab
  gfslab kv serve --config node1.toml --backend etcdraft --limit read_mode=lease --limit snapshot_every=100000
  gfslab kv serve --id 4 --join --peers 1=10.0.0.1:7400,4=10.0.0.4:7400 --data /var/lib/gfslab`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := f.resolve(c)
			if err != nil {
				return usage(err)
			}
			return serveKV(c, d)
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.file, "config", "", "configuration file (TOML)")
	fs.Uint64Var(&f.ID, "id", 0, "this node's id, from 1")
	fs.StringSliceVar(&f.peers, "peers", nil, "id=host:port of the founders; with --join, of some members and this node")
	fs.StringVar(&f.Listen, "listen", "", "address to listen at (default: this node's among the peers)")
	fs.StringVar(&f.Data, "data", "", "the node's folder")
	fs.BoolVar(&f.Join, "join", false, "join a cluster that exists; add the node with `gfslab cluster add`")
	f.cluster(c)
	return c
}

// cluster registers what all nodes of a cluster have in common.
func (f *kvServeFlags) cluster(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVar(&f.Backend, "backend", node.MultiPaxos, "one of "+strings.Join(node.Backends(), ", "))
	fs.StringVar(&f.ClusterName, "cluster-name", "gfslab-kv", "nodes of another name are refused")
	fs.StringVar(&f.Setting, "setting", "matched-2", "one of "+strings.Join(harness.Settings(), ", "))
	fs.StringArrayVar(&f.limits, "limit", nil, "key=value that differs from the setting (`gfslab plan print` shows the keys of [limits])")
	complete(c, "backend", node.Backends())
	complete(c, "setting", harness.Settings())
}

// resolve overlays the file by the flags that were given.
func (f *kvServeFlags) resolve(c *cobra.Command) (node.KVDaemon, error) {
	cfg := f.kvConfig
	if f.file != "" {
		var file kvConfig
		text, err := os.ReadFile(f.file)
		if err != nil {
			return node.KVDaemon{}, err
		}
		if err := decodeStrict(text, &file); err != nil {
			return node.KVDaemon{}, fmt.Errorf("%s: %w", f.file, err)
		}
		cfg = f.overlay(c, file)
	}
	if len(f.peers) > 0 {
		cfg.Peers = map[string]string{}
		for _, p := range f.peers {
			id, addr, ok := strings.Cut(p, "=")
			if !ok {
				return node.KVDaemon{}, fmt.Errorf("--peers %s: want id=host:port", p)
			}
			cfg.Peers[id] = addr
		}
	}
	limits, err := resolveLimits(cfg.Setting, cfg.Limits, f.limits)
	d := node.KVDaemon{
		Backend: cfg.Backend, Cluster: cfg.ClusterName, Self: consensus.NodeID(cfg.ID), Join: cfg.Join, Listen: cfg.Listen, Dir: cfg.Data, Limits: limits,
	}
	if cfg.ID == 0 {
		err = errors.Join(err, errors.New("--id is missing"))
	}
	if cfg.Data == "" {
		err = errors.Join(err, errors.New("--data is missing"))
	}
	for id, addr := range cfg.Peers {
		n, badID := strconv.ParseUint(id, 10, 64)
		if badID != nil || n == 0 {
			err = errors.Join(err, fmt.Errorf("peer %q: an id is a number from 1", id))
		}
		d.Peers = append(d.Peers, consensus.Peer{ID: consensus.NodeID(n), Addr: addr})
	}
	slices.SortFunc(d.Peers, func(a, b consensus.Peer) int { return int(a.ID) - int(b.ID) })
	if !slices.ContainsFunc(d.Peers, func(p consensus.Peer) bool { return p.ID == d.Self }) {
		err = errors.Join(err, fmt.Errorf("node %d is not among the peers", d.Self))
	}
	return d, err
}

// overlay puts the flags that were given over the file, and the flags' defaults
// under it.
func (f *kvServeFlags) overlay(c *cobra.Command, file kvConfig) kvConfig {
	given, flags := c.Flags().Changed, f.kvConfig
	pick := func(flag string, file, byFlag string) string {
		if given(flag) || file == "" {
			return byFlag
		}
		return file
	}
	file.Listen, file.Data = pick("listen", file.Listen, flags.Listen), pick("data", file.Data, flags.Data)
	file.Backend, file.Setting = pick("backend", file.Backend, flags.Backend), pick("setting", file.Setting, flags.Setting)
	file.ClusterName = pick("cluster-name", file.ClusterName, flags.ClusterName)
	if given("id") {
		file.ID = flags.ID
	}
	if given("join") {
		file.Join = flags.Join
	}
	return file
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

// decodeStrict reads TOML; an unknown key is an error that shows the line.
func decodeStrict(text []byte, into any) error {
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(into)
	var strict *toml.StrictMissingError
	var decode *toml.DecodeError
	switch {
	case errors.As(err, &strict):
		return fmt.Errorf("unknown key:\n%s", strict.String())
	case errors.As(err, &decode):
		return fmt.Errorf("cannot be read:\n%s", decode.String())
	}
	return err
}

func serveKV(c *cobra.Command, d node.KVDaemon) error {
	d.Logger = slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)).With("node", d.Self)
	var seed [8]byte
	rand.Read(seed[:]) // never fails
	d.Seed = binary.LittleEndian.Uint64(seed[:])
	n, err := node.ServeKV(d)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "ready: node %d of %s (%s) serves peers and clients\n", d.Self, d.Cluster, d.Backend)
	<-c.Context().Done()
	d.Logger.Info("stops")
	return n.Close()
}
