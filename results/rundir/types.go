package rundir

import "time"

// FormatVersion is the version of the run directory's form. Readers refuse
// another major version.
const FormatVersion = 1

// Plan is what to run: one cell and slice. Durations are strings in TOML and
// JSON ("1.5s").
type Plan struct {
	Backend  string `toml:"backend" json:"backend"`   // multipaxos, etcdraft, hashiraft, unreplicated
	Workload string `toml:"workload" json:"workload"` // create, append, gfs-x, ...; see package workloads
	Fault    string `toml:"fault" json:"fault"`       // none, isolate-leader, crash-leader, ...
	Setting  string `toml:"setting" json:"setting"`   // matched-2, matched-3, native
	Tier     string `toml:"tier" json:"tier"`         // local, virtual
	Seed     uint64 `toml:"seed" json:"seed"`
	Slice    int    `toml:"slice" json:"slice"`
	// Replicas, Chunkservers and Clients are counts of nodes and client threads.
	Replicas     int `toml:"replicas" json:"replicas"`
	Chunkservers int `toml:"chunkservers" json:"chunkservers"`
	Clients      int `toml:"clients" json:"clients"`
	// Arrival is "closed" or "open"; Rate is operations a second in all (open).
	Arrival string  `toml:"arrival" json:"arrival"`
	Rate    float64 `toml:"rate" json:"rate"`
	// WarmUp is excluded from figures (not from the checks). Duration is the
	// measured time; the fault starts at FaultAt of it and heals after FaultFor.
	WarmUp   Duration `toml:"warm_up" json:"warm_up"`
	Duration Duration `toml:"duration" json:"duration"`
	FaultAt  Duration `toml:"fault_at" json:"fault_at"`
	FaultFor Duration `toml:"fault_for" json:"fault_for"`
	// FaultRepeat injects the fault that many times in all, one every FaultEvery;
	// the second and later injections are moved by a seeded share of a heartbeat
	// interval, so that they fall anywhere in it.
	FaultRepeat int      `toml:"fault_repeat" json:"fault_repeat"`
	FaultEvery  Duration `toml:"fault_every" json:"fault_every"`
	OpTimeout   Duration `toml:"op_timeout" json:"op_timeout"`
	// LeaseTerm is D of the chunk leases; ChunkBytes the size of a chunk.
	LeaseTerm  Duration `toml:"lease_term" json:"lease_term"`
	ChunkBytes int64    `toml:"chunk_bytes" json:"chunk_bytes"`
	// RecordBytes is the payload of one appended record. RecordSizes, if not "",
	// draws sizes from a table instead: gfs-x, gfs-y (scaled with the chunk size).
	RecordBytes int    `toml:"record_bytes" json:"record_bytes"`
	RecordSizes string `toml:"record_sizes" json:"record_sizes,omitempty"`
	// Files is how many files a profile spreads its clients over; 0 leaves it to
	// the profile.
	Files int `toml:"files" json:"files,omitempty"`
	// Replication is the goal of every chunk; 0 is 3, or as many as there are
	// chunkservers if these are fewer. Racks spreads the chunkservers over so many.
	Replication int `toml:"replication" json:"replication,omitempty"`
	Racks       int `toml:"racks" json:"racks,omitempty"`
	// Fencing has the masters give a new grant at once when a primary is dead: it
	// fences the old one. Else they wait until the old lease has surely run out.
	Fencing bool `toml:"fencing" json:"fencing,omitempty"`
	// Strict seals a chunk at the master before the next one is used.
	Strict bool `toml:"strict" json:"strict,omitempty"`
	// Retention, if above 0, is set on the root: how long what was deleted stays.
	Retention Duration `toml:"retention" json:"retention,omitzero"`
	// DeadAfter is the silence after which a chunkserver counts as dead, ReplicateAfter
	// how long a chunk stays below its goal before it is cloned, OrphanAge how long a
	// replica that nobody needs stays, CloneRate (bytes a second) how fast a
	// chunkserver takes clones in; 0 is the master's own default.
	DeadAfter      Duration `toml:"dead_after" json:"dead_after,omitzero"`
	ReplicateAfter Duration `toml:"replicate_after" json:"replicate_after,omitzero"`
	OrphanAge      Duration `toml:"orphan_age" json:"orphan_age,omitzero"`
	CloneRate      uint64   `toml:"clone_rate" json:"clone_rate,omitempty"`
	// ScrubRate is how many bytes a second an idle chunkserver verifies, without a
	// pause between its rounds; 0 is the chunkserver's own default.
	ScrubRate int64 `toml:"scrub_rate" json:"scrub_rate,omitempty"`
	// Settle is how long the run waits at its end, at most, for every chunk to be at
	// its goal and all that is not needed to be removed.
	Settle Duration `toml:"settle" json:"settle,omitzero"`
	// Period is the pause of a profile's thread that acts by the clock (snap-append:
	// a snapshot every 2 s); 0 leaves it to the profile.
	Period Duration `toml:"period" json:"period,omitzero"`
	// CheckTimeout bounds each checker.
	CheckTimeout Duration `toml:"check_timeout" json:"check_timeout"`
	// Replace is how many masters are replaced by new ones under load, one every
	// ReplaceEvery from ReplaceAt of the measured time on.
	Replace      int      `toml:"replace" json:"replace,omitempty"`
	ReplaceAt    Duration `toml:"replace_at" json:"replace_at,omitzero"`
	ReplaceEvery Duration `toml:"replace_every" json:"replace_every,omitzero"`
	// Limits differ from the setting's.
	Limits Limits `toml:"limits" json:"limits,omitzero"`
}

