package sim

import "fmt"

// Report is what one seed showed.
type Report struct {
	Backend Backend
	Seed    uint64
	Nodes   int
	Counts
	// Trace is a hash of everything that was delivered, written, applied and
	// decided: the same seed and binary give the same trace.
	Trace uint64
	// Violation is the first broken promise, nil if there was none.
	Violation *Violation
	// Stall says why the healed cluster does not make progress, empty if it does.
	Stall string
	// Scenario is the run as data, with the faults that happened.
	Scenario *Scenario

	options Options
}

// Counts are what happened in one seed, or in many.
type Counts struct {
	Ticks int
	// Proposals are entries taken by a leader; Acknowledged are operations, and
	// Reads lookups, whose client has its answer.
	Proposals, Acknowledged, Reads int
	Messages, BadMessages          int
	Crashes, Partitions            int
	Elections, Leaders             int
	// Snapshots were taken, Installs fetched ones that took the place of a state;
	// Changes of the members and Transfers of the lead came to pass.
	Snapshots, Installs, Changes, Transfers int
}

// Add sums the counts of another seed.
func (c *Counts) Add(o *Counts) {
	c.Ticks += o.Ticks
	c.Proposals += o.Proposals
	c.Acknowledged += o.Acknowledged
	c.Reads += o.Reads
	c.Messages += o.Messages
	c.BadMessages += o.BadMessages
	c.Crashes += o.Crashes
	c.Partitions += o.Partitions
	c.Elections += o.Elections
	c.Leaders += o.Leaders
	c.Snapshots += o.Snapshots
	c.Installs += o.Installs
	c.Changes += o.Changes
	c.Transfers += o.Transfers
}

// Failed reports whether the seed shows a bug.
func (r *Report) Failed() bool { return r.Violation != nil || r.Stall != "" }

func (r *Report) String() string {
	verdict := "ok"
	if r.Violation != nil {
		verdict = "VIOLATION " + r.Violation.Error()
	} else if r.Stall != "" {
		verdict = "STALL " + r.Stall
	}
	return fmt.Sprintf("%s seed %d: %d nodes, %d ticks, %d proposals, %d crashes, trace %016x: %s",
		r.Backend, r.Seed, r.Nodes, r.Ticks, r.Proposals, r.Crashes, r.Trace, verdict)
}
