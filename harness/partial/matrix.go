package partial

import (
	"fmt"
	"slices"

	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// Spec is what a matrix runs.
type Spec struct {
	// Scenarios and Modes are by name; none means all.
	Scenarios []string `json:"scenarios"`
	Modes     []string `json:"modes"`
	Trials    int      `json:"trials"`
	// Seed is the first seed. Trial k has the same seed in every cell.
	Seed uint64 `json:"seed"`
}

// Cell is one scenario in one mode.
type Cell struct {
	Scenario string `json:"scenario"`
	Mode
	// Admits: conformance demands that every valid trial recovers in time.
	Admits bool    `json:"admits"`
	Trials []Trial `json:"trials"`
	// Error is why the cell could not be run to its end, empty if it was.
	Error string `json:"error,omitempty"`
}

// Result is a matrix that was run.
type Result struct {
	Format  int    `json:"format"`
	Created string `json:"created"`
	Version string `json:"version"`
	Label   string `json:"label"`
	Spec    Spec   `json:"spec"`
	// ElectionTimeoutMS is the shortest that a node waits; the longest is twice that.
	// BoundMS is what conformance allows: four of the longest.
	ElectionTimeoutMS float64           `json:"election_timeout_ms"`
	BoundMS           float64           `json:"bound_ms"`
	Recipes           map[string]string `json:"recipes"`
	// Effective is the backend's own translation of the limits, by mode.
	Effective   map[string]map[string]string `json:"effective"`
	Cells       []Cell                       `json:"cells"`
	WallSeconds float64                      `json:"wall_seconds"`
}

// Plan returns the cells of a spec, without trials.
func (s Spec) Plan() ([]Cell, error) {
	scenarios := s.Scenarios
	if len(scenarios) == 0 {
		for _, sc := range Scenarios() {
			scenarios = append(scenarios, sc.Name)
		}
	}
	modes := s.Modes
	if len(modes) == 0 {
		for _, m := range Modes() {
			modes = append(modes, m.String())
		}
	}
	if s.Trials < 1 {
		return nil, fmt.Errorf("partial: %d trials a cell; it must be at least 1", s.Trials)
	}
	var cells []Cell
	for _, name := range scenarios {
		sc, ok := ScenarioNamed(name)
		if !ok {
			return nil, fmt.Errorf("partial: no scenario is called %q", name)
		}
		for _, name := range modes {
			m, err := ModeNamed(name)
			if err != nil {
				return nil, err
			}
			cells = append(cells, Cell{Scenario: sc.Name, Mode: m, Admits: Admits(sc, m)})
		}
	}
	return cells, nil
}

// NewResult returns the frame of a result.
func NewResult(s Spec) Result {
	l := Modes()[0].Limits()
	r := Result{
		Format: rundir.FormatVersion, Label: "virtual time: CPU is free", Spec: s,
		ElectionTimeoutMS: ms(l.ElectionTimeout()), BoundMS: 4 * 2 * ms(l.ElectionTimeout()),
		Recipes: map[string]string{}, Effective: map[string]map[string]string{},
	}
	for _, sc := range Scenarios() {
		r.Recipes[sc.Name] = sc.Recipe
	}
	for _, m := range Modes() {
		if e, err := node.Effective(m.Backend, m.Limits()); err == nil {
			r.Effective[m.String()] = e
		}
	}
	return r
}

// valid returns the trials that prove something.
func (c *Cell) valid() []Trial {
	return slices.DeleteFunc(slices.Clone(c.Trials), func(t Trial) bool { return t.Void != "" })
}

// Breaches returns every breach of conformance, and every cell that shows too
// little to tell: fewer than half of its trials.
func (r *Result) Breaches() []string {
	var out []string
	for i := range r.Cells {
		c := &r.Cells[i]
		say := func(format string, args ...any) {
			out = append(out, fmt.Sprintf("%s, %s: %s", c.Scenario, c.Mode, fmt.Sprintf(format, args...)))
		}
		sc, known := ScenarioNamed(c.Scenario)
		if !known || c.Error != "" {
			say("%s", c.Error)
			continue
		}
		if valid := len(c.valid()); 2*valid < r.Spec.Trials {
			say("only %d of %d trials are valid", valid, r.Spec.Trials)
		}
		for _, t := range c.valid() {
			switch {
			case sc.Nobody && t.Recovered:
				say("seed %d: node %d committed without a quorum", t.Seed, t.By)
			case c.Admits && !t.Recovered:
				say("seed %d: nobody committed, though node %d may lead", t.Seed, t.Hub)
			case c.Admits && t.FirstMS > r.BoundMS:
				say("seed %d: the first commit took %.0f ms, more than four election timeouts", t.Seed, t.FirstMS)
			}
		}
	}
	return out
}

// Summary is the cell in a few words.
func (c *Cell) Summary() string {
	valid := c.valid()
	recovered := 0
	for _, t := range valid {
		if t.Recovered {
			recovered++
		}
	}
	return fmt.Sprintf("%d of %d recovered, %d void", recovered, len(valid), len(c.Trials)-len(valid))
}
