package consensustest

import (
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gfslab/consensus"
	"gfslab/consensus/wire"
	"gfslab/internal/disk"
)

// Env is what the suite hands to a backend beside its Config: one node's door
// to files and to the network.
type Env struct {
	FS  disk.FS
	Dir string
	// Network is the node's own; Listener is already open on the node's address
	// and belongs to the replica once Open has been called.
	Network  wire.Network
	Listener net.Listener
}

// Capabilities declares what a backend cannot do by design. Scenarios that
// need more are not run, and the suite prints which.
type Capabilities struct {
	// SingleNode: the backend has one replica only.
	SingleNode bool
	// LeaseUnsafe: reads in lease mode are known to go stale in the scenarios that
	// attack leases. They are run; what they find is printed and not held against
	// the backend.
	LeaseUnsafe bool
	// Missing are features that the backend does not have.
	Missing []Feature
}

// Feature is a part of the contract that a scenario needs beyond the log itself.
type Feature string

// The features.
const (
	Snapshots  Feature = "snapshots"
	Install    Feature = "snapshot-install"
	Membership Feature = "membership"
	Learners   Feature = "learners"
	ReadModes  Feature = "read-modes"
	StaleReads Feature = "stale-reads"
	Transfer   Feature = "transfer"
	// Resigns: a leader whose disk stalls or fails loses the lead.
	Resigns Feature = "resigns"
)

// Features returns all of them.
func Features() []Feature {
	return []Feature{Snapshots, Install, Membership, Learners, ReadModes, StaleReads, Transfer, Resigns}
}

// lacks says why a scenario is not run; "" runs it.
func (b Backend) lacks(sc scenario) string {
	if b.Capabilities.SingleNode && sc.nodes > 1 {
		return "single node"
	}
	for _, f := range sc.needs {
		if slices.Contains(b.Capabilities.Missing, f) {
			return string(f)
		}
	}
	return ""
}

// Backend is one implementation of the contract.
type Backend struct {
	Name         string
	Open         func(cfg consensus.Config, env Env) (consensus.Replica, error)
	Capabilities Capabilities
	// Limits are what the scenarios start from; zero means consensus.Matched2.
	Limits consensus.Limits
}

// World is where the suite runs.
type World uint8

// The worlds.
const (
	// Virtual: a testing/synctest bubble, memory disks, in-memory links.
	Virtual World = iota + 1
	// Real: real time, real files under t.TempDir, TCP on the loopback.
	Real
)

func (w World) String() string {
	switch w {
	case Virtual:
		return "virtual"
	case Real:
		return "real"
	}
	return "invalid"
}

// T is the part of testing.T that scenarios use, so that the suite's own tests
// can run it against broken backends and look at what it says.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	FailNow()
	Failed() bool
}

func fatalf(t T, format string, args ...any) {
	t.Helper()
	t.Errorf(format, args...)
	t.FailNow()
}

// Run runs every scenario against the backend, each as a subtest. The seed of a
// scenario is derived from its name and printed; it fixes clients, faults and
// what survives a crash, not the interleaving.
func Run(t *testing.T, b Backend, w World) {
	start := time.Now()
	before := goleak.IgnoreCurrent()
	t.Run("scenarios", func(t *testing.T) {
		for _, sc := range scenarios() {
			if why := b.lacks(sc); why != "" {
				t.Logf("not run, by declaration of %s (%s): %s", b.Name, why, sc.name)
				continue
			}
			if sc.virtualOnly && w != Virtual {
				continue // it measures times, and this machine has other work
			}
			t.Run(sc.name, func(t *testing.T) { runOne(t, b, w, sc) })
		}
	})
	if w == Real { // a bubble finds what is left in it by itself
		if err := goleak.Find(before); err != nil {
			t.Errorf("goroutines are left after every replica was closed: %v", err)
		}
	}
	t.Logf("%s, %v world: %v", b.Name, w, time.Since(start).Round(time.Millisecond))
}

func runOne(t *testing.T, b Backend, w World, sc scenario) {
	p := play{backend: b, world: w, scenario: sc, seed: sc.seed()}
	if w == Real {
		t.Parallel() // most of its time is spent waiting for elections
		p.dir = t.TempDir()
	}
	// What a scenario leaves is judged even if it ended early.
	defer p.judge(t)
	p.in(t, func(t *testing.T) { p.run(t) })
}

// play is one run of one scenario.
type play struct {
	backend  Backend
	world    World
	scenario scenario
	seed     uint64
	dir      string
	evidence evidence
}

// in calls f in a bubble in the virtual world, else directly.
func (p *play) in(t *testing.T, f func(t *testing.T)) {
	if p.world == Virtual {
		synctest.Test(t, f)
		return
	}
	f(t)
}

// run plays the scenario, closes everything and keeps what is to be judged.
func (p *play) run(t T) {
	t.Helper()
	c := newCluster(t, p)
	defer func() {
		c.close()
		p.evidence = c.evidence()
	}()
	c.start()
	p.scenario.run(c)
	if !t.Failed() {
		c.settle()
	}
}

// minimum is the scenario's in this world.
func (p *play) minimum() int {
	if p.world == Real {
		return p.scenario.minimum / 3 // fewer rounds
	}
	return p.scenario.minimum
}

// judge runs outside the bubble: it needs no time of its own to stand still.
func (p *play) judge(t T) {
	t.Helper()
	for _, finding := range judge(p.evidence) {
		if p.scenario.attacksLease && p.backend.Capabilities.LeaseUnsafe &&
			(strings.HasPrefix(finding, "stale read") || strings.HasPrefix(finding, "linearizability")) {
			t.Logf("shown as it is, by declaration of %s (lease unsafe): %s", p.backend.Name, finding)
			continue
		}
		t.Errorf("%s", finding)
	}
	h := history{ops: p.evidence.Ops}
	n := h.tally()
	t.Logf("seed %d: %d writes acknowledged, %d failed, %d unknown; %d reads", p.seed, n.OK, n.Fail, n.Unknown, n.Reads)
	if minimum := p.minimum(); n.OK < minimum && !t.Failed() {
		t.Errorf("only %d writes were acknowledged; the scenario says nothing below %d", n.OK, minimum)
	}
}
