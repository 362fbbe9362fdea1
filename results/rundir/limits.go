package rundir

// Limits change a setting's limits; see consensus.Limits. What is left out (zero
// or "") stays as the setting has it.
type Limits struct {
	ReadMode        string   `toml:"read_mode,omitempty" json:"read_mode,omitempty"` // linearizable, lease, log, stale
	SnapshotEvery   uint64   `toml:"snapshot_every,omitempty" json:"snapshot_every,omitempty"`
	TrailingEntries uint64   `toml:"trailing_entries,omitempty" json:"trailing_entries,omitempty"`
	Tick            Duration `toml:"tick,omitempty" json:"tick,omitempty"`
	ElectionTicks   int      `toml:"election_ticks,omitempty" json:"election_ticks,omitempty"`
	HeartbeatTicks  int      `toml:"heartbeat_ticks,omitempty" json:"heartbeat_ticks,omitempty"`
	BatchEntries    int      `toml:"batch_entries,omitempty" json:"batch_entries,omitempty"`
	BatchBytes      int      `toml:"batch_bytes,omitempty" json:"batch_bytes,omitempty"`
	Window          int      `toml:"window,omitempty" json:"window,omitempty"`
	// LeaderDiskParallel, PreVote and CheckQuorum are "on", "off" or "".
	LeaderDiskParallel string  `toml:"leader_disk_parallel,omitempty" json:"leader_disk_parallel,omitempty"`
	PreVote            string  `toml:"pre_vote,omitempty" json:"pre_vote,omitempty"`
	CheckQuorum        string  `toml:"check_quorum,omitempty" json:"check_quorum,omitempty"`
	MaxClockDrift      float64 `toml:"max_clock_drift,omitempty" json:"max_clock_drift,omitempty"`
	Phase1Quorum       int     `toml:"phase1_quorum,omitempty" json:"phase1_quorum,omitempty"`
	Phase2Quorum       int     `toml:"phase2_quorum,omitempty" json:"phase2_quorum,omitempty"`
	// The switches of our own core; see consensus.Switches.
	Eligibility string `toml:"eligibility,omitempty" json:"eligibility,omitempty"`
	Number      string `toml:"number,omitempty" json:"number,omitempty"`
	OldSlots    string `toml:"old_slots,omitempty" json:"old_slots,omitempty"`
	Acceptance  string `toml:"acceptance,omitempty" json:"acceptance,omitempty"`
	Notice      string `toml:"notice,omitempty" json:"notice,omitempty"`
	CatchUp     string `toml:"catch_up,omitempty" json:"catch_up,omitempty"`
}
