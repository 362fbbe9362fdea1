package sim

import (
	"slices"
	"time"
)

// Kind names what a report fails by: the judge, "stall", or "" if it does not.
func (r *Report) Kind() string {
	switch {
	case r.Violation != nil:
		return r.Violation.Judge
	case r.Stall != "":
		return "stall"
	}
	return ""
}

// Shrink looks for a smaller scenario that fails in the same way: it leaves out
// faults and switches off what the world does at random, as long as the failure
// stays. It gives up after budget and returns the smallest that it found, which
// may be the one that it was given.
func Shrink(failed *Report, budget time.Duration) *Scenario {
	return setup{}.shrink(failed, budget)
}

func (how setup) shrink(failed *Report, budget time.Duration) *Scenario {
	s := &shrinker{setup: how, want: failed.Kind(), best: *failed.Scenario, until: time.Now().Add(budget)}
	if s.want == "" {
		return failed.Scenario
	}
	if v := failed.Violation; v != nil && v.Tick < s.best.Ticks {
		c := s.best
		c.Ticks = v.Tick + 1
		s.try(c)
	}
	for before := -1; before != s.kept; {
		before = s.kept
		s.faults()
		s.swarm()
		s.ticks()
	}
	s.best.About = s.about
	return &s.best
}

type shrinker struct {
	setup
	want  string
	about string
	best  Scenario
	kept  int // how often something smaller was found
	until time.Time
}

// try keeps the candidate if it fails in the wanted way.
func (s *shrinker) try(c Scenario) bool {
	if time.Now().After(s.until) {
		return false
	}
	r := s.replay(&c)
	if r.Kind() != s.want {
		return false
	}
	s.best, s.about = c, s.want
	if r.Violation != nil {
		s.about = r.Violation.Error()
	}
	s.best.Faults = r.Scenario.Faults // without those that did nothing
	s.kept++
	return true
}

// faults leaves out stretches of faults, long ones first.
func (s *shrinker) faults() {
	for size := len(s.best.Faults); size >= 1; size /= 2 {
		for at := 0; at < len(s.best.Faults); {
			c := s.best
			end := min(at+size, len(c.Faults))
			c.Faults = slices.Concat(c.Faults[:at], c.Faults[end:])
			if !s.try(c) {
				at = end
			}
		}
	}
}

// swarm calms the world, one knob at a time.
func (s *shrinker) swarm() {
	for _, calm := range []func(*Swarm){
		func(w *Swarm) { w.Drop = 0 }, func(w *Swarm) { w.Duplicate = 0 }, func(w *Swarm) { w.Straggle = 0 },
		func(w *Swarm) { w.SlowWrite = 0 }, func(w *Swarm) { w.Delay = Law{} }, func(w *Swarm) { w.Disk = Law{} },
		func(w *Swarm) { w.Apply = Law{} }, func(w *Swarm) { w.Turn = Law{} }, func(w *Swarm) { w.Drift = 0 },
		func(w *Swarm) { w.SegmentBytes = 0 }, func(w *Swarm) { w.TailBytes = 0 }, func(w *Swarm) { w.ReadShare = 0 },
		func(w *Swarm) { w.Clients = 1 }, func(w *Swarm) { w.Clients = max(1, w.Clients/2) },
		func(w *Swarm) { w.Ordered = true }, func(w *Swarm) { w.Held = false },
		func(w *Swarm) {
			w.Crash, w.Restart, w.Cut, w.Heal, w.Pause, w.Stall = 0, 0, 0, 0, 0, 0 // a replay draws none
		},
	} {
		c := s.best
		if calm(&c.Swarm); c.Swarm != s.best.Swarm {
			s.try(c)
		}
	}
}

// ticks shortens the part with faults.
func (s *shrinker) ticks() {
	for cut := s.best.Ticks / 2; cut >= 1; cut /= 2 {
		c := s.best
		c.Ticks -= cut
		s.try(c)
	}
}
