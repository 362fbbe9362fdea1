package paxostest

import (
	"math/rand/v2"
	"time"

	"gfslab/paxos"
)

// Options are the bounds of a run. The zero value takes the defaults.
type Options struct {
	// Ticks and Proposals are the least that a run does before it is healed
	// (1,500 and 200).
	Ticks, Proposals int
	// Crashes and Partitions are the least number of each (2 and 1).
	Crashes, Partitions int
}

func (o Options) withDefaults() Options {
	if o.Ticks == 0 {
		o.Ticks = 1500
	}
	if o.Proposals == 0 {
		o.Proposals = 200
	}
	if o.Crashes == 0 {
		o.Crashes = 2
	}
	if o.Partitions == 0 {
		o.Partitions = 1
	}
	return o
}

// swarm is the world of one seed. Each seed draws its own mix, with some faults
// off altogether: a fault that never rests hides what others would find.
type swarm struct {
	nodes                int
	config               paxos.Config
	drop, duplicate      float64
	delay                int     // ticks, at most
	straggle             float64 // chance that a message takes up to 60 ticks
	diskDelay            int     // ticks, at most
	stall                float64 // chance that a write takes long
	applyLag             bool
	crash, restart       float64 // chance a tick
	survive              float64 // chance that a write under way survives a crash
	cut, heal            float64 // chance a tick
	campaign             float64 // chance a tick that some node campaigns
	propose              float64 // chance a tick and leader
	burst                int
	read                 float64
	valueBytes           int
	capture              float64 // chance a tick and node of a snapshot, 0 = none
	trailing             uint64  // slots kept below a snapshot
	fetchDelay           int     // ticks, at most
	siege                float64 // chance a tick of an attack on a lease
	lostTick             float64 // chance a tick and node that it passes unnoticed
	change               float64 // chance a tick and leader of a change of the members
	transfer, resign     float64 // chance a tick and leader
	ids                  int     // nodes there may be in all
	followLeader, oneWay bool    // faults aim at the leader; cuts go one way
}

func drawSwarm(seed uint64) swarm {
	r := rand.New(rand.NewPCG(seed, 0xd1b54a32d192ed03))
	s := swarm{nodes: pick(r, 3, 3, 5)}
	beat := 1 + r.IntN(3)
	s.config = paxos.Config{
		HeartbeatTicks: beat, ElectionTicks: beat + pick(r, 3, 6, 12, 20),
		Window: pick(r, 1, 2, 4, 8, 32), MaxMessageBytes: pick(r, 1, 16, 64, 4096),
		LeaderDiskParallel: r.IntN(2) == 0, PrePrepare: r.IntN(2) == 0, CheckQuorum: r.IntN(4) != 0,
	}
	mode := drawSwitches(seed, s.nodes)
	s.config.Switches, s.config.Phase1Quorum, s.config.Phase2Quorum = mode.Switches, mode.Phase1Quorum, mode.Phase2Quorum
	s.drop = pick(r, 0, 0, 0.02, 0.1, 0.25)
	s.duplicate = pick(r, 0, 0, 0.02, 0.1)
	s.delay = pick(r, 0, 1, 3, 10)
	s.diskDelay = pick(r, 0, 1, 4, 12)
	s.stall = pick(r, 0, 0, 0.01, 0.05)
	s.applyLag = r.IntN(3) == 0
	s.crash = pick(r, 0.001, 0.004, 0.01, 0.03)
	s.restart = pick(r, 0.02, 0.1, 0.5)
	s.survive = pick(r, 0, 0.5, 1)
	s.cut = pick(r, 0.002, 0.01, 0.03)
	s.heal = pick(r, 0.01, 0.05, 0.2)
	s.campaign = pick(r, 0, 0, 0.005, 0.03)
	s.propose = pick(r, 0.2, 0.5, 1)
	s.burst = pick(r, 1, 2, 6)
	s.read = pick(r, 0.05, 0.3)
	s.valueBytes = pick(r, 0, 0, 20)
	s.followLeader = r.IntN(2) == 0
	s.oneWay = r.IntN(3) == 0
	s.straggle = pick(r, 0, 0, 0.02, 0.1)
	s.capture = pick(r, 0, 0.002, 0.01, 0.05)
	s.trailing = pick[uint64](r, 0, 5, 50)
	s.fetchDelay = pick(r, 0, 5, 30)
	s.change = pick(r, 0, 0, 0.005, 0.03)
	if m := mode.Switches; m.Eligibility == paxos.UpToDate && m.CatchUp == paxos.FromLeader && mode.Phase2Quorum == 1 {
		// What a leader alone has chosen leaves with it: nobody who stays is up to date,
		// or may ask.
		s.change = 0
	}
	s.ids = s.nodes
	if s.change > 0 {
		s.ids += 8
	}
	if r.IntN(2) == 0 {
		s.config.Lease = time.Duration(s.config.ElectionTicks * tickTime)
		s.config.MaxDrift = pick(r, 0, 0.01, 0.2)
		s.siege = pick(r, 0, 0.005, 0.02)
	}
	s.lostTick = pick(r, 0, 0, 0.1, 0.5)
	s.transfer, s.resign = pick(r, 0, 0.002, 0.02), pick(r, 0, 0.002)
	s.config.Alpha = uint64(s.config.Window * pick(r, 1, 1, 3))
	return s
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// ease halves the rate of faults, and bounds the delays so that elections can
// end within their timeouts.
func (s *swarm) ease() {
	for _, p := range []*float64{&s.drop, &s.duplicate, &s.straggle, &s.stall, &s.crash, &s.cut, &s.campaign, &s.siege} {
		*p /= 2
	}
	s.heal, s.restart = max(s.heal, 0.05), max(s.restart, 0.1)
	s.lostTick /= 2
	bound := max(0, s.config.ElectionTicks-s.config.HeartbeatTicks-1) / 4
	s.delay, s.diskDelay = min(s.delay, bound), min(s.diskDelay, bound)
}
