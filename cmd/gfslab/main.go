package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitValid          = 0
	exitInvalid        = 1
	exitUnknown        = 2
	exitUsage          = 64
	exitInfrastructure = 70
	exitInterrupted    = 130
)

// exitError carries the exit code of an error. A nil err prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usage(err error) error { return &exitError{exitUsage, err} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return exitCode(root.ExecuteContext(ctx), ctx.Err() != nil, stderr)
}

// exitCode prints err and says how the process ends.
func exitCode(err error, interrupted bool, stderr io.Writer) int {
	if err == nil {
		return exitValid
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, "gfslab: "+strings.ReplaceAll(text, "\n", "\n  "))
	}
	if interrupted {
		return exitInterrupted
	}
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return exitInfrastructure
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "gfslab",
		Short: "What does the choice of Multi-Paxos or Raft change for a GFS-style master?",
		Long: `gfslab runs a GFS-style master over three replicated logs (our own Multi-Paxos,
go.etcd.io/raft, hashicorp/raft), breaks it, records what clients saw, checks the
histories, and reports.

Exit codes: 0 valid, 1 invalid, 2 unknown or void, 64 usage, 70 infrastructure,
130 interrupted.`,
		Example: `  gfslab bench --out results/runs/mine
  gfslab run --backend etcdraft --workload create --fault crash-leader --seed 7 --out /tmp/run
  gfslab check /tmp/run
  gfslab report results/runs/mine`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return c.Help()
		},
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w\n`%s --help` shows the flags", err, c.CommandPath()))
	})
	root.AddCommand(newRun(), newBench(), newCheck(), newReport(), newCompare(), newPlan(), newBareLog(), newFailovers(), newScale(), newKV(), newCluster(), newRolling(), newSim(), newPartial(),
		newProfiles(), newPowerLoss(), newLeaseThroughput(), newAppendScaling(), newReplication(),
		newUp(), newMaster(), newChunkserver(), newFS())
	asUsage(root)
	return root
}

// complete offers values for a flag.
func complete(c *cobra.Command, flag string, values []string) {
	// It fails only for a flag that does not exist.
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// asUsage makes wrong arguments a usage error.
func asUsage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usage(fmt.Errorf("%w\nusage: %s", err, c.UseLine()))
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		asUsage(sub)
	}
}

// version names the commit that the binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v, dirty := info.Main.Version, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			v = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	return v + dirty
}
