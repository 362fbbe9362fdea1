package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gfslab/harness"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// invoke runs one command line.
func invoke(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	broken := errors.New("the disk is full")
	for _, x := range []struct {
		err         error
		interrupted bool
		want        int
	}{
		{nil, false, 0},
		{verdictError(rundir.Valid), false, 0},
		{verdictError(rundir.Invalid), false, 1},
		{verdictError(rundir.Unknown), false, 2},
		{verdictError(rundir.Void), false, 2},
		{usage(broken), false, 64},
		{broken, false, 70},
		{broken, true, 130},
		{verdictError(rundir.Invalid), true, 130},
	} {
		var stderr bytes.Buffer
		if got := exitCode(x.err, x.interrupted, &stderr); got != x.want {
			t.Errorf("%v, interrupted %v: exit code %d, want %d", x.err, x.interrupted, got, x.want)
		}
		if said := errors.Is(x.err, broken); said != strings.Contains(stderr.String(), "gfslab: the disk is full\n") {
			t.Errorf("%v: printed %q", x.err, stderr.String())
		}
	}
}

// Everything that a user can mistype is refused with 64, before anything runs.
func TestUsage(t *testing.T) {
	there := t.TempDir()
	missing := filepath.Join(there, "missing")
	badPlan := filepath.Join(there, "bad.toml")
	if err := os.WriteFile(badPlan, []byte("clinets = 4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"frobnicate":                         `unknown command "frobnicate"`,
		"--frob":                             "unknown flag: --frob",
		"run --frob":                         "`gfslab run --help` shows the flags",
		"run now":                            `usage: gfslab run [flags]`,
		"run --backend zab":                  `backend is "zab"; it must be one of multipaxos`,
		"run --duration 5":                   "missing unit",
		"run --warm-up -1s":                  "warm_up is -1s",
		"run --arrival open":                 "rate is 0",
		"run --arrival open --rate Inf":      "rate is +Inf",
		"run --arrival open --rate NaN":      "rate is NaN",
		"run --record-bytes 262080":          "record_bytes is 262080",
		"run --fault meteor":                 `fault is "meteor"`,
		"run --plan " + badPlan:              "clinets = 4",
		"run --plan " + missing:              "no such file",
		"run --out " + there:                 "exists already",
		"run --tier virtual --keep-data":     "in memory only",
		"bench --out " + there:               "exists already",
		"bench --backends zab":               `backend is "zab"`,
		"bench --backends unreplicated":      "the control always runs",
		"bench --backends etcdraft,etcdraft": "backends names etcdraft twice",
		"bench --workloads sort":             `workload is "sort"`,
		"bench --faults meteor":              `fault is "meteor"`,
		"bench --setting best":               `setting is "best"`,
		"bench --slices -1":                  "slices is -1",
		"bench --slices 0":                   "slices is 0",
		"bench --seed 0":                     "seed is 0",
		"bench now":                          "usage: gfslab bench",
		"check":                              "requires at least 1 arg",
		"report":                             "requires at least 1 arg",
		"compare one":                        "accepts 2 arg(s)",
		"plan frob":                          "unknown command",
		"plan print --clients 0":             "clients is 0",
		"plan validate":                      "requires at least 1 arg",
		"plan validate " + badPlan:           "clinets = 4",
		"barelog --backends zab":             "--backends zab",
		"barelog --clients 0":                "--clients 0",
		"barelog --setting best":             `setting "best"`,
		"barelog --bytes 0":                  "--bytes 0",
		"barelog --duration 0s":              "--duration 0s",
		"failovers --n 0":                    "--n 0",
		"failovers --backends zab":           `backend is "zab"`,
		"failovers --backends unreplicated":  "the unreplicated control has 1",
		"failovers --setting best":           `setting is "best"`,
		"failovers --out " + there:           "exists already",
	} {
		t.Run(line, func(t *testing.T) {
			t.Chdir(t.TempDir())
			code, stdout, stderr := invoke(t, strings.Fields(line)...)
			if code != exitUsage || !strings.Contains(stderr, want) || stdout != "" {
				t.Errorf("exit code %d, want %d; said %q, want %q; printed %q", code, exitUsage, stderr, want, stdout)
			}
			if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
				t.Errorf("left %v (%v)", left, err)
			}
		})
	}
}

