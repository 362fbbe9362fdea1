package main

import (
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"gfslab/chunkserver"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// chunkserverConfig is a chunkserver's configuration file; flags win over it.
type chunkserverConfig struct {
	Name        string   `toml:"name"`
	Masters     []string `toml:"masters"`
	Listen      string   `toml:"listen"`
	Advertise   string   `toml:"advertise"`
	Data        string   `toml:"data"`
	Rack        string   `toml:"rack"`
	ClusterName string   `toml:"cluster_name"`
	daemonConfig
	chunkserverPolicy
}

// chunkserverPolicy is what all chunkservers of a cell do alike.
type chunkserverPolicy struct {
	Chunks struct {
		Size   byteSize `toml:"size"`
		Buffer byteSize `toml:"buffer"`
		// Capacity is the room for chunks; 0: as the file system says.
		Capacity byteSize `toml:"capacity"`
		// ScrubRate is how many bytes a second are compared with their checksums.
		ScrubRate  byteSize        `toml:"scrub_rate"`
		ScrubEvery rundir.Duration `toml:"scrub_every"`
	} `toml:"chunks"`
	Leases struct {
		HeartbeatEvery rundir.Duration `toml:"heartbeat_every"`
		MutateTimeout  rundir.Duration `toml:"mutate_timeout"`
		Rho            float64         `toml:"rho"`
	} `toml:"leases"`
}

func (p *chunkserverPolicy) register(c *cobra.Command) {
	fs := c.Flags()
	p.Chunks.Size, p.Chunks.Buffer, p.Chunks.ScrubRate = 64<<20, 64<<20, 4<<20
	fs.Var(&p.Chunks.Size, "chunk-size", "size of a chunk, the same for all chunkservers and clients of a cell ([chunks] size)")
	fs.Var(&p.Chunks.Buffer, "buffer", "memory for data that was pushed and waits for its mutation ([chunks] buffer)")
	fs.Var(&p.Chunks.Capacity, "capacity", "room for chunks; 0: as the file system says ([chunks] capacity)")
	fs.Var(&p.Chunks.ScrubRate, "scrub-rate", "bytes a second that are compared with their checksums when there is little else to do; 0: none ([chunks] scrub_rate)")
	fs.DurationVar((*time.Duration)(&p.Chunks.ScrubEvery), "scrub-every", time.Minute, "pause after all chunks were compared ([chunks] scrub_every)")
	fs.DurationVar((*time.Duration)(&p.Leases.HeartbeatEvery), "heartbeat-every", 500*time.Millisecond, "pause between reports to a master ([leases] heartbeat_every)")
	fs.DurationVar((*time.Duration)(&p.Leases.MutateTimeout), "mutate-timeout", 5*time.Second, "bound of one mutation over all replicas ([leases] mutate_timeout)")
}

// options checks the whole; what is zero keeps its default.
func (p *chunkserverPolicy) options() (chunkserver.Options, error) {
	o := chunkserver.Options{
		ChunkBytes: int64(p.Chunks.Size), BufferBytes: int64(p.Chunks.Buffer),
		HeartbeatEvery: time.Duration(p.Leases.HeartbeatEvery), MutateTimeout: time.Duration(p.Leases.MutateTimeout), Rho: p.Leases.Rho,
	}
	o.Capacity, o.ScrubBytesPerSecond, o.ScrubEvery = uint64(p.Chunks.Capacity), int64(p.Chunks.ScrubRate), time.Duration(p.Chunks.ScrubEvery)
	if o.ScrubBytesPerSecond == 0 {
		o.ScrubBytesPerSecond = -1
	}
	var c checks
	c.want(o.ScrubEvery >= 0, "[chunks] scrub_every is %v; it must not be negative", o.ScrubEvery)
	c.want(p.Chunks.Size >= 4<<10 && p.Chunks.Size <= 1<<31, "[chunks] size is %v; it must be 4KiB to 2GiB", p.Chunks.Size)
	c.want(p.Chunks.Buffer >= p.Chunks.Size/4, "[chunks] buffer is %v; it must hold a record, a quarter of a chunk: at least %v", p.Chunks.Buffer, p.Chunks.Size/4)
	c.want(o.HeartbeatEvery >= 10*time.Millisecond, "[leases] heartbeat_every is %v; it must be at least 10ms", o.HeartbeatEvery)
	c.want(o.MutateTimeout >= 10*time.Millisecond, "[leases] mutate_timeout is %v; it must be at least 10ms", o.MutateTimeout)
	c.want(o.Rho >= 0 && o.Rho < 0.5, "[leases] rho is %v; it must be in [0, 0.5): 0.01 is one percent of drift", o.Rho)
	return o, c.err()
}

func newChunkserver() *cobra.Command {
	var (
		cfg  = new(chunkserverConfig)
		file string
	)
	c := &cobra.Command{
		Use:   "chunkserver",
		Short: "Run one chunkserver until it is interrupted",
		Long: `Run one chunkserver until SIGINT or SIGTERM. It tells the masters that it knows
what it stores, and learns of other masters from them. One that was killed is
started again with the same command; its chunks are checked and reported anew.

The file of --config has the flags' names as keys, masters as a list, and
[serving], [chunks], [leases]: see docs/running.md.`,
		Example: `  gfslab chunkserver --name cs1 --listen 10.0.0.4:7601 --masters 10.0.0.1:7501,10.0.0.2:7501,10.0.0.3:7501 --data /var/lib/gfslab
  gfslab chunkserver --config cs1.toml --metrics-addr :7801`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := readConfig(c, file, cfg); err != nil {
				return usage(err)
			}
			d, err := cfg.resolve(c)
			if err != nil {
				return usage(err)
			}
			s, err := node.ServeChunkserver(d)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "ready: chunkserver %s of %s serves at %s\n", cfg.Name, d.Cluster, d.Listen)
			return serveUntilDone(c.Context(), d.Logger, s)
		},
	}
	fs := c.Flags()
	fs.StringVar(&file, "config", "", "configuration file (TOML)")
	fs.StringVar(&cfg.Name, "name", "", "the chunkserver's name, unique in the cell for ever")
	fs.StringSliceVar(&cfg.Masters, "masters", nil, "host:port of some masters; they tell of the others")
	fs.StringVar(&cfg.Listen, "listen", "", "host:port to listen at")
	fs.StringVar(&cfg.Advertise, "advertise", "", "host:port where others reach it (default: --listen)")
	fs.StringVar(&cfg.Data, "data", "", "the chunkserver's folder")
	fs.StringVar(&cfg.Rack, "rack", "", "what fails together with this chunkserver: a chunk's replicas are spread over racks")
	fs.StringVar(&cfg.ClusterName, "cluster-name", "gfslab", "masters of another name refuse the chunkserver")
	cfg.daemonConfig.register(c)
	cfg.chunkserverPolicy.register(c)
	return c
}

