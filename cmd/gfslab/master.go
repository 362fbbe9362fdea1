package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"gfslab/internal/node"
	"gfslab/master"
	"gfslab/results/rundir"
)

// masterConfig is a master's configuration file; flags win over it.
type masterConfig struct {
	replicaConfig
	daemonConfig
	masterPolicy
}

// masterPolicy is what all masters of a cell do alike.
type masterPolicy struct {
	Leases struct {
		// Term is D; Rho bounds the relative error of any node's clock.
		Term rundir.Duration `toml:"term"`
		Rho  float64         `toml:"rho"`
		// Wait lets a dead primary's lease run out instead of fencing it.
		Wait bool `toml:"wait"`
	} `toml:"leases"`
	// Strict seals a full chunk before the next one is allocated.
	Strict      bool `toml:"strict"`
	Replication struct {
		Replicas       int             `toml:"replicas"`
		DeadAfter      rundir.Duration `toml:"dead_after"`
		ReplicateAfter orNever         `toml:"replicate_after"`
		WarmUp         rundir.Duration `toml:"warm_up"`
		OrphanAge      rundir.Duration `toml:"orphan_age"`
		CallTimeout    rundir.Duration `toml:"call_timeout"`
		// Clones a chunkserver takes part in at once, and chunks worked at in all.
		ClonesPerServer     int             `toml:"clones_per_server"`
		Clones              int             `toml:"clones"`
		CloneTimeout        rundir.Duration `toml:"clone_timeout"`
		CloneBytesPerSecond byteSize        `toml:"clone_bytes_per_second"`
	} `toml:"replication"`
	Placement struct {
		BalanceEvery orNever `toml:"balance_every"`
	} `toml:"placement"`
}

func (p *masterPolicy) register(c *cobra.Command) {
	fs, r := c.Flags(), &p.Replication
	o := master.Options{}.WithDefaults()
	fs.DurationVar((*time.Duration)(&p.Leases.Term), "lease-term", o.LeaseTerm, "how long a primary may act on one grant ([leases] term)")
	fs.BoolVar(&p.Leases.Wait, "lease-wait", false, "wait until a dead primary's lease has run out, instead of fencing it by the chunk's version ([leases] wait)")
	fs.BoolVar(&p.Strict, "strict", false, "seal a full chunk before the next is allocated: offsets then follow real time across chunks")
	fs.IntVar(&r.Replicas, "replicas", o.Replicas, "chunkservers that a chunk is placed on ([replication] replicas)")
	fs.DurationVar((*time.Duration)(&r.DeadAfter), "dead-after", o.DeadAfter, "silence after which a chunkserver counts as dead ([replication] dead_after)")
	fs.DurationVar((*time.Duration)(&r.ReplicateAfter), "replicate-after", o.ReplicateAfter, "how long a chunk lacks a replica before it is cloned; negative: never ([replication] replicate_after)")
	fs.DurationVar((*time.Duration)(&r.WarmUp), "warm-up", o.WarmUp, "how long a new leader waits for the reports of all chunkservers ([replication] warm_up)")
	fs.Var(&r.CloneBytesPerSecond, "clone-rate", "bytes a second that a chunkserver may write clones with; 0: as fast as it goes ([replication] clone_bytes_per_second)")
	fs.DurationVar((*time.Duration)(&p.Placement.BalanceEvery), "balance-every", o.BalanceEvery, "pause between moves from full chunkservers to empty ones; negative: never ([placement] balance_every)")
}