// Duration is a time.Duration written as text ("150ms").
type Duration time.Duration

// Manifest says where a run came from. It is written before anything runs.
type Manifest struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Version string    `json:"version"` // gfslab's, with the commit it was built from
	Plan    Plan      `json:"plan"`
	// Effective is the backend's own translation of the limits, by name.
	Effective map[string]string `json:"effective"`
	Nodes     []string          `json:"nodes"`
	Host      Host              `json:"host"`
	// Command is the one line that replays the run.
	Command string `json:"command"`
}

// Host states the facts of the machine that bear on the figures.
type Host struct {
	OS           string  `json:"os"`
	Kernel       string  `json:"kernel"`
	CPU          string  `json:"cpu"`
	Cores        int     `json:"cores"`
	MemoryBytes  uint64  `json:"memory_bytes"`
	Go           string  `json:"go"`
	FileSystem   string  `json:"file_system"`
	Durable      bool    `json:"durable"` // false on tmpfs and in memory
	FreeBytes    uint64  `json:"free_bytes"`
	Sync1P50US   float64 `json:"sync1_p50_us"` // one fdatasync at a time
	Sync3P50US   float64 `json:"sync3_p50_us"` // three concurrent fdatasyncs
	StealPercent float64 `json:"steal_percent"`
	PacerLagP99  float64 `json:"pacer_lag_p99_us"`
}

// The outcomes of an operation. Fail means that it surely had no effect; an
// answer such as NOT_FOUND is an ok operation with that code.
const (
	OutcomeOK      = "ok"
	OutcomeFail    = "fail"
	OutcomeUnknown = "unknown"
)

// The phases of a run.
const (
	PhasePreload = "preload"
	PhaseWarmUp  = "warmup"
	PhaseRun     = "run"
	PhaseFinal   = "final"
)

// The kinds of lease events. Mutate: a mutation is durable on this node, primary
// or secondary. Accept: the primary acknowledges one, durable on all replicas.
// Claim: a claim or an extension was granted, until Until. Stop: the primary
// stops acting. [LeaseEvent] tells of all.
const (
	LeasePrepare  = "prepare"
	LeaseActivate = "activate"
	LeaseClaim    = "claim"
	LeaseAccept   = "accept"
	LeaseMutate   = "mutate"
	LeaseStop     = "stop"
	LeaseRefuse   = "refuse"
	LeaseServe    = "serve"
	LeaseClone    = "clone"
	LeaseCopy     = "copy"
	LeaseDelete   = "delete"
	LeaseCorrupt  = "corrupt"
)

// The kinds of what is found in a chunk file.
const (
	ChunkRecord   = "record"
	ChunkPad      = "pad"
	ChunkFragment = "fragment"
	ChunkBlock    = "block"
	ChunkEmpty    = "empty"
)

// What a run may have waited for. Replicas: every chunk has as many current
// replicas as its goal says. Garbage: no chunkserver has a replica that the log does
// not name.
const (
	WaitedReplicas = "replicas"
	WaitedGarbage  = "garbage"
)