// resolve checks the whole.
func (cfg *chunkserverConfig) resolve(c *cobra.Command) (d node.ChunkserverDaemon, err error) {
	var bad checks
	d = node.ChunkserverDaemon{Cluster: cfg.ClusterName, Listen: cfg.Listen, Dir: cfg.Data, MetricsAddr: cfg.MetricsAddr}
	d.Chunkserver, err = cfg.options()
	bad.add(err)
	d.Serving, err = cfg.serving()
	bad.add(err)
	log, err := cfg.logger(c.ErrOrStderr())
	bad.add(err)
	bad.want(cfg.Name != "", "--name is missing")
	bad.want(cfg.Data != "", "--data is missing")
	bad.want(len(cfg.Masters) > 0, "--masters is missing")
	for _, addr := range append(cfg.Masters[:len(cfg.Masters):len(cfg.Masters)], cfg.Listen) {
		_, _, notAddr := net.SplitHostPort(addr)
		bad.want(notAddr == nil, "%q is not an address; want host:port (--listen and --masters)", addr)
	}
	host, _, _ := net.SplitHostPort(cfg.Listen)
	ip := net.ParseIP(host)
	bad.want(cfg.Advertise != "" || host != "" && (ip == nil || !ip.IsUnspecified()),
		"--listen %s is no address that others can reach; say it with --advertise", cfg.Listen)
	if bad.err() == nil {
		d.Logger = log.With("node", cfg.Name)
		d.Chunkserver.Name, d.Chunkserver.Rack, d.Chunkserver.Masters, d.Chunkserver.Address = cfg.Name, cfg.Rack, cfg.Masters, cfg.Advertise
		if cfg.Advertise == "" {
			d.Chunkserver.Address = cfg.Listen
		}
	}
	return d, bad.err()
}

// args are the flags that say the same to another process.
func (p *chunkserverPolicy) args() []string {
	return []string{
		"--chunk-size", p.Chunks.Size.String(), "--buffer", p.Chunks.Buffer.String(), "--capacity", p.Chunks.Capacity.String(),
		"--scrub-rate", p.Chunks.ScrubRate.String(), "--scrub-every", p.Chunks.ScrubEvery.String(),
		"--heartbeat-every", p.Leases.HeartbeatEvery.String(), "--mutate-timeout", p.Leases.MutateTimeout.String(),
	}
}
