package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Fault is one fault, or its end, at a tick. Faults are data: those of a run are
// recorded as they are drawn, and a run can be given a list instead of drawing.
type Fault struct {
	Tick int
	Kind string
	// Node is the node that is hurt, from 1.
	Node int `json:",omitempty"`
	// Change says what a change of the members does.
	Change string `json:",omitempty"`
	// Write says what becomes of the write under way at a crash: "" (nothing of it
	// reaches the disk), "torn" (a share of it does) or "whole".
	Write string `json:",omitempty"`
	// Links are the directed links that are cut, pairs of nodes.
	Links [][2]int `json:",omitempty"`
	// Ticks is how long a pause or a stall lasts.
	Ticks int `json:",omitempty"`
}

// The kinds of faults.
const (
	FaultCrash   = "crash"
	FaultRestart = "restart"
	FaultCut     = "cut"
	FaultHeal    = "heal"
	FaultPause   = "pause"
	FaultStall   = "stall"
	FaultEase    = "ease"
	// What operators do. A change of the members is named by Change: "add" a voter,
	// "learn" (add a learner), "promote", "remove" or "replace" Node; a newcomer gets the
	// next free number.
	FaultChange   = "change"
	FaultTransfer = "transfer"
	FaultSnapshot = "snapshot"
)

// Scenario is a world with its faults, ready to be replayed.
type Scenario struct {
	// About says what it shows.
	About   string
	Backend Backend
	Seed    uint64
	Swarm   Swarm
	// Ticks is when everything is healed and progress is demanded.
	Ticks  int
	Faults []Fault
}

// Encode writes the scenario as JSON, a fault a line.
func (sc *Scenario) Encode() []byte {
	var out bytes.Buffer
	head := *sc
	head.Faults = nil
	b, err := json.MarshalIndent(&head, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("sim: encoding a scenario: %v", err)) // it holds plain values only
	}
	out.Write(bytes.TrimSuffix(b, []byte("null\n}")))
	out.WriteString("[")
	for i := range sc.Faults {
		b, err := json.Marshal(&sc.Faults[i])
		if err != nil {
			panic(fmt.Sprintf("sim: encoding a fault: %v", err))
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString("\n    ")
		out.Write(b)
	}
	out.WriteString("\n  ]\n}\n")
	return out.Bytes()
}

// DecodeScenario reads what Encode wrote. Unknown fields are refused: a schedule
// that says more than this program does would be another one.
func DecodeScenario(data []byte) (*Scenario, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	sc := new(Scenario)
	if err := dec.Decode(sc); err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains(Backends(), sc.Backend):
		return nil, fmt.Errorf("backend %q is none of %q", sc.Backend, Backends())
	case sc.Swarm.Nodes < 1 || sc.Swarm.Nodes > 15:
		return nil, fmt.Errorf("%d nodes; it must be 1 to 15", sc.Swarm.Nodes)
	case sc.Ticks < 0:
		return nil, fmt.Errorf("%d ticks", sc.Ticks)
	}
	return sc, sc.Swarm.Limits.Validate()
}

// drawFaults draws the faults of one tick. Toward the end of a run those that
// the options ask for and that did not happen yet are forced; past it, while
// proposals are still missing, the world becomes friendlier.
func (w *world) drawFaults(o Options) {
	r, s := &w.faultRng, &w.swarm
	if past := w.ticks - o.Ticks; past > 0 && past%100 == 0 {
		w.inject(Fault{Kind: FaultEase})
	}
	late := w.ticks > o.Ticks/2 && w.ticks%50 == 0
	if r.chance(s.Crash) || late && w.report.Crashes < o.Crashes {
		w.inject(Fault{Kind: FaultCrash, Node: w.victim(), Write: pick(r, "", "torn", "whole")})
	}
	if r.chance(s.Cut) || late && w.report.Partitions < o.Partitions {
		w.inject(Fault{Kind: FaultCut, Links: w.drawCut()})
	}
	if r.chance(s.Heal) {
		w.inject(Fault{Kind: FaultHeal})
	}
	if r.chance(s.Pause) {
		w.inject(Fault{Kind: FaultPause, Node: w.victim(), Ticks: 1 + r.intn(3*s.Limits.ElectionTicks)})
	}
	if r.chance(s.Stall) {
		w.inject(Fault{Kind: FaultStall, Node: w.victim(), Ticks: 1 + r.intn(6*s.Limits.ElectionTicks)})
	}
	w.drawOperations()
	for _, n := range w.nodes {
		if !n.up && r.chance(s.Restart) {
			w.inject(Fault{Kind: FaultRestart, Node: n.number()})
		}
	}
}

// replayFaults injects the given faults of this tick.
func (w *world) replayFaults() {
	for len(w.given) > 0 && w.given[0].Tick <= w.ticks {
		w.inject(w.given[0])
		w.given = w.given[1:]
	}
}

// inject carries a fault out and records it. One that cannot happen as things
// are does nothing and is not recorded.
func (w *world) inject(f Fault) {
	f.Tick = w.ticks
	var n *node
	if f.Node > 0 && f.Node <= len(w.nodes) {
		n = w.nodes[f.Node-1]
	}
	happened := true
	switch f.Kind {
	case FaultCrash:
		if happened = n != nil && n.up; happened {
			w.report.Crashes++
			n.crash(f.Write)
		}
	case FaultRestart:
		if happened = n != nil && !n.up; happened {
			n.start()
		}
	case FaultPause:
		if happened = n != nil && n.up; happened {
			n.paused = max(n.paused, w.now+int64(f.Ticks)*tick)
		}
	case FaultStall:
		if happened = n != nil; happened {
			n.stalled = max(n.stalled, w.now+int64(f.Ticks)*tick)
		}
	case FaultCut:
		if happened = len(f.Links) > 0; happened {
			w.report.Partitions++
			w.net.cut(f.Links)
		}
	case FaultHeal:
		happened = w.net.heal()
	case FaultEase:
		w.swarm.ease()
	default:
		happened = w.operate(&f, n)
	}
	if happened {
		w.say("fault: %+v", f)
		w.note(uint64(f.Kind[0]), uint64(f.Kind[1]), uint64(f.Node), uint64(f.Ticks), uint64(len(f.Links)))
		w.faults = append(w.faults, f)
	}
}

// victim is a node to hurt: often one that leads.
func (w *world) victim() int {
	if w.swarm.FollowLeader {
		for _, n := range w.nodes {
			if n.leads() {
				return n.number()
			}
		}
	}
	return 1 + w.faultRng.intn(len(w.nodes))
}

// drawCut chooses links to sever: those of one node, between two sides, or one.
func (w *world) drawCut() (links [][2]int) {
	r, n := &w.faultRng, len(w.nodes)
	side := make([]bool, n)
	switch r.intn(3) {
	case 0:
		side[w.victim()-1] = true
	case 1:
		for i := range side {
			side[i] = r.intn(2) == 0
		}
	case 2:
		a := r.intn(n)
		b := (a + 1 + r.intn(n-1)) % n
		if links = append(links, [2]int{a + 1, b + 1}); !w.swarm.OneWay {
			links = append(links, [2]int{b + 1, a + 1})
		}
		return links
	}
	outward := r.intn(2) == 0
	for a := range n {
		for b := range n {
			if side[a] != side[b] && (!w.swarm.OneWay || side[a] == outward) {
				links = append(links, [2]int{a + 1, b + 1})
			}
		}
	}
	return links
}
