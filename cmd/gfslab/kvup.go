package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// newKVUp makes the command that starts a whole cluster on this machine.
func newKVUp() *cobra.Command {
	var (
		f     = replicaFlags{replicaConfig: new(replicaConfig)}
		data  string
		nodes int
		port  int
	)
	c := &cobra.Command{
		Use:   "up",
		Short: "Run a cluster on this machine, a process a node, until interrupted",
		Long: `Run a cluster on this machine until SIGINT or SIGTERM: one process a node (kill one
with kill -9 and see), all data under one folder. Started again with the same
folder it goes on where it was. A node that dies is started again.`,
		Example: "  gfslab kv up --data /tmp/kv\n  gfslab kv up --data /tmp/kv5 --nodes 5 --port 7501 --backend hashiraft --limit snapshot_every=10000",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case data == "":
				return usage(errors.New("--data is missing"))
			case nodes < 1 || nodes > 9:
				return usage(fmt.Errorf("--nodes %d: it must be 1 to 9", nodes))
			case port < 1 || port+nodes > 65535:
				return usage(fmt.Errorf("--port %d: it must leave room for %d ports", port, nodes))
			}
			if _, err := resolveLimits(f.Setting, f.replicaConfig.Limits, f.limits); err != nil {
				return usage(err)
			}
			return runKVUp(c, f, data, nodes, port)
		},
	}
	c.Flags().StringVar(&data, "data", "", "folder of all nodes")
	c.Flags().IntVar(&nodes, "nodes", 3, "nodes")
	c.Flags().IntVar(&port, "port", 7401, "port of the first node; the others follow")
	f.cluster(c, "gfslab-kv")
	return c
}

func runKVUp(c *cobra.Command, f replicaFlags, data string, nodes, port int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	endpoints := local(port, nodes)
	common := append([]string{"kv", "serve", "--peers", asPeers(endpoints), "--cluster-name", f.ClusterName}, f.protocolArgs()...)
	var all []process
	for i := range nodes {
		args := append(common[:len(common):len(common)], "--id", fmt.Sprint(i+1), "--data", filepath.Join(data, fmt.Sprintf("node%d", i+1)))
		all = append(all, process{fmt.Sprint(i + 1), args})
	}
	return keepAll(c.Context(), self, all, &lines{w: c.ErrOrStderr()}, func(ctx context.Context) error {
		if err := awaitLeader(ctx, endpoints); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "ready: --endpoints %s\n", strings.Join(endpoints, ","))
		return err
	})
}

// local lists n addresses of this machine from a port on.
func local(port, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("127.0.0.1:%d", port+i))
	}
	return out
}

// asPeers names the addresses as nodes from 1 on, for --peers.
func asPeers(addresses []string) string {
	var out []string
	for i, addr := range addresses {
		out = append(out, fmt.Sprintf("%d=%s", i+1, addr))
	}
	return strings.Join(out, ",")
}

// protocolArgs are the flags of a node that say how its log is replicated.
func (f *replicaFlags) protocolArgs() []string {
	args := []string{"--backend", f.Backend, "--setting", f.Setting}
	for _, l := range f.limits {
		args = append(args, "--limit", l)
	}
	return args
}
