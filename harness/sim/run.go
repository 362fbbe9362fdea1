package sim

import (
	"crypto/rand"
	"fmt"
	"io"
	"runtime/debug"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
	composition "gfslab/internal/node"
)

// Backend names a core that can be simulated.
type Backend string

// The backends.
const (
	MultiPaxos Backend = "multipaxos"
	EtcdRaft   Backend = "etcd-raft"
)

// Backends are all of them.
func Backends() []Backend { return []Backend{MultiPaxos, EtcdRaft} }

// product is the backend's name in package node.
func (b Backend) product() string {
	if b == EtcdRaft {
		return composition.EtcdRaft
	}
	return string(b)
}

// Options are the bounds of a run. The zero value takes the defaults.
type Options struct {
	// Ticks and Proposals are the least that a run does before it is healed
	// (1,500 and 200).
	Ticks, Proposals int
	// Crashes and Partitions are the least number of each (2 and 1).
	Crashes, Partitions int
}

func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.Ticks, 1500)
	def(&o.Proposals, 200)
	def(&o.Crashes, 2)
	def(&o.Partitions, 1)
	return o
}

// Run simulates one seed. It is deterministic.
func Run(b Backend, seed uint64, o Options) Report {
	return setup{}.run(b, seed, o)
}

// Replay runs a scenario. One that a Run has recorded gives the trace of that
// run. What happens is told to explain, unless that is nil.
func Replay(sc *Scenario, explain io.Writer) Report {
	return setup{explain: explain}.replay(sc)
}

// setup is how to run a world.
type setup struct {
	explain io.Writer
	// wrap changes every core that is opened; tests plant bugs by it. Nil is none.
	wrap func(engine.Core) engine.Core
}

func (s setup) run(b Backend, seed uint64, o Options) Report {
	o = o.withDefaults()
	sc := &Scenario{Backend: b, Seed: seed, Swarm: drawSwarm(seed, b)}
	return s.simulate(sc, o, func(w *world) bool {
		r := w.report
		return w.ticks >= 20*o.Ticks ||
			w.ticks >= o.Ticks && r.Proposals >= o.Proposals && r.Crashes >= o.Crashes && r.Partitions >= o.Partitions
	})
}

func (s setup) replay(sc *Scenario) Report {
	again := *sc
	if again.Faults == nil {
		again.Faults = []Fault{} // none is not the same as to be drawn
	}
	return s.simulate(&again, Options{}, func(w *world) bool { return w.ticks >= sc.Ticks })
}

func (s setup) simulate(sc *Scenario, o Options, over func(*world) bool) (report Report) {
	report = Report{Backend: sc.Backend, Seed: sc.Seed, Nodes: sc.Swarm.Nodes, options: o}
	protocol, err := composition.Protocol(sc.Backend.product(), sc.Swarm.Limits)
	if err != nil {
		report.Violation = &Violation{Judge: "backend", Detail: err.Error()}
		return report
	}
	defer useRandomness(newStream(sc.Seed, 'r'))()
	protocol.Open = s.wrapped(protocol.Open)
	w := newWorld(sc, protocol, &report)
	w.over, w.explain = func() bool { return over(w) }, s.explain
	healed := 0
	defer func() {
		report.Ticks, report.Trace = w.ticks, w.trace
		if healed == 0 {
			healed = w.ticks + 1
		}
		report.Scenario = &Scenario{Backend: sc.Backend, Seed: sc.Seed, Swarm: sc.Swarm, Ticks: healed, Faults: w.faults}
		if r := recover(); r != nil {
			report.Violation = violationOf(r, w.ticks)
		}
	}()
	w.open()
	for !w.ended {
		w.step()
	}
	healed = w.ticks
	w.say("everything is healed")
	report.Stall = w.settle()
	return report
}

func (s setup) wrapped(open engine.Factory) engine.Factory {
	if s.wrap == nil {
		return open
	}
	return func(cfg consensus.Config, log *storage.Log, start engine.Start) (engine.Core, error) {
		core, err := open(cfg, log, start)
		if err != nil {
			return nil, err
		}
		return s.wrap(core), nil
	}
}

// violationOf turns what a run panicked with into a violation: a judge's, or an
// assertion of the product's own.
func violationOf(r any, ticks int) *Violation {
	switch r := r.(type) {
	case *Violation:
		return r
	case string:
		return &Violation{Judge: "assertion", Detail: r, Tick: ticks}
	}
	return &Violation{Judge: "panic", Detail: fmt.Sprintf("%v\n%s", r, debug.Stack()), Tick: ticks}
}

// useRandomness replaces the process-wide reader of crypto/rand, from which
// etcd/raft draws its election timeouts, and returns how to put it back.
func useRandomness(s stream) (restore func()) {
	old := rand.Reader
	rand.Reader = io.Reader(&s)
	return func() { rand.Reader = old }
}