// Fault is one fault as it was injected, observed and healed.
type Fault struct {
	Name string            `json:"name"`
	Args map[string]string `json:"args,omitempty"`
	Node string            `json:"node"` // the victim
	// Nodes are all victims where there are several.
	Nodes  []string `json:"nodes,omitempty"`
	Due    int64    `json:"due"`
	Inject int64    `json:"inject"`
	// InForce is when the injection was complete; times count from Inject, but
	// what began before InForce may have escaped the fault. 0: not recorded.
	InForce int64 `json:"in_force,omitempty"`
	Heal    int64 `json:"heal"` // -1: never healed
	// Observed says that the fault had an effect that could be seen, and how.
	Observed bool     `json:"observed"`
	Evidence []string `json:"evidence"`
	// Detected is the first campaign of another node, Elected the first leader
	// at a higher term, Committed its first commit; 0 when it never came.
	Detected  int64 `json:"detected"`
	Elected   int64 `json:"elected"`
	Committed int64 `json:"committed"`
}

// Counters are the totals of one run over its measured window.
type Counters struct {
	// Applied maps a master's name to the number of commands that its last
	// incarnation applied. A node in it whose applied log is shorter has lost
	// lines; a node not in it is not held to a count.
	Applied map[string]uint64 `json:"applied,omitempty"`
	// Left are the nodes that were removed from the cluster, and then stopped.
	Left []string `json:"left,omitempty"`
	// Waited is what the run waited for at its end, and saw: WaitedReplicas,
	// WaitedGarbage. What is not in it is not held against the run.
	Waited []string `json:"waited,omitempty"`
	// Replacements are the masters that were replaced, in order.
	Replacements []Replacement `json:"replacements,omitempty"`
	// Nodes maps a node's name to its counters, by name.
	Nodes map[string]map[string]uint64 `json:"nodes"`
	// Leader is the node that led at the start of the measured window.
	Leader string `json:"leader"`
	// Settled is when the cell had come to rest at the end, in nanoseconds since the
	// start of the run: every chunk at its goal, nothing left to remove. 0: it did not,
	// or the plan did not wait.
	Settled    int64   `json:"settled,omitempty"`
	Operations uint64  `json:"operations"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"` // whole process
	Allocs     uint64  `json:"allocs"`      // whole process
	AllocBytes uint64  `json:"alloc_bytes"`
}

// Replacement is one master that was replaced by another. Times are nanoseconds
// since the start of the run, 0 for what did not happen.
type Replacement struct {
	Old       string `json:"old"`
	New       string `json:"new"`
	OldLed    bool   `json:"old_led"` // when the step began
	Began     int64  `json:"began"`
	Started   int64  `json:"started"`   // the new node runs
	CaughtUp  int64  `json:"caught_up"` // as a learner
	Votes     int64  `json:"votes"`
	Removed   int64  `json:"removed"` // the old one, from the members
	Stopped   int64  `json:"stopped"`
	Transfers int    `json:"transfers"` // of the lead, asked for by the operator
}

// Applied is one command that one node applied. A node that restarts and
// replays writes its lines again: Run tells the incarnations apart.
type Applied struct {
	Run    int    `json:"run"` // incarnation of the node, from 0
	Index  uint64 `json:"index"`
	Offset uint32 `json:"offset"`
	Term   uint64 `json:"term"` // term or packed ballot at which this node applied it
	Client string `json:"client,omitempty"`
	Seq    uint64 `json:"seq,omitempty"`
	// Command and Reply are the state machine's (metapb messages, or package
	// store's forms), base64 in JSON.
	Command []byte `json:"command"`
	Reply   []byte `json:"reply"`
	// Hash is the state's hash after the *entry* (all commands of the index).
	Hash string `json:"hash"`
	// At is nanoseconds since the start of the run.
	At int64 `json:"at"`
	// Restored marks a line that is no command: the node took over the state after
	// Index, with that hash, from a snapshot.
	Restored bool `json:"restored,omitempty"`
}

// Chunk is one record, pad or fragment found in a chunk file of records after the
// run, or one block of a file of bytes: 64 KiB, the last one shorter. A file with
// nothing in it is "empty".
type Chunk struct {
	Handle  uint64 `json:"handle"`
	Version uint64 `json:"version"`
	Offset  uint64 `json:"offset"`
	Length  uint32 `json:"length"` // payload bytes
	CRC     uint32 `json:"crc"`    // crc32c of the payload as found on disk
	Client  string `json:"client,omitempty"`
	Seq     uint64 `json:"seq,omitempty"`
	Kind    string `json:"kind"` // record, pad, fragment, block, empty
	// Corrupt: the bytes do not match the block checksums beside them.
	Corrupt bool `json:"corrupt,omitempty"`
}

