package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"gfslab/internal/node"
)

func newKVServe() *cobra.Command {
	var (
		f    = replicaFlags{replicaConfig: new(replicaConfig)}
		file string
	)
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
			if err := readConfig(c, file, f.replicaConfig); err != nil {
				return usage(err)
			}
			d, err := f.resolve()
			if err != nil {
				return usage(err)
			}
			d.Logger = slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)).With("node", d.Self)
			n, err := node.ServeKV(node.KVDaemon{ReplicaDaemon: d})
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "ready: node %d of %s (%s) serves peers and clients\n", d.Self, d.Cluster, d.Backend)
			return serveUntilDone(c.Context(), d.Logger, n)
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration file (TOML)")
	f.node(c)
	f.cluster(c, "gfslab-kv")
	return c
}

// daemon is what runs until it is told to stop.
type daemon interface {
	Retire(ctx context.Context)
	Close() error
}

// serveUntilDone waits for the signal, and stops the daemon: the lead goes to
// another node, calls in progress get a moment to end, and what is left is ended.
func serveUntilDone(ctx context.Context, log *slog.Logger, d daemon) error {
	<-ctx.Done()
	log.Info("stops")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), retireTime)
	defer cancel()
	d.Retire(grace)
	return d.Close()
}
