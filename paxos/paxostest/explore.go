package paxostest

import (
	"fmt"
	"time"
)

// Exploration is what the walk through a World found.
type Exploration struct {
	World string
	// States and Edges are of the global graph; Idle are the deliveries that
	// changed nothing, among them all copies of old messages. Depth is the length
	// of the longest shortest path to a state.
	States, Edges, Idle uint64
	Depth               int
	// Locals are the states that a single node was seen in with its history, Steps
	// the calls of the real core that it took, Messages the different messages.
	Locals, Steps, Messages int
	// Complete says that every reachable state was visited.
	Complete bool
	// Reached are the highest figures seen in any one run (one path of the graph).
	Reached Coverage
	Took    time.Duration
	// Counterexample is a shortest path to a broken invariant, nil if there is none.
	Counterexample *Counterexample
}

// Coverage says how far runs got.
type Coverage struct {
	Ballots int // for which a Prepare left
	Leaders int // ballots that got a leader; less one, that is changes of leader
	Chosen  int // slots known chosen on some node
	Crashes int
}

// raise takes the higher of each figure.
func (c *Coverage) raise(o Coverage) {
	c.Ballots, c.Leaders = max(c.Ballots, o.Ballots), max(c.Leaders, o.Leaders)
	c.Chosen, c.Crashes = max(c.Chosen, o.Chosen), max(c.Crashes, o.Crashes)
}

// Counterexample is a broken invariant and how to get there.
type Counterexample struct {
	Monitor, Detail string
	Trace           []string // one event a line
}

// Depth is the number of events.
func (c *Counterexample) Depth() int { return len(c.Trace) }

func (e *Exploration) String() string {
	verdict := "no violation"
	if c := e.Counterexample; c != nil {
		verdict = fmt.Sprintf("VIOLATION %s at depth %d: %s", c.Monitor, c.Depth(), c.Detail)
	} else if !e.Complete {
		verdict = "INCOMPLETE"
	}
	return fmt.Sprintf("%s: %d states, %d edges (+%d idle deliveries), depth %d, %.1f s; %d ballots, %d leaders, %d slots, %d crashes in one run; %d node states, %d calls of the core, %d messages: %s",
		e.World, e.States, e.Edges, e.Idle, e.Depth, e.Took.Seconds(), e.Reached.Ballots, e.Reached.Leaders, e.Reached.Chosen, e.Reached.Crashes,
		e.Locals, e.Steps, e.Messages, verdict)
}

// Explore visits every state that the World can reach, breadth first, and stops
// at the first broken invariant: no path to one is shorter.
//
// A global state is the vector of its nodes' states. A node's state is its core
// (see paxos.Node.AppendState), disk, writes under way, and its history: every
// message it ever sent and every fact that the monitors judge. The network is
// therefore the union of the histories: each message sent so far may arrive now,
// later, again, or never. So all orders, delays, losses and copies are there,
// without bound, and a loss is not even a step. As nothing is hashed into
// fingerprints, no two states are ever taken for one.
//
// What a node does depends on its own state and the event alone, so the core is
// called once for each pair, and the walk over the global graph reuses the
// answer.
func Explore(w World) *Exploration {
	start := time.Now()
	x := &search{catalog: newCatalog(w)}
	x.out.World = w.Name
	x.run()
	x.out.Locals, x.out.Steps, x.out.Messages = len(x.locals), x.steps, x.messages()
	x.out.Took = time.Since(start)
	return &x.out
}

// search is the walk over global states.
type search struct {
	*catalog
	visited stateTable
	out     Exploration
	depth   int
}

func (x *search) run() {
	var first global
	for i := range first {
		first[i] = uint32(x.initial(i))
	}
	x.visited.add(first, 0)
	for at, level := 0, 0; at < x.visited.len(); level++ {
		x.depth = level
		x.out.Depth = level
		for end := x.visited.len(); at < end; at++ {
			if x.expand(uint32(at)); x.out.Counterexample != nil {
				x.out.States = uint64(x.visited.len())
				return
			}
		}
		if x.world.MaxStates > 0 && x.visited.len() > x.world.MaxStates {
			x.out.States = uint64(x.visited.len())
			return
		}
	}
	x.out.States, x.out.Complete = uint64(x.visited.len()), true
}

// expand visits every successor of the state at index.
func (x *search) expand(index uint32) {
	s := x.visited.at(index)
	x.events(s, func(node int, e event) bool { return x.follow(index, s, node, e) })
}

// events calls f with everything that may happen in s, until it says false.
func (x *search) events(s global, f func(node int, e event) bool) {
	for node := range s {
		for e := event(0); e < firstDelivery; e++ {
			if x.allowed(s, node, e) && !f(node, e) {
				return
			}
		}
		for from := range s {
			if from == node {
				continue
			}
			for _, e := range x.history(s[from]).to[node] {
				if !f(node, e) {
					return
				}
			}
		}
	}
}

// allowed tells whether the totals of the world leave room for e.
func (x *search) allowed(s global, node int, e event) bool {
	switch {
	case e == propose:
		total := 0
		for _, l := range s {
			total += x.core(l).used.proposals
		}
		return total < x.world.MaxProposals
	case e >= crash:
		total := 0
		for _, l := range s {
			total += x.core(l).used.crashes
		}
		return total < x.world.MaxCrashes
	}
	return true
}

// follow takes one edge. It reports false when the search is over.
func (x *search) follow(index uint32, s global, node int, e event) bool {
	next := x.next(s[node], e)
	switch {
	case next == impossible:
		return true
	case next < impossible:
		x.refute(index, node, e, x.failures[failed-next])
		return false
	case uint32(next) == s[node]:
		x.out.Idle++
		return true
	}
	x.out.Edges++
	t := s
	t[node] = uint32(next)
	fresh := x.visited.add(x.prune(s, t, node), index)
	if x.locals[next].view == x.locals[s[node]].view {
		return true // nothing that a monitor looks at
	}
	var views [nodes]*view
	for i, l := range t {
		views[i] = x.views[x.locals[l].view]
	}
	if f := x.judge(&views); f != nil {
		x.refute(index, node, e, *f)
		return false
	}
	if fresh {
		x.out.Reached.raise(coverage(&views))
	}
	return true
}

// refute records the path to the state at index, and the event that breaks f
// there.
func (x *search) refute(index uint32, node int, e event, f failure) {
	c := &Counterexample{Monitor: f.monitor, Detail: f.detail}
	var path []uint32
	for i := index; i != 0; i = x.visited.parent(i) {
		path = append(path, i)
	}
	from := uint32(0)
	for i := len(path) - 1; i >= 0; i-- {
		c.Trace = append(c.Trace, x.explain(from, path[i]))
		from = path[i]
	}
	c.Trace = append(c.Trace, x.name(node, e))
	x.out.Counterexample = c
}

// explain finds the event that leads from one state to the next.
func (x *search) explain(from, to uint32) (name string) {
	s, t := x.visited.at(from), x.visited.at(to)
	x.events(s, func(node int, e event) bool {
		next := s
		if n := x.next(s[node], e); n >= 0 {
			next[node] = uint32(n)
		}
		if x.prune(s, next, node) != t {
			return true
		}
		name = x.name(node, e)
		return false
	})
	return name
}
