package sim

import (
	"time"

	"gfslab/consensus"
)

// tick is the nominal length of a tick, in microseconds of virtual time.
const tick = 10_000

// Swarm is the world of one seed. Each seed draws its own mix, in which each
// group of faults is off for some seeds: a fault that never rests hides what
// others would find. All chances are per tick, or per message or write.
type Swarm struct {
	Nodes  int
	Limits consensus.Limits

	// Clients work in a closed loop, with Think between operations.
	Clients int
	Think   Law
	// StaleShare of the reads are stale ones; ReadShare of all operations are reads.
	ReadShare, StaleShare float64
	// TreeShare of the commands hide, bring back, remove or copy trees, set
	// attributes, or are about what their chunks share; see composeTree.
	TreeShare float64

	// The network. Ordered links deliver like a connection; Held messages wait for
	// a cut link to heal instead of getting lost.
	Delay           Law
	Straggle        float64 // chance that a message takes up to 60 ticks
	Drop, Duplicate float64
	Ordered, Held   bool

	// Disks, state machines and processes.
	Disk                    Law
	SlowWrite               float64 // chance that a write takes 20-60 ticks
	Apply, Turn             Law
	SegmentBytes, TailBytes int64

	// Drift is how much faster the fastest clock runs than the slowest.
	Drift float64

	// Faults, by chance a tick.
	Crash, Restart float64
	Survive        int // percent of the unsynced sectors that survive a crash
	Cut, Heal      float64
	OneWay         bool
	Pause, Stall   float64 // a process stops; a disk stops
	FollowLeader   bool    // faults aim at the leader

	// What operators do, by chance a tick: change the members, hand the lead over,
	// ask for a snapshot.
	Change, Transfer, Snapshot float64
}

// drawSwarm draws the world of a seed.
func drawSwarm(seed uint64, b Backend) Swarm {
	r := newStream(seed, 0xd1b54a32d192ed03)
	s := Swarm{Nodes: pick(&r, 3, 3, 3, 3, 5, 5, 5, 7)}
	s.Limits = drawLimits(&r)
	s.Clients = pick(&r, 2, 4, 8)
	s.Think = Law{"exponential", pick[int64](&r, tick, 2*tick, 4*tick)}
	s.ReadShare = pick(&r, 0.1, 0.3, 0.6)

	mean := pick[int64](&r, 0, tick/10, tick/10, tick, 4*tick)
	if mean > 0 {
		s.Delay = Law{pick(&r, "uniform", "exponential", "pareto"), mean}
	}
	s.Straggle = pick(&r, 0, 0, 0.02, 0.1)
	s.Drop = pick(&r, 0, 0, 0.02, 0.1, 0.25)
	s.Duplicate = pick(&r, 0, 0, 0.02, 0.1)
	s.Ordered = r.intn(2) == 0
	s.Held = r.intn(3) == 0

	s.Disk = pick(&r, Law{}, Law{"uniform", tick / 10}, Law{"exponential", tick}, Law{"uniform", 5 * tick})
	s.SlowWrite = pick(&r, 0, 0, 0.01, 0.05)
	s.Apply = pick(&r, Law{}, Law{}, Law{"exponential", tick / 2}, Law{"uniform", 3 * tick})
	s.Turn = pick(&r, Law{}, Law{"uniform", tick / 50}, Law{"exponential", tick / 3})
	s.SegmentBytes = pick[int64](&r, 0, 0, 1<<10, 8<<10)
	s.TailBytes = pick[int64](&r, 0, 0, 0, 0, 0, 0, -1, 256)

	s.Drift = pick(&r, 0, 0, 0.3, 1) * s.Limits.MaxClockDrift
	s.Crash = pick(&r, 0.001, 0.004, 0.01, 0.03)
	s.Restart = pick(&r, 0.02, 0.1, 0.5)
	s.Survive = pick(&r, 0, 50, 100)
	s.Cut = pick(&r, 0.002, 0.01, 0.03)
	s.Heal = pick(&r, 0.01, 0.05, 0.2)
	s.OneWay = r.intn(3) == 0
	s.Pause = pick(&r, 0, 0, 0.003, 0.01)
	s.Stall = pick(&r, 0, 0, 0.003, 0.01)
	s.FollowLeader = r.intn(2) == 0

	s.StaleShare = pick(&r, 0, 0.1)
	s.Snapshot = pick(&r, 0, 0, 0.01)
	s.Transfer = pick(&r, 0, 0, 0.01)
	s.Change = pick(&r, 0, 0, 0.005, 0.02)
	if b == MultiPaxos && r.intn(4) != 0 {
		drawSwitches(&r, &s)
	}
	if b == EtcdRaft && !s.Limits.PreVote {
		s.Change = 0 // see docs/simulation.md: a removed node may keep the others from electing a leader
	}
	// etcd/raft's own lease reads are known to be stale after a follower's restart.
	if b == MultiPaxos && s.Limits.CheckQuorum && r.intn(4) == 0 {
		s.Limits.ReadMode = consensus.ReadLease
	}
	s.TreeShare = pick(&r, 0, 0.2, 0.5)
	return s
}

