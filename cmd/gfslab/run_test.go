package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gfslab/results/rundir"
)

var short = []string{"run", "--backend", "etcdraft", "--warm-up", "50ms", "--duration", "900ms"}

func TestRunAndCheck(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	code, stdout, stderr := invoke(t, append(short, "--out", dir)...)
	// On a machine that is busy with other things the history may be too thin.
	verdict := map[int]string{exitValid: "verdict: valid\n", exitUnknown: "verdict: unknown\n"}[code]
	if verdict == "" || !strings.HasSuffix(stdout, verdict) {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("the nodes' data is still there")
	}
	if err := os.Remove(filepath.Join(dir, rundir.VerdictFile)); err != nil {
		t.Fatal(err)
	}
	if again, stdout, stderr := invoke(t, "check", dir); again != code || !strings.HasSuffix(stdout, verdict) {
		t.Errorf("check: exit code %d, the run's was %d: %s%s", again, code, stdout, stderr)
	}
	if code, _, stderr := invoke(t, append(short, "--out", dir)...); code != exitUsage || !strings.Contains(stderr, "exists already") {
		t.Errorf("a second run into the same directory: exit code %d: %s", code, stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, rundir.OpsFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := invoke(t, "check", dir); code != exitInfrastructure || !strings.Contains(stderr, "damaged") {
		t.Errorf("check of a damaged directory: exit code %d: %s", code, stderr)
	}
}

// whenThere ends a context when a file has appeared.
func whenThere(ctx context.Context, file string, stop context.CancelFunc) {
	for tick := time.NewTicker(time.Millisecond); ; {
		if _, err := os.Stat(file); err == nil {
			stop()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func TestInterruptedRunLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	ctx, stop := context.WithCancel(t.Context())
	go whenThere(ctx, filepath.Join(dir, rundir.ManifestFile), stop)
	var stdout, stderr bytes.Buffer
	if code := execute(ctx, append(short, "--duration", "1m", "--out", dir), &stdout, &stderr); code != exitInterrupted {
		t.Errorf("exit code %d, want %d: %s%s", code, exitInterrupted, stdout.String(), stderr.String())
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a broken run directory was left behind")
	}
}

func TestInterruptedBenchReportsOnWholeRuns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bench")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stderr := &stopAt{text: "[  1/", stop: stop}
	var stdout bytes.Buffer
	args := []string{"bench", "--slices", "2", "--failovers", "0", "--bare-log", "0", "--backends", "etcdraft", "--workloads", "create", "--faults", "none", "--out", dir}
	if code := execute(ctx, args, &stdout, stderr); code != exitInterrupted {
		t.Errorf("exit code %d, want %d: %s%s", code, exitInterrupted, stdout.String(), stderr.String())
	}
	runs, err := os.ReadDir(filepath.Join(dir, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != 1 {
		t.Errorf("%d runs are there, want the one that was whole", len(runs))
	}
	for _, r := range runs {
		if _, err := rundir.Load(filepath.Join(dir, "runs", r.Name())); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "report.html")); err != nil {
		t.Error(err)
	}
}

// Without the binary for virtual time the command fails at once, and is not taken
// for trials that went wrong.
func TestFailoversWithoutTheirBinary(t *testing.T) {
	out := filepath.Join(t.TempDir(), "failovers")
	code, _, stderr := invoke(t, "failovers", "--n", "1", "--out", out)
	if code != exitInfrastructure || !strings.Contains(stderr, "gfslab-virtual") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	bench := filepath.Join(t.TempDir(), "bench")
	code, _, stderr = invoke(t, "bench", "--out", bench)
	if code != exitInfrastructure || !strings.Contains(stderr, "gfslab-virtual") {
		t.Errorf("bench: exit code %d: %s", code, stderr)
	}
	for _, dir := range []string{out, bench} {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s was left behind", dir)
		}
	}
}
