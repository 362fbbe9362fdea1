package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gfslab/client/admin"
	"gfslab/client/call"
)

// newKVUp makes the command that starts a whole cluster on this machine.
func newKVUp() *cobra.Command {
	var (
		f     kvServeFlags
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
			if _, err := resolveLimits(f.Setting, f.Limits, f.limits); err != nil {
				return usage(err)
			}
			return runUp(c, f, data, nodes, port)
		},
	}
	c.Flags().StringVar(&data, "data", "", "folder of all nodes")
	c.Flags().IntVar(&nodes, "nodes", 3, "nodes")
	c.Flags().IntVar(&port, "port", 7401, "port of the first node; the others follow")
	f.cluster(c)
	return c
}

func runUp(c *cobra.Command, f kvServeFlags, data string, nodes, port int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var peers, endpoints []string
	for i := range nodes {
		addr := fmt.Sprintf("127.0.0.1:%d", port+i)
		endpoints = append(endpoints, addr)
		peers = append(peers, fmt.Sprintf("%d=%s", i+1, addr))
	}
	common := []string{"kv", "serve", "--peers", strings.Join(peers, ","), "--backend", f.Backend, "--cluster-name", f.ClusterName, "--setting", f.Setting}
	for _, l := range f.limits {
		common = append(common, "--limit", l)
	}
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	out := &lines{w: c.ErrOrStderr()}
	errs := make([]error, nodes)
	var wg sync.WaitGroup
	for i := range nodes {
		args := append(common[:len(common):len(common)], "--id", fmt.Sprint(i+1), "--data", filepath.Join(data, fmt.Sprintf("node%d", i+1)))
		wg.Go(func() {
			if errs[i] = keepRunning(ctx, self, args, i+1, out); errs[i] != nil {
				cancel()
			}
		})
	}
	if err := awaitLeader(ctx, endpoints); err == nil {
		fmt.Fprintf(c.OutOrStdout(), "ready: --endpoints %s\n", strings.Join(endpoints, ","))
	}
	wg.Wait()
	return errors.Join(errs...)
}

// awaitLeader waits until the cluster serves.
func awaitLeader(ctx context.Context, endpoints []string) error {
	conns := call.NewConns(nil, 0)
	defer conns.Close()
	a, err := admin.New(conns, endpoints)
	if err != nil {
		return err
	}
	_, err = a.Leader(ctx)
	return err
}

// soonDead is a life too short to be worth another start.
const soonDead = 2 * time.Second

// keepRunning runs a node's process, and again when it dies, until ctx ends. A
// process that ends at once is an error: it would do so again.
func keepRunning(ctx context.Context, program string, args []string, id int, out *lines) error {
	for {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 10 * time.Second
		// Its own group: a Ctrl-C at the terminal reaches it once, through us.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		r, w := io.Pipe()
		cmd.Stdout, cmd.Stderr = w, w
		var copying sync.WaitGroup
		copying.Go(func() { out.copy(r, fmt.Sprintf("[%d] ", id)) })
		begin := time.Now()
		err := cmd.Run()
		w.Close()
		copying.Wait()
		switch {
		case ctx.Err() != nil:
			return nil
		case time.Since(begin) < soonDead:
			return fmt.Errorf("node %d ended at once: %w", id, err)
		}
		out.print(fmt.Sprintf("[%d] ended (%v); it is started again\n", id, err))
	}
}

// lines writes whole lines from several goroutines.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) print(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	io.WriteString(l.w, s)
}

func (l *lines) copy(r io.Reader, prefix string) {
	for s := bufio.NewScanner(r); s.Scan(); {
		l.print(prefix + s.Text() + "\n")
	}
}
