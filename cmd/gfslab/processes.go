package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"gfslab/client/admin"
	"gfslab/client/call"
)

// The times of a process that is kept running: one that lives less than soonDead
// is not worth another start; one that is told to stop has retireTime to hand
// over, and is killed after killAfter.
const (
	soonDead   = 2 * time.Second
	retireTime = 3 * time.Second
	killAfter  = 10 * time.Second
)

// process is one node's, by the name that its lines of output begin with.
type process struct {
	name string
	args []string
}

// keepAll runs processes until ctx ends or one of them ends at once; then it stops
// them all. Once they are started it calls begun beside them, whose ctx ends with
// the processes.
func keepAll(ctx context.Context, program string, all []process, out *lines, begun func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(all)+1)
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() {
			if errs[i] = keepRunning(ctx, program, p, out); errs[i] != nil {
				cancel()
			}
		})
	}
	if err := begun(ctx); err != nil && ctx.Err() == nil {
		errs[len(all)] = err
		cancel()
	}
	wg.Wait()
	return errors.Join(errs...)
}

// keepRunning runs a node's process, and again when it dies, until ctx ends. A
// process that ends at once by itself is an error: it would do so again.
func keepRunning(ctx context.Context, program string, p process, out *lines) error {
	for {
		cmd := exec.CommandContext(ctx, program, p.args...)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = killAfter
		// Its own group: a Ctrl-C at the terminal reaches it once, through us.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		r, w := io.Pipe()
		cmd.Stdout, cmd.Stderr = w, w
		var copying sync.WaitGroup
		copying.Go(func() { out.copy(r, "["+p.name+"] ") })
		begin := time.Now()
		err := cmd.Start()
		if err == nil {
			out.print(fmt.Sprintf("[%s] process %d\n", p.name, cmd.Process.Pid))
			err = cmd.Wait()
		}
		w.Close()
		copying.Wait()
		switch {
		case ctx.Err() != nil:
			return nil
		case time.Since(begin) < soonDead && !killed(err):
			return fmt.Errorf("%s ended at once: %w", p.name, err)
		}
		out.print(fmt.Sprintf("[%s] ended (%v); it is started again\n", p.name, err))
	}
}

// killed reports whether a signal ended the process: it did not do so itself.
func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
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
	// What a scanner does not take (a line beyond all measure) must not hold up the
	// process that writes it.
	_, _ = io.Copy(io.Discard, r)
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