// LeaseEvent is one event of a lease's life as a chunkserver or master saw it.
//
// The kinds that a chunkserver writes: "prepare": (handle, version) is durable
// here. "activate": this chunkserver learnt that it is primary of epoch.
// "claim": the master confirmed the lease; this primary may act until Until.
// "mutate": this replica (primary or secondary) made the mutation (version,
// serial, offset) durable; it is not acknowledged by that. "accept": the primary
// acknowledges the mutation to the client: all replicas have it and the lease
// was live at At (At < Until holds in a correct build). "stop": the primary
// acts no longer on epoch (ended, expired, refused or replaced). "refuse": a
// request was refused for its version, term or lease. "serve": bytes of Version
// were read out to one who asked for at least Wanted. "clone": a whole replica of
// Version, fetched from Source, is durable here. "copy": a copy of chunk Source
// is durable here under Handle. "delete": the replica is gone from here, on the
// order of a master of Term. "corrupt": bytes at Offset did not match their
// checksum.
type LeaseEvent struct {
	At      int64  `json:"at"`
	Node    string `json:"node"`
	Kind    string `json:"kind"` // see the Lease constants
	Handle  uint64 `json:"handle"`
	Version uint64 `json:"version"`
	Epoch   uint64 `json:"epoch,omitempty"`
	Term    uint64 `json:"term,omitempty"`
	Serial  uint64 `json:"serial,omitempty"`
	Offset  uint64 `json:"offset,omitempty"`
	Until   int64  `json:"until,omitempty"`  // claim: end of the lease
	Length  uint64 `json:"length,omitempty"` // mutate, serve: payload bytes
	Wanted  uint64 `json:"wanted,omitempty"`
	// Source is a chunkserver (clone) or a handle (copy).
	Source string `json:"source,omitempty"`
}

// ReplicaEvent is one event of the work on replicas as a leading master saw it.
//
// The kinds: "warm": this leader may judge from now on. "queued": the chunk is to
// be cloned. "clone": Server is asked to fetch from Source. "cloned": it is a
// member now. "failed". "dropped": Server is no member any more. "remove": it is
// told to remove its replica. "removed": it says that it did. "corrupt": it reports
// bad bytes.
type ReplicaEvent struct {
	At      int64  `json:"at"`
	Node    string `json:"node"` // the master
	Term    uint64 `json:"term"`
	Kind    string `json:"kind"`
	Handle  uint64 `json:"handle,omitempty"`
	Version uint64 `json:"version,omitempty"`
	Server  string `json:"server,omitempty"`
	Source  string `json:"source,omitempty"`
	Bytes   uint64 `json:"bytes,omitempty"`
	// Begun is when a clone was decided, which may be before it was asked for; it
	// stays with the clone's later events.
	Begun int64 `json:"begun,omitempty"`
	// Live and Goal are the current replicas alive before, and how many there
	// should be. Wanted: a client waits. Hidden: the file is deleted.
	Live   int    `json:"live,omitempty"`
	Goal   int    `json:"goal,omitempty"`
	Wanted bool   `json:"wanted,omitempty"`
	Hidden bool   `json:"hidden,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// The kinds of events of the work on replicas.
const (
	ReplicaWarm    = "warm"
	ReplicaQueued  = "queued"
	ReplicaClone   = "clone"
	ReplicaCloned  = "cloned"
	ReplicaFailed  = "failed"
	ReplicaDropped = "dropped"
	ReplicaRemove  = "remove"
	ReplicaRemoved = "removed"
	ReplicaCorrupt = "corrupt"
)

// The verdicts, best first. Void means that the run does not count (the fault
// was never observed, or the harness itself failed).
const (
	Valid   = "valid"
	Unknown = "unknown"
	Invalid = "invalid"
	Void    = "void"
)

// Verdict is what the checkers said of a run; the worst one wins.
type Verdict struct {
	Format  int           `json:"format"`
	Verdict string        `json:"verdict"`
	Checks  []CheckResult `json:"checks"`
}

// CheckResult is one checker's verdict.
type CheckResult struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	// Details are one finding a line, the worst first. Each names operation,
	// offset and node where it can.
	Details []string `json:"details,omitempty"`
	// Stats are counts that show how much was checked.
	Stats map[string]int64 `json:"stats,omitempty"`
	// FirstBadOp is the ID of the first bad operation, -1 if there is none.
	FirstBadOp int64 `json:"first_bad_op"`
	// Files are extra files that the checker left in the run directory.
	Files []string `json:"files,omitempty"`
}

// Run is a run directory in memory.
type Run struct {
	Dir      string
	Manifest Manifest
	Ops      []Op
	Faults   []Fault
	Counters Counters
	Applied  map[string][]Applied
	Chunks   map[string][]Chunk
	Leases   map[string][]LeaseEvent
	// Replicas are the masters' events of the work on replicas.
	Replicas map[string][]ReplicaEvent
}
