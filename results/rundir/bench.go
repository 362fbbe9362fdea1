package rundir

import "time"

// Bench is what a bench directory's bench.json says: the plan of all cells,
// written before the first run.
type Bench struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Version string    `json:"version"`
	Command string    `json:"command"`
	Host    Host      `json:"host"`
	Cells   []Cell    `json:"cells"`
	// Slices is how many valid slices each cell should have. A slice whose verdict
	// is unknown stays, and is run again under the next number: its cell then has
	// more PlannedSlices than this.
	Slices int `json:"slices,omitempty"`
	// WallSeconds is 0 until the bench has ended; Interrupted is true when it
	// was stopped early: the runs that are there are whole.
	WallSeconds float64 `json:"wall_seconds"`
	Interrupted bool    `json:"interrupted"`
}

// Cell is one row of the comparison.
type Cell struct {
	Backend       string `json:"backend"`
	Workload      string `json:"workload"`
	Fault         string `json:"fault"`
	Setting       string `json:"setting"`
	Tier          string `json:"tier"`
	PlannedSlices int    `json:"planned_slices"`
}

// Failovers are trials of leader failure in virtual time.
type Failovers struct {
	Format int    `json:"format"`
	Label  string `json:"label"`
	// Backends maps a backend to its trials, in order.
	Backends map[string][]Failover `json:"backends"`
}

// Failover is one trial. Times are milliseconds from the injection; 0 means
// that it never came within the trial.
type Failover struct {
	Trial         int     `json:"trial"`
	Seed          uint64  `json:"seed"`
	Fault         string  `json:"fault"`
	DetectionMS   float64 `json:"detection_ms"`
	ElectedMS     float64 `json:"elected_ms"`
	FailoverMS    float64 `json:"failover_ms"`
	UnavailableMS float64 `json:"unavailable_ms"`
	Verdict       string  `json:"verdict"`
	Reason        string  `json:"reason,omitempty"`
}

// BareLog is one row of the bare log: a no-op state machine, no master.
type BareLog struct {
	Backend           string  `json:"backend"`
	Setting           string  `json:"setting"`
	Clients           int     `json:"clients"`
	Slice             int     `json:"slice"`
	CommandBytes      int     `json:"command_bytes"`
	Durable           bool    `json:"durable"`
	Ops               int64   `json:"ops"`
	OpsPerSecond      float64 `json:"ops_per_s"`
	P50US             float64 `json:"p50_us"`
	P99US             float64 `json:"p99_us"`
	CPUSecondsPer100k float64 `json:"cpu_s_per_100k"`
	AllocsPerOp       float64 `json:"allocs_per_op"`
	LeaderFsyncsPerOp float64 `json:"leader_fsyncs_per_op"`
	FollowFsyncsPerOp float64 `json:"follower_fsyncs_per_op"`
	LeaderFramesPerOp float64 `json:"leader_frames_per_op"`
	LeaderBytesPerOp  float64 `json:"leader_bytes_per_op"`
	// Void is how many attempts before this one ended with the loss of the lead, and
	// measured nothing.
	Void int `json:"void,omitempty"`
}
