package report

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gfslab/results/rundir"
)

const ms = int64(time.Millisecond)

// speed is what a backend of the made-up bench can do: microseconds an operation.
var speed = map[string]float64{"multipaxos": 10000, "etcdraft": 10500, "hashiraft": 26000, "unreplicated": 5000}

var testHost = rundir.Host{OS: "linux/amd64", Kernel: "6.1", CPU: "Made Up 3000", Cores: 2, MemoryBytes: 8 << 30, Go: "go1.26",
	FileSystem: "ext4", Durable: true, FreeBytes: 50 << 30, Sync1P50US: 180, Sync3P50US: 410, StealPercent: 1.5, PacerLagP99: 900}

// synthetic is one run that a harness might have left: 8 closed-loop clients for
// 1.5 s, the leader lost for 600 ms if there is a fault.
func synthetic(backend, workload, fault string, slice int, seed uint64) *rundir.Run {
	rng := rand.New(rand.NewPCG(seed, uint64(slice)))
	p := rundir.Plan{Backend: backend, Workload: workload, Fault: fault, Setting: "matched-3", Tier: "local", Seed: seed, Slice: slice,
		Replicas: 3, Clients: 8, Arrival: "closed", WarmUp: rundir.Duration(100 * ms), Duration: rundir.Duration(1500 * ms)}
	run := &rundir.Run{
		Manifest: rundir.Manifest{ID: "run", Version: "test", Plan: p, Host: testHost, Effective: map[string]string{"tick": "10ms"},
			Command: fmt.Sprintf("gfslab run --backend %s --seed %d", backend, seed), Nodes: []string{"m1", "m2", "m3", "cs1"}},
		Applied: map[string][]rundir.Applied{"m1": {}, "m2": {}, "m3": {}},
		Chunks:  map[string][]rundir.Chunk{"cs1": {}}, Leases: map[string][]rundir.LeaseEvent{"cs1": {}},
	}
	const began, end = 200 * ms, 1700 * ms
	dark, light := int64(end), int64(end)
	if fault != "none" {
		detected := 150*ms + rng.Int64N(60*ms)
		f := rundir.Fault{Name: fault, Node: "m1", Due: 600 * ms, Inject: 600 * ms, Heal: 1200 * ms, Observed: true, Evidence: []string{"term rose"},
			Detected: 600*ms + detected, Elected: 600*ms + detected + 8*ms, Committed: 600*ms + detected + 15*ms}
		run.Faults = append(run.Faults, f)
		dark, light = f.Inject, f.Committed
	}
	kind := rundir.KindCreate
	if workload == "append" {
		kind = rundir.KindAppend
	}
	id, inWindow := int64(1), uint64(0)
	for thread := range 8 {
		for at := 100 * ms; at < end; id++ {
			took := int64(speed[backend] * (0.6 + 0.4*rng.ExpFloat64()) * 1000)
			op := rundir.Op{ID: id, Client: fmt.Sprintf("c%d.0", thread), Thread: thread, Kind: kind, Due: at, Start: at, End: at + took,
				Outcome: rundir.OutcomeOK, Phase: rundir.PhaseRun, Reply: &rundir.Reply{Code: "OK", Index: 1, Node: "m1"}}
			if op.End > dark && op.Start < light {
				op.End = light + took
			}
			if at < began {
				op.Phase = rundir.PhaseWarmUp
			}
			if op.End <= end && op.Start >= began {
				inWindow++
			}
			at = op.End
			if rng.IntN(500) == 0 {
				op.Outcome, op.End, op.Reply = rundir.OutcomeUnknown, -1, nil
			}
			run.Ops = append(run.Ops, op)
		}
	}
	node := func(fsyncs uint64) map[string]uint64 {
		return map[string]uint64{"fsyncs": fsyncs, "frames": inWindow, "bytes": 100 * inWindow}
	}
	run.Counters = rundir.Counters{Leader: "m1", Operations: inWindow, Seconds: 1.5, CPUSeconds: speed[backend] * float64(inWindow) / 1e7, Allocs: 200 * inWindow,
		Nodes: map[string]map[string]uint64{"m1": node(inWindow / 2), "m2": node(inWindow / 4), "m3": node(inWindow / 4), "cs1": {"fsyncs": 3 * inWindow}}}
	return run
}

