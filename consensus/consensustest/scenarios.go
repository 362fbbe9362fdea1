package consensustest

import (
	"hash/fnv"
	"os"
	"slices"
	"strconv"
	"time"

	"gfslab/consensus"
)

// scenario is one story about a cluster. Its run may end early by FailNow;
// afterwards the cluster is healed, settled and closed, and the history judged.
type scenario struct {
	name  string
	nodes int
	// minimum is how many writes must be acknowledged for the scenario to say
	// anything.
	minimum int
	// limits changes the backend's limits.
	limits func(l *consensus.Limits)
	// applyDelay is how long the state machines take for one entry.
	applyDelay time.Duration
	// ballast makes images of the state machines larger by so many bytes.
	ballast int
	// needs are features without which the scenario makes no sense.
	needs []Feature
	// virtualOnly: it measures times that a busy machine would blur.
	virtualOnly bool
	// attacksLease: see Capabilities.LeaseUnsafe.
	attacksLease bool
	run          func(c *cluster)
}

// SeedVariable holds a number that is mixed into every scenario's seed, to
// search further than the seeds that every run uses.
const SeedVariable = "GFSLAB_SUITE_SEED"

func (s scenario) seed() uint64 {
	h := fnv.New64a()
	h.Write([]byte(s.name))
	extra, _ := strconv.ParseUint(os.Getenv(SeedVariable), 10, 64)
	return (h.Sum64() + extra*0x9e3779b97f4a7c15) % 1_000_000_007
}

// scenarios are in the order of growing trouble.
func scenarios() []scenario {
	return slices.Concat(logScenarios(), snapshotScenarios(), memberScenarios(), readScenarios(), leadScenarios())
}

// logScenarios need nothing but the log.
func logScenarios() []scenario {
	return []scenario{
		{name: "single", nodes: 1, minimum: 50, run: runSingle},
		{name: "single-crash", nodes: 1, minimum: 50, run: runSingleCrash},
		{name: "size-limit", nodes: 1, minimum: 3, limits: smallCommands, run: runSizeLimit},
		{name: "contexts", nodes: 1, minimum: 1, run: runContexts},
		{name: "closed", nodes: 1, minimum: 20, run: runClosed},
		{name: "order", nodes: 3, minimum: 200, run: runOrder},
		{name: "proposers", nodes: 3, minimum: 1000, run: runProposers},
		{name: "small-batches", nodes: 3, minimum: 200, limits: tightLimits, run: runProposersFew},
		{name: "followers", nodes: 3, minimum: 10, run: runFollowers},
		{name: "restart", nodes: 3, minimum: 100, run: runRestart},
		{name: "rolling-restart", nodes: 3, minimum: 100, run: runRollingRestart},
		{name: "crash-all-0", nodes: 3, minimum: 100, run: crashAll(0)},
		{name: "crash-all-50", nodes: 3, minimum: 100, run: crashAll(50)},
		{name: "crash-all-100", nodes: 3, minimum: 100, run: crashAll(100)},
		{name: "crash-leaders", nodes: 3, minimum: 100, run: runCrashLeaders},
		{name: "minority-loss", nodes: 3, minimum: 200, run: runMinorityLoss},
		{name: "majority-loss", nodes: 3, minimum: 20, run: runMajorityLoss},
		{name: "isolated-leader", nodes: 3, minimum: 100, run: runIsolatedLeader},
		{name: "one-way-cuts", nodes: 3, minimum: 50, run: runOneWayCuts},
		{name: "stale-read", nodes: 3, minimum: 50, run: runStaleRead},
		{name: "stale-read-slow-machine", nodes: 3, minimum: 20, applyDelay: 12 * time.Millisecond, run: runStaleRead},
		{name: "slow-machine", nodes: 3, minimum: 50, applyDelay: 5 * time.Millisecond, run: runSlowMachine},
		{name: "ambiguous", nodes: 3, minimum: 10, run: runAmbiguous},
		{name: "back-pressure", nodes: 3, minimum: 10, limits: backPressureLimits, run: runBackPressure},
		{name: "close-under-load", nodes: 3, minimum: 50, run: runCloseUnderLoad},
		{name: "five-elections", nodes: 3, minimum: 50, run: runFiveElections},
		{name: "flapping", nodes: 3, minimum: 100, run: runFlapping},
		{name: "storm", nodes: 3, minimum: 100, run: runStorm},
	}
}

func smallCommands(l *consensus.Limits) { l.MaxCommandBytes = 1000 }

// tightLimits make entries of at most three commands, two entries in flight.
func tightLimits(l *consensus.Limits) {
	l.BatchEntries, l.BatchBytes, l.Window, l.QueueCommands = 3, 700, 2, 16
}

// backPressureLimits leave room for few commands, and time to see them wait:
// the leader goes on leading through a cut of half a second.
func backPressureLimits(l *consensus.Limits) {
	l.BatchEntries, l.Window, l.QueueCommands = 2, 1, 8
	l.ElectionTicks = 200
}

// span scales how long a scenario's traffic runs: virtual time is free, real
// time is not.
func (c *cluster) span(d time.Duration) time.Duration {
	if c.play.world == Real {
		return d / 2
	}
	return d
}

// rounds scales how often a scenario repeats its fault.
func (c *cluster) rounds(n int) int {
	if c.play.world == Real {
		return (n + 1) / 2
	}
	return n
}
