package virtual

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/harness/partial"
)

// TestPartial runs the matrix that the environment names, and leaves its result
// where that says; without one, a trial of each scenario in a few modes, in which
// what conformance demands must hold.
func TestPartial(t *testing.T) {
	spec := partial.Spec{Trials: 1, Seed: 11, Modes: []string{"multipaxos paxos pv+cq", "multipaxos raft pv+cq", "etcdraft pv+cq", "hashiraft pv+cq"}}
	file := os.Getenv(partial.JobVariable)
	if file != "" {
		data, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(data, &spec)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r := runMatrix(t, spec)
	if file == "" {
		for _, b := range r.Breaches() {
			t.Error(b)
		}
		return
	}
	data, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile(partial.ResultFile(file), data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func runMatrix(t *testing.T, spec partial.Spec) partial.Result {
	r := partial.NewResult(spec)
	cells, err := spec.Plan()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r.Created = start.UTC().Format(time.RFC3339)
	var (
		mu   sync.Mutex
		done int
	)
	t.Run("cells", func(t *testing.T) {
		for i := range cells {
			c := &cells[i]
			t.Run(c.Scenario+" "+c.Mode.String(), func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				runCell(t, spec, c)
				mu.Lock()
				defer mu.Unlock()
				done++
				fmt.Printf("%s[%3d/%d] %s, %v: %s %.1fs\n", partial.ProgressMark, done, len(cells), c.Scenario, c.Mode, c.Summary(), time.Since(began).Seconds())
			})
		}
	})
	r.Cells, r.WallSeconds = cells, time.Since(start).Seconds()
	return r
}

// runCell plays the trials of a cell, each in a bubble of its own.
func runCell(t *testing.T, spec partial.Spec, c *partial.Cell) {
	s, ok := partial.ScenarioNamed(c.Scenario)
	if !ok {
		t.Fatalf("no scenario is called %q", c.Scenario)
	}
	for k := range spec.Trials {
		var (
			trial partial.Trial
			err   error
		)
		synctest.Test(t, func(t *testing.T) { trial, err = partial.Run(s, c.Mode, spec.Seed+uint64(k)) })
		if err != nil {
			c.Error = err.Error()
			return
		}
		c.Trials = append(c.Trials, trial)
	}
}
