package sim

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// workerOf names, in the environment, the backend that this binary is to be a
// worker of.
const workerOf = "GFSLAB_SIM_WORKER"

func TestMain(m *testing.M) {
	if b := os.Getenv(workerOf); b != "" {
		if err := Work(Backend(b), Options{}, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestSeeds searches a few worlds of each core. (gfslab sim searches many.)
func TestSeeds(t *testing.T) {
	const seeds = 20
	for _, b := range Backends() {
		var total Counts
		for seed := uint64(1); seed <= seeds; seed++ {
			r := Run(b, seed, Options{})
			if r.Failed() {
				t.Errorf("%v", r.String())
			}
			if r.Ticks < 1500 || r.Proposals < 200 || r.Crashes < 2 || r.Partitions < 1 {
				t.Errorf("%v: too little happened: %+v", r.String(), r.Counts)
			}
			total.Add(&r.Counts)
		}
		t.Logf("%s: %d seeds: %+v", b, seeds, total)
		if total.Acknowledged < 50*seeds || total.Reads < 20*seeds || total.Leaders < 2*seeds {
			t.Errorf("%s: the worlds are too quiet to show anything: %+v", b, total)
		}
	}
}

// TestSameHashes: two processes give every seed the same trace.
func TestSameHashes(t *testing.T) {
	for _, b := range Backends() {
		first, second := hashes(t, b, 20), hashes(t, b, 20)
		if first != second {
			t.Errorf("%s: two processes differ:\n%s\n%s", b, first, second)
		}
		seen := map[string]bool{}
		for lines := bufio.NewScanner(strings.NewReader(first)); lines.Scan(); {
			_, hash, _ := strings.Cut(lines.Text(), " ")
			if seen[hash] {
				t.Errorf("%s: two seeds have the trace %s", b, hash)
			}
			seen[hash] = true
		}
		if len(seen) != 20 {
			t.Errorf("%s: %d hashes, want 20", b, len(seen))
		}
	}
}

func hashes(t *testing.T, b Backend, seeds uint64) string {
	t.Helper()
	var out bytes.Buffer
	s := &Search{First: 1000, Seeds: seeds, Workers: 2, Worker: func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), workerOf+"="+string(b))
		return cmd
	}}
	s.Each = func(r *Result) {
		if r.Failed() {
			t.Errorf("%s seed %d: %v %s", b, r.Seed, r.Violation, r.Stall)
		}
		fmt.Fprintf(&out, "%d %016x\n", r.Seed, r.Trace)
	}
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestReplay: the scenario that a run leaves is the run.
func TestReplay(t *testing.T) {
	for _, b := range Backends() {
		for seed := uint64(1); seed <= 5; seed++ {
			r := Run(b, seed, Options{})
			again := Replay(r.Scenario, nil)
			if again.Trace != r.Trace || again.Ticks != r.Ticks {
				t.Errorf("%s seed %d: trace %016x over %d ticks, replayed %016x over %d", b, seed, r.Trace, r.Ticks, again.Trace, again.Ticks)
			}
		}
	}
}

// TestTranscripts replays the schedules of bugs that were found and mended.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sc, err := DecodeScenario(data)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if !bytes.Equal(sc.Encode(), data) {
			t.Errorf("%s is not written as Encode writes it", path)
		}
		if r := Replay(sc, nil); r.Failed() {
			t.Errorf("%s: %v", path, r.String())
		}
	}
}
