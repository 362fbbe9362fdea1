package harness

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// BenchOptions choose what a bench runs. The zero value of a field takes the
// default named there.
type BenchOptions struct {
	Backends  []string // all that replicate
	Workloads []string // all
	Faults    []string // none, isolate-leader, crash-leader
	Setting   string   // matched-3
	Slices    int      // 3
	Seed      uint64   // 1
	// Failovers is the number of virtual failovers a backend (300); -1 = none.
	Failovers int
	// BareLog is the length of one bare-log row (600ms); -1 = none.
	BareLog time.Duration
	// Base is the plan that every run starts from; nil takes BenchPlan.
	Base *rundir.Plan
}

func (o BenchOptions) withDefaults() BenchOptions {
	if len(o.Backends) == 0 {
		o.Backends = node.Replicated()
	}
	if len(o.Workloads) == 0 {
		o.Workloads = []string{"create", "append", "lease-churn"}
	}
	if len(o.Faults) == 0 {
		o.Faults = []string{"none", "isolate-leader", "crash-leader"}
	}
	if o.Setting == "" {
		o.Setting = "matched-3"
	}
	if o.Slices == 0 {
		o.Slices = 3
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Failovers == 0 {
		o.Failovers = 300
	}
	if o.BareLog == 0 {
		o.BareLog = 600 * time.Millisecond
	}
	if o.Base == nil {
		p := BenchPlan()
		o.Base = &p
	}
	return o
}

// BenchPlan is the plan of one bench run: short, so that every cell gets three
// slices on fresh clusters within minutes.
func BenchPlan() rundir.Plan {
	p := DefaultPlan()
	p.WarmUp = rundir.Duration(150 * time.Millisecond)
	p.Duration = rundir.Duration(1500 * time.Millisecond)
	p.FaultAt = rundir.Duration(350 * time.Millisecond)
	p.FaultFor = rundir.Duration(600 * time.Millisecond)
	return p
}

// Validate reports what is wrong with the options: every plan must be able to
// run, and no two runs may be the same.
func (o BenchOptions) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.Slices < 1 {
		errs = append(errs, fmt.Errorf("slices is %d; it must be at least 1", o.Slices))
	}
	lists := []struct {
		key  string
		list []string
	}{{"backends", o.Backends}, {"workloads", o.Workloads}, {"faults", o.Faults}}
	for _, l := range lists {
		seen := map[string]bool{}
		for _, name := range l.list {
			if seen[name] {
				errs = append(errs, fmt.Errorf("%s names %s twice", l.key, name))
			}
			seen[name] = true
		}
	}
	if slices.Contains(o.Backends, node.Unreplicated) {
		errs = append(errs, fmt.Errorf("backends names %s; the control always runs without faults, and never with one", node.Unreplicated))
	}
	said := map[string]bool{}
	for _, p := range o.Plans() {
		if err := ValidatePlan(p); err != nil && !said[err.Error()] {
			said[err.Error()] = true
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Cells lists the rows of the comparison: every backend under every workload
// and fault, and the control without faults.
func (o BenchOptions) Cells() []rundir.Cell {
	o = o.withDefaults()
	var cells []rundir.Cell
	for _, fault := range o.Faults {
		for _, workload := range o.Workloads {
			for _, backend := range o.Backends {
				cells = append(cells, rundir.Cell{Backend: backend, Workload: workload, Fault: fault, Setting: o.Setting, Tier: "local", PlannedSlices: o.Slices})
			}
			if fault == "none" {
				cells = append(cells, rundir.Cell{Backend: node.Unreplicated, Workload: workload, Fault: fault, Setting: o.Setting, Tier: "local", PlannedSlices: o.Slices})
			}
		}
	}
	return cells
}

// Plans lists every run in the order in which they run. Slices interleave all
// cells, and the backends of a workload and fault run one right after another,
// each of them first in turn: the machine drifts, and what is compared must
// have drifted together. Runs that are compared share their seed.
func (o BenchOptions) Plans() []rundir.Plan {
	o = o.withDefaults()
	var plans []rundir.Plan
	for slice := range o.Slices {
		for f, fault := range o.Faults {
			for w, workload := range o.Workloads {
				backends := rotate(o.Backends, slice)
				if fault == "none" {
					backends = append(backends, node.Unreplicated)
				}
				for _, backend := range backends {
					p := *o.Base
					p.Backend, p.Workload, p.Fault, p.Setting, p.Slice = backend, workload, fault, o.Setting, slice
					p.Seed = o.Seed + uint64(slice*1000+f*100+w*10)
					Normalize(&p)
					plans = append(plans, p)
				}
			}
		}
	}
	return plans
}

// RunName is the name of a run's directory within a bench.
func RunName(p rundir.Plan) string {
	return fmt.Sprintf("%s-%s-%s-s%d", p.Backend, p.Workload, p.Fault, p.Slice)
}

func rotate(in []string, n int) []string {
	n %= len(in)
	return append(append([]string{}, in[n:]...), in[:n]...)
}