func put(t *testing.T, dir, name string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func save(t *testing.T, dir string, run *rundir.Run, checks ...rundir.CheckResult) {
	t.Helper()
	if err := rundir.Save(dir, run); err != nil {
		t.Fatal(err)
	}
	if err := rundir.WriteVerdict(dir, rundir.Combine(checks)); err != nil {
		t.Fatal(err)
	}
}

func passed(name string) rundir.CheckResult {
	return rundir.CheckResult{Name: name, Verdict: rundir.Valid, FirstBadOp: -1, Stats: map[string]int64{"operations": 7}}
}

// shared is one bench with its report, for tests that only look at it.
var shared struct {
	sync.Once
	dir   string
	files map[string]string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.dir != "" {
		if err := os.RemoveAll(filepath.Dir(shared.dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// theReport are the files of the report of syntheticBench, by name. The page has
// its escapes undone.
func theReport(t *testing.T) map[string]string {
	t.Helper()
	shared.Do(func() {
		dir, err := os.MkdirTemp("", "report")
		if err != nil {
			t.Fatal(err)
		}
		shared.dir = filepath.Join(dir, "bench-1")
		syntheticBench(t, shared.dir)
		shared.files = build(t, shared.dir)
	})
	if shared.files == nil {
		t.Fatal("the bench that all tests share could not be made")
	}
	return shared.files
}

// syntheticBench writes a bench directory in which every kind of misfortune has
// struck once.
func syntheticBench(t *testing.T, dir string) {
	t.Helper()
	b := rundir.Bench{Format: 1, ID: "bench-1", Created: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), Version: "v0", Command: "gfslab bench", Host: testHost, WallSeconds: 321}
	for f, fault := range []string{"none", "crash-leader"} {
		for _, workload := range []string{"create", "append"} {
			for i, backend := range []string{"multipaxos", "etcdraft", "hashiraft", "unreplicated"} {
				if backend == "unreplicated" && fault != "none" {
					continue
				}
				b.Cells = append(b.Cells, rundir.Cell{Backend: backend, Workload: workload, Fault: fault, Setting: "matched-3", Tier: "local", PlannedSlices: 3})
				for slice := range 3 {
					run := synthetic(backend, workload, fault, slice, uint64(1000*slice+100*f+i))
					save(t, filepath.Join(dir, "runs", fmt.Sprintf("%s-%s-%s-s%d", backend, workload, fault, slice)), run, passed("assumptions"), passed("linearizable"))
				}
			}
		}
	}
	put(t, dir, "bench.json", b)
	misfortunes(t, filepath.Join(dir, "runs"))
	rng := rand.New(rand.NewPCG(7, 7))
	fo := rundir.Failovers{Format: 1, Label: "virtual time: CPU is free", Backends: map[string][]rundir.Failover{}}
	for _, backend := range []string{"multipaxos", "etcdraft", "hashiraft"} {
		for i := range 60 {
			d := 150 + 60*rng.Float64() + speed[backend]/250
			fo.Backends[backend] = append(fo.Backends[backend], rundir.Failover{Trial: i, Seed: 1, Fault: "crash-leader", DetectionMS: d, ElectedMS: d + 5,
				FailoverMS: d + 9, UnavailableMS: d + 12, Verdict: rundir.Valid})
		}
	}
	fo.Backends["hashiraft"][59] = rundir.Failover{Trial: 59, Verdict: rundir.Void, Reason: "no new leader while the fault lasted"}
	put(t, dir, "failovers.json", fo)
	save(t, filepath.Join(dir, "failovers", "hashiraft-0"), synthetic("hashiraft", "create", "crash-leader", 0, 77), passed("linearizable"))
	if err := os.MkdirAll(filepath.Join(dir, "failovers", "hashiraft-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	var rows []rundir.BareLog
	for slice := range 3 {
		for _, backend := range []string{"etcdraft", "multipaxos"} {
			rows = append(rows, rundir.BareLog{Backend: backend, Setting: "matched-2", Clients: 256, Slice: slice, CommandBytes: 100, Durable: backend != "etcdraft",
				Ops: 1000, OpsPerSecond: 5e4 + float64(slice), P50US: 2000, P99US: 9000, CPUSecondsPer100k: 0.8, AllocsPerOp: 2, LeaderFsyncsPerOp: 0.01})
		}
	}
	put(t, dir, "barelog.json", rows)
}

// badRun are the runs of syntheticBench that do not count, with their verdicts.
var badRun = map[string]string{
	"etcdraft-create-none-s1":           rundir.Invalid,
	"multipaxos-append-none-s2":         rundir.Unknown, // a check ran out of time
	"hashiraft-create-crash-leader-s0":  rundir.Void,    // damaged
	"hashiraft-create-crash-leader-s1":  rundir.Void,    // gone
	"multipaxos-append-crash-leader-s0": rundir.Void,    // failed
	"etcdraft-append-crash-leader-s2":   rundir.Unknown, // not judged
}

func misfortunes(t *testing.T, runs string) {
	t.Helper()
	at := func(name string) string {
		if badRun[name] == "" {
			t.Fatalf("%s is not in badRun", name)
		}
		return filepath.Join(runs, name)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	invalid := at("etcdraft-create-none-s1")
	must(rundir.WriteVerdict(invalid, rundir.Combine([]rundir.CheckResult{passed("assumptions"), {Name: "linearizable", Verdict: rundir.Invalid, FirstBadOp: 4711,
		Details: []string{"operation 4711: stat /p1/<b>x</b> on m2 returned NOT_FOUND | after it was created"}, Files: []string{"linearizability-p1.html", "../../escape"}}})))
	must(os.WriteFile(filepath.Join(invalid, rundir.CounterexampleFile), []byte("here\n"), 0o644))
	must(rundir.WriteVerdict(at("multipaxos-append-none-s2"), rundir.Combine([]rundir.CheckResult{{Name: "linearizable", Verdict: rundir.Unknown, FirstBadOp: -1, Details: []string{"out of time"}}})))
	ops := filepath.Join(at("hashiraft-create-crash-leader-s0"), rundir.OpsFile)
	must(os.Truncate(ops, 1000))
	must(os.RemoveAll(at("hashiraft-create-crash-leader-s1")))
	must(os.WriteFile(filepath.Join(at("multipaxos-append-crash-leader-s0"), "error.txt"), []byte("start the cell: no leader in 20s\nsecond line\n"), 0o644))
	must(os.Remove(filepath.Join(at("etcdraft-append-crash-leader-s2"), rundir.VerdictFile)))
}
