package rundir

// Limits change a setting's limits; see consensus.Limits. What is left out (zero
// or "") stays as the setting has it.
type Limits struct {
	ReadMode        string   `toml:"read_mode" json:"read_mode,omitempty"` // linearizable, lease, log, stale
	SnapshotEvery   uint64   `toml:"snapshot_every" json:"snapshot_every,omitempty"`
	TrailingEntries uint64   `toml:"trailing_entries" json:"trailing_entries,omitempty"`
	Tick            Duration `toml:"tick" json:"tick,omitempty"`
	ElectionTicks   int      `toml:"election_ticks" json:"election_ticks,omitempty"`
	HeartbeatTicks  int      `toml:"heartbeat_ticks" json:"heartbeat_ticks,omitempty"`
	BatchEntries    int      `toml:"batch_entries" json:"batch_entries,omitempty"`
	BatchBytes      int      `toml:"batch_bytes" json:"batch_bytes,omitempty"`
	Window          int      `toml:"window" json:"window,omitempty"`
	// LeaderDiskParallel, PreVote and CheckQuorum are "on", "off" or "".
	LeaderDiskParallel string  `toml:"leader_disk_parallel" json:"leader_disk_parallel,omitempty"`
	PreVote            string  `toml:"pre_vote" json:"pre_vote,omitempty"`
	CheckQuorum        string  `toml:"check_quorum" json:"check_quorum,omitempty"`
	MaxClockDrift      float64 `toml:"max_clock_drift" json:"max_clock_drift,omitempty"`
	Phase1Quorum       int     `toml:"phase1_quorum" json:"phase1_quorum,omitempty"`
	Phase2Quorum       int     `toml:"phase2_quorum" json:"phase2_quorum,omitempty"`
	// The switches of our own core; see consensus.Switches.
	Eligibility string `toml:"eligibility" json:"eligibility,omitempty"`
	Number      string `toml:"number" json:"number,omitempty"`
	OldSlots    string `toml:"old_slots" json:"old_slots,omitempty"`
	Acceptance  string `toml:"acceptance" json:"acceptance,omitempty"`
	Notice      string `toml:"notice" json:"notice,omitempty"`
	CatchUp     string `toml:"catch_up" json:"catch_up,omitempty"`
}