func drawLimits(r *stream) consensus.Limits {
	l := consensus.Matched2()
	l.Tick = tick * time.Microsecond
	l.HeartbeatTicks = 1 + r.intn(3)
	l.ElectionTicks = l.HeartbeatTicks + pick(r, 3, 6, 12, 20)
	l.Window = pick(r, 1, 2, 4, 8, 32)
	l.BatchEntries = pick(r, 1, 2, 8, 64)
	l.BatchBytes = pick(r, 1, 64, 4096)
	l.LeaderDiskParallel = r.intn(2) == 0
	l.PreVote = r.intn(2) == 0
	l.CheckQuorum = r.intn(4) != 0
	l.MaxClockDrift = 0.05
	l.SnapshotEvery = pick[uint64](r, 0, 0, 8, 32, 100)
	l.TrailingEntries = pick[uint64](r, 0, 0, 5, 40)
	l.ReadMode = pick(r, consensus.ReadLinearizable, consensus.ReadLinearizable, consensus.ReadLinearizable, consensus.ReadLog, consensus.ReadStale)
	return l
}

// drawSwitches gives our own core another protocol, or other quorums: any mix
// that it admits.
func drawSwitches(r *stream, s *Swarm) {
	w := &s.Limits.Switches
	w.Notice = pick(r, "idle", "eager", "piggyback", "heartbeat")
	w.CatchUp = pick(r, "any", "leader")
	w.Eligibility = pick(r, "any", "up-to-date")
	w.Acceptance = pick(r, "any", "contiguous")
	if r.intn(2) == 0 {
		w.Number = "vote"
	}
	if r.intn(3) == 0 { // it needs the two
		w.OldSlots, w.Eligibility, w.Acceptance = "keep", "up-to-date", "contiguous"
	}
	if q1 := 1 + r.intn(s.Nodes); r.intn(3) == 0 && (w.Number != "vote" || 2*q1 > s.Nodes) {
		s.Limits.Phase1Quorum, s.Limits.Phase2Quorum = q1, s.Nodes+1-q1
		s.Change = 0 // they are sizes for one number of voters
	}
}

// ease halves the rate of faults and bounds the delays, so that elections can
// end within their timeouts.
func (s *Swarm) ease() {
	for _, p := range []*float64{&s.Drop, &s.Duplicate, &s.Straggle, &s.SlowWrite, &s.Crash, &s.Cut, &s.Pause, &s.Stall} {
		*p /= 2
	}
	s.Heal, s.Restart = max(s.Heal, 0.05), max(s.Restart, 0.1)
	bound := int64(max(0, s.Limits.ElectionTicks-s.Limits.HeartbeatTicks-1)) * tick / 8
	s.Delay, s.Disk = s.Delay.bounded(bound), s.Disk.bounded(bound)
	s.Apply, s.Turn = s.Apply.bounded(bound), s.Turn.bounded(min(bound, tick/2))
}

// calm switches every fault off.
func (s *Swarm) calm() {
	s.ease()
	for _, p := range []*float64{&s.Drop, &s.Duplicate, &s.Straggle, &s.SlowWrite, &s.Crash, &s.Cut, &s.Pause, &s.Stall} {
		*p = 0
	}
}
