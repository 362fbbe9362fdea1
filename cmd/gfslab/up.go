package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gfslab/internal/disk"
	"gfslab/internal/node"
)

// upFlags are those of `gfslab up`.
type upFlags struct {
	replicaFlags
	masterPolicy
	chunkserverPolicy
	daemonConfig
	data                        string
	masters, chunkservers, port int
	fresh                       bool
	retention                   time.Duration
	owner                       node.Owner
}

// The ports of a cell on one machine, from that of the first master on.
const (
	chunkserverPorts       = 100
	masterMetricPorts      = 200
	chunkserverMetricPorts = 300
)

func newUp() *cobra.Command {
	f := upFlags{replicaFlags: replicaFlags{replicaConfig: new(replicaConfig)}}
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the whole file system on this machine until interrupted",
		Long: `Run masters and chunkservers on this machine until SIGINT or SIGTERM, a process
each (kill one with kill -9 and see), all data under one folder. Started again with
the same folder it goes on where it was. A process that dies is started again.

Masters listen from --port on, chunkservers 100 above, and Prometheus is served
/metrics 200 (masters) and 300 (chunkservers) above. The line that begins with
"ready:" is printed when a leader serves and knows all chunkservers.`,
		Example: `  gfslab up
  gfslab up --data /tmp/cell --masters 5 --chunkservers 6 --backend etcdraft --lease-term 2s
  gfslab up --fresh --chunk-size 1MiB`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			folder, err := f.claim(c)
			if err != nil {
				return err
			}
			return errors.Join(f.run(c), folder.Release())
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.data, "data", "gfslab-data", "folder of all nodes")
	fs.IntVar(&f.masters, "masters", 3, "masters")
	fs.IntVar(&f.chunkservers, "chunkservers", 3, "chunkservers; more can be added at a later start")
	fs.IntVar(&f.port, "port", 7501, "port of the first master")
	fs.BoolVar(&f.fresh, "fresh", false, "remove what an earlier gfslab up left in the folder")
	fs.DurationVar(&f.retention, "retention", 0, "how long deleted files can be brought back, set at / (default: as it is, 72h at first)")
	f.cluster(c, "")
	// One name a folder: a chunkserver never reports to another cell's masters.
	_ = fs.MarkHidden("cluster-name")
	f.masterPolicy.register(c)
	f.chunkserverPolicy.register(c)
	f.daemonConfig.register(c)
	_ = fs.MarkHidden("metrics-addr")
	return c
}

// check refuses what no cell can be.
func (f *upFlags) check() error {
	var c checks
	c.want(f.masters >= 1 && f.masters <= 9, "--masters %d: it must be 1 to 9", f.masters)
	c.want(f.chunkservers >= 1 && f.chunkservers <= 99, "--chunkservers %d: it must be 1 to 99", f.chunkservers)
	c.want(f.port >= 1 && f.port+chunkserverMetricPorts+99 <= 65535, "--port %d: it must be 1 to %d, for the ports above it", f.port, 65535-chunkserverMetricPorts-99)
	c.want(f.retention >= 0, "--retention %v: it must not be negative", f.retention)
	c.want(f.Backend != node.Unreplicated || f.masters == 1, "--backend %s: it runs with --masters 1 only", f.Backend)
	l, err := resolveLimits(f.Setting, f.replicaConfig.Limits, f.limits)
	if err == nil {
		err = node.CheckLimits(f.Backend, l, f.masters)
	}
	c.add(err)
	_, err = f.masterPolicy.options()
	c.add(err)
	_, err = f.chunkserverPolicy.options()
	c.add(err)
	return c.err()
}