func TestHelpAndCompletion(t *testing.T) {
	for line, want := range map[string]string{
		"":                           "Exit codes: 0 valid",
		"--help":                     "Exit codes: 0 valid",
		"help run":                   "--fault-repeat",
		"bench --help":               "--slices",
		"--version":                  "gfslab version",
		"completion bash":            "__start_gfslab",
		"__complete run --backend ":  "hashiraft\nunreplicated",
		"__complete run --fault ":    "isolate-leader",
		"__complete bench --faults ": "isolate-leader",
		"__complete be":              "bench",
	} {
		args := strings.Split(line, " ")
		if line == "" {
			args = []string{}
		}
		if code, stdout, stderr := invoke(t, args...); code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%q: exit code %d, printed %q (%s), want %q", line, code, stdout, stderr, want)
		}
	}
}

func TestPlanPrintAndValidate(t *testing.T) {
	code, text, stderr := invoke(t, "plan", "print", "--backend", "etcdraft", "--fault-for", "321ms", "--seed", "9")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	p, err := harness.ParsePlan([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if p.Backend != "etcdraft" || p.FaultFor.String() != "321ms" || p.Seed != 9 {
		t.Errorf("printed %+v", p)
	}
	file := filepath.Join(t.TempDir(), "plan.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := invoke(t, "plan", "validate", file); code != 0 || stdout != file+": fine\n" {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// The flags given win over the file, and only the whole must be sound.
func TestFlagsOverlayThePlanFile(t *testing.T) {
	for _, x := range []struct {
		file, flags string
		want        func(rundir.Plan) bool
	}{
		{"seed = 5\nclients = 3\n", "--clients 7", func(p rundir.Plan) bool { return p.Seed == 5 && p.Clients == 7 }},
		{"clients = 3\n", "--clients 8", func(p rundir.Plan) bool { return p.Clients == 8 }}, // a flag with the default's value
		{"warm_up = \"1s\"\nduration = \"9s\"\n", "--warm-up 2s", func(p rundir.Plan) bool { return p.WarmUp.String() == "2s" && p.Duration.String() == "9s" }},
		{"fault = \"crash-leader\"\nfault_at = \"5s\"\n", "--duration 9s", func(p rundir.Plan) bool { return p.FaultAt.String() == "5s" }},
		{"backend = \"unreplicated\"\n", "--backend etcdraft", func(p rundir.Plan) bool { return p.Replicas == 3 }},
		{"seed = 5\n", "--backend unreplicated", func(p rundir.Plan) bool { return p.Replicas == 1 && p.Seed == 5 }},
	} {
		file := filepath.Join(t.TempDir(), "plan.toml")
		if err := os.WriteFile(file, []byte(x.file), 0o600); err != nil {
			t.Fatal(err)
		}
		code, text, stderr := invoke(t, append([]string{"plan", "print", "--plan", file}, strings.Fields(x.flags)...)...)
		if code != 0 {
			t.Errorf("%q with %s: exit code %d: %s", x.file, x.flags, code, stderr)
			continue
		}
		if p, err := harness.ParsePlan([]byte(text)); err != nil || !x.want(p) {
			t.Errorf("%q with %s: %v\n%s", x.file, x.flags, err, text)
		}
	}
}

// The line in the manifest gives the same plan again.
func TestReplayCommandRepeatsThePlan(t *testing.T) {
	p := harness.DefaultPlan()
	p.Backend, p.Workload, p.Fault, p.Arrival, p.Rate, p.Seed = node.HashiRaft, "append", "crash-leader", "open", 123.5, 77
	p.FaultRepeat, p.FaultEvery, p.Duration, p.RecordBytes = 3, rundir.Duration(2e9), rundir.Duration(8e9), 999
	args := strings.Fields(harness.ReplayCommand(p))
	code, text, stderr := invoke(t, append([]string{"plan", "print"}, args[2:]...)...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if again, err := harness.ParsePlan([]byte(text)); err != nil || again != p {
		t.Errorf("%v\nplan   %+v\nreplay %+v", err, p, again)
	}
}

func TestQuantileCountsNeverAsLongest(t *testing.T) {
	if got := quantile([]float64{30, 0, 10, 20}, 50); got != "20" {
		t.Errorf("median %s, want 20: 0 is a time that never came", got)
	}
	if got := quantile([]float64{30, 0}, 99); got != "never" {
		t.Errorf("99th percentile %s, want never", got)
	}
}

// stopAt is a writer that ends a context once something was printed.
type stopAt struct {
	bytes.Buffer
	text string
	stop context.CancelFunc
}

func (w *stopAt) Write(b []byte) (int, error) {
	n, err := w.Buffer.Write(b)
	if strings.Contains(w.String(), w.text) {
		w.stop()
	}
	return n, err
}