// options checks the whole; what is zero keeps its default.
func (p *masterPolicy) options() (master.Options, error) {
	r := &p.Replication
	o := master.Options{
		LeaseTerm: time.Duration(p.Leases.Term), Rho: p.Leases.Rho, LeaseWait: p.Leases.Wait, Strict: p.Strict,
		Replicas: r.Replicas, DeadAfter: time.Duration(r.DeadAfter), ReplicateAfter: time.Duration(r.ReplicateAfter),
		WarmUp: time.Duration(r.WarmUp), OrphanAge: time.Duration(r.OrphanAge), CallTimeout: time.Duration(r.CallTimeout),
		CloneLimit: r.ClonesPerServer, CloneTotal: r.Clones, CloneTimeout: time.Duration(r.CloneTimeout), CloneBytesPerSecond: uint64(r.CloneBytesPerSecond),
		BalanceEvery: time.Duration(p.Placement.BalanceEvery),
	}
	var c checks
	c.want(o.LeaseTerm >= 10*time.Millisecond, "[leases] term is %v; it must be at least 10ms, or leases end before they are known", o.LeaseTerm)
	c.want(o.Rho >= 0 && o.Rho < 0.5, "[leases] rho is %v; it must be in [0, 0.5): 0.01 is one percent of drift", o.Rho)
	c.want(o.Replicas >= 1 && o.Replicas <= 16, "[replication] replicas is %d; it must be 1 to 16", o.Replicas)
	c.want(o.DeadAfter >= 100*time.Millisecond, "[replication] dead_after is %v; it must be at least 100ms, some heartbeats long", o.DeadAfter)
	for _, x := range []struct {
		key   string
		value rundir.Duration
	}{{"warm_up", r.WarmUp}, {"orphan_age", r.OrphanAge}, {"call_timeout", r.CallTimeout}, {"clone_timeout", r.CloneTimeout}} {
		c.want(x.value >= 0, "[replication] %s is %v; it must not be negative", x.key, x.value)
	}
	c.want(r.ClonesPerServer >= 0 && r.Clones >= 0, "[replication] clones_per_server is %d and clones %d; neither may be negative", r.ClonesPerServer, r.Clones)
	return o, c.err()
}

// A master's log is cut below a snapshot this often, where nothing else is said, and
// what others may lack a little longer is kept.
const (
	snapshotEvery   = 100_000
	trailingEntries = 10_000
)

func newMaster() *cobra.Command {
	var (
		cfg  = new(masterConfig)
		f    = replicaFlags{replicaConfig: &cfg.replicaConfig}
		file string
	)
	c := &cobra.Command{
		Use:   "master",
		Short: "Run one master until it is interrupted",
		Long: `Run one replica of the master until SIGINT or SIGTERM. Peers, chunkservers and
clients use the same address. A master that was killed is started again with the
same command: over its log it goes on where it was, and founds nothing.

The file of --config has the flags' names as keys (cluster-name is cluster_name),
[peers] with 1 = "host:port", [limits] with the keys that --limit takes, and
[serving], [leases], [replication], [placement]: see docs/running.md.`,
		Example: `  gfslab master --id 1 --peers 1=10.0.0.1:7501,2=10.0.0.2:7501,3=10.0.0.3:7501 --data /var/lib/gfslab
  gfslab master --config master1.toml --metrics-addr :7701 --log-format json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := readConfig(c, file, cfg); err != nil {
				return usage(err)
			}
			d, err := cfg.resolve(c, &f)
			if err != nil {
				return usage(err)
			}
			m, err := node.ServeMaster(d)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "ready: master %d of %s (%s) serves peers, chunkservers and clients\n", d.Self, d.Cluster, d.Backend)
			return serveUntilDone(c.Context(), d.Logger, m)
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration file (TOML)")
	f.node(c)
	f.cluster(c, "gfslab")
	cfg.daemonConfig.register(c)
	cfg.masterPolicy.register(c)
	return c
}

// resolve checks the whole.
func (cfg *masterConfig) resolve(c *cobra.Command, f *replicaFlags) (d node.MasterDaemon, err error) {
	var bad checks
	d.ReplicaDaemon, err = f.resolve()
	bad.add(err)
	if d.Limits.SnapshotEvery == 0 { // else the log of a daemon grows for ever
		d.Limits.SnapshotEvery, d.Limits.TrailingEntries = snapshotEvery, max(d.Limits.TrailingEntries, trailingEntries)
	}
	d.Master, err = cfg.options()
	bad.add(err)
	d.Serving, err = cfg.serving()
	bad.add(err)
	log, err := cfg.logger(c.ErrOrStderr())
	bad.add(err)
	if bad.err() == nil {
		d.Logger, d.MetricsAddr = log.With("node", d.Self), cfg.MetricsAddr
	}
	return d, bad.err()
}

// args are the flags that say the same to another process.
func (p *masterPolicy) args() []string {
	r := &p.Replication
	return []string{
		"--lease-term", p.Leases.Term.String(), fmt.Sprintf("--lease-wait=%v", p.Leases.Wait), fmt.Sprintf("--strict=%v", p.Strict),
		"--replicas", fmt.Sprint(r.Replicas), "--dead-after", r.DeadAfter.String(), "--replicate-after", r.ReplicateAfter.String(),
		"--warm-up", r.WarmUp.String(), "--clone-rate", r.CloneBytesPerSecond.String(), "--balance-every", p.Placement.BalanceEvery.String(),
	}
}