// claim takes the folder. What an earlier start laid down there holds, where the
// flags do not say otherwise; where they do, it is refused.
func (f *upFlags) claim(c *cobra.Command) (*node.Folder, error) {
	have, err := node.ReadOwner(disk.Default, f.data)
	known := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if known && have.Kind != "up" {
		return nil, usage(fmt.Errorf("the folder %s belongs to %v, not to a `gfslab up`; choose another --data", f.data, have))
	}
	if known && !f.fresh {
		given := c.Flags().Changed
		if !given("masters") {
			f.masters = have.Masters
		}
		if !given("port") {
			f.port = have.Port
		}
		if !given("backend") {
			f.Backend = have.Backend
		}
		if !given("chunk-size") {
			f.chunkserverPolicy.Chunks.Size = byteSize(have.ChunkBytes)
		}
		if n := f.found(); !given("chunkservers") {
			f.chunkservers = max(n, 1)
		} else if f.chunkservers < n {
			return nil, usage(fmt.Errorf("--chunkservers %d: %s has chunks of %d; what the others hold would be missing", f.chunkservers, f.data, n))
		}
	}
	if err := f.check(); err != nil {
		return nil, usage(err)
	}
	f.owner = node.Owner{
		Kind: "up", Cluster: have.Cluster, Node: "-", Backend: f.Backend, ChunkBytes: int64(f.chunkserverPolicy.Chunks.Size), Masters: f.masters, Port: f.port,
	}
	if !known || f.fresh {
		f.owner.Cluster = fmt.Sprintf("cell-%08x", uint32(randomSeed()))
	}
	want := f.owner
	if known && f.fresh {
		want = have
	}
	if !known { // a folder keeps its ports
		if err := awaitPorts(c.Context(), f.addresses(), 0); err != nil {
			return nil, err
		}
	}
	folder, err := node.Claim(disk.Default, f.data, want, 0)
	if err != nil {
		return nil, usage(fmt.Errorf("%w\n--fresh starts over in a folder that an earlier `gfslab up` left", err))
	}
	if err := awaitPorts(c.Context(), f.addresses(), killAfter); err != nil {
		return nil, errors.Join(err, folder.Release())
	}
	if known && f.fresh {
		if err := folder.Wipe(f.owner); err != nil {
			return nil, errors.Join(err, folder.Release())
		}
	}
	return folder, nil
}

// found counts the chunkservers of earlier starts.
func (f *upFlags) found() int {
	n := 0
	for ; ; n++ {
		if _, err := os.Stat(filepath.Join(f.data, fmt.Sprintf("chunkserver%d", n+1))); err != nil {
			return n
		}
	}
}

// run starts the processes and waits for the end.
func (f *upFlags) run(c *cobra.Command) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	endpoints := local(f.port, f.masters)
	return keepAll(c.Context(), self, f.processes(endpoints), &lines{w: c.ErrOrStderr()}, func(ctx context.Context) error {
		begin := time.Now()
		if err := awaitCell(ctx, endpoints, f.owner.Cluster, f.chunkservers, f.retention); err != nil {
			return err
		}
		at := ""
		if f.port != 7501 || f.masters != 3 {
			at = " --masters " + strings.Join(endpoints, ",")
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), `ready: %d masters (%s) from port %d on, %d chunkservers, data in %s, after %.1f s
  try: gfslab fs%s put FILE /FILE; gfslab fs%s ls -l /; gfslab fs --help
  metrics: http://127.0.0.1:%d/metrics; Ctrl-C stops all
`, f.masters, f.Backend, f.port, f.chunkservers, f.data, time.Since(begin).Seconds(), at, at, f.port+masterMetricPorts)
		return err
	})
}

// addresses are where the nodes listen.
func (f *upFlags) addresses() []string {
	all := append(local(f.port, f.masters), local(f.port+chunkserverPorts, f.chunkservers)...)
	all = append(all, local(f.port+masterMetricPorts, f.masters)...)
	return append(all, local(f.port+chunkserverMetricPorts, f.chunkservers)...)
}

// processes are the command lines of all nodes.
func (f *upFlags) processes(endpoints []string) []process {
	logging := []string{"--log-format", f.LogFormat, "--log-level", f.LogLevel, "--cluster-name", f.owner.Cluster}
	var all []process
	add := func(kind string, i, metrics int, args ...string) {
		name := fmt.Sprintf("%s%d", kind, i+1)
		args = append([]string{kind, "--data", filepath.Join(f.data, name), "--metrics-addr", fmt.Sprintf("127.0.0.1:%d", f.port+metrics+i)}, args...)
		all = append(all, process{name, append(args, logging...)})
	}
	for i := range f.masters {
		add("master", i, masterMetricPorts, append(append(f.protocolArgs(), f.masterPolicy.args()...), "--id", fmt.Sprint(i+1), "--peers", asPeers(endpoints))...)
	}
	for i, addr := range local(f.port+chunkserverPorts, f.chunkservers) {
		add("chunkserver", i, chunkserverMetricPorts, append(f.chunkserverPolicy.args(),
			"--name", fmt.Sprintf("cs%d", i+1), "--listen", addr, "--masters", strings.Join(endpoints, ","))...)
	}
	return all
}
