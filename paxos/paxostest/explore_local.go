package paxostest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"gfslab/paxos"
)

// event is something that can happen to one node: a choice of the world below
// firstDelivery, the delivery of one message from there on.
type event int32

const (
	persist  event = iota // the oldest write under way becomes durable
	campaign              // a timeout: the node starts an election
	propose               // a client hands in a value
	tick                  // time passes: heartbeats, requests to catch up
	change                // an operator changes the members
	// crash+k: the node crashes and is opened again; of its writes under way the
	// oldest k survive.
	crash
	firstDelivery = crash + maxWrites + 1

	maxWrites = 3
)

// What catalog.next returns beside the number of a local state. A number at or
// below failed names a failure.
const (
	impossible int32 = -1
	failed     int32 = -2
)

// used counts what happened to a node of what the world bounds.
type used struct{ campaigns, proposals, ticks, changes, crashes int }

// coreState is a node without its history.
type coreState struct {
	peer *peer // never changed
	used used
	deaf int32   // what it is deaf to
	row  []int32 // by event: the number of the outcome + 1, 0 = not tried
}

// outcome is what an event does to a coreState.
type outcome struct {
	to    int32   // the core state, impossible or a failure
	facts []int32 // said and done on the way, ascending
}

// local is a node with its history.
type local struct {
	core, history, view int32
	row                 []int32 // by event: what next returns, numbers of states + 1; 0 = not tried
}

// catalog holds every local state, history and fact that was met.
type catalog struct {
	world    World
	cores    interned[coreState]
	outcomes []outcome
	facts    interned[fact]
	pasts    interned[past]
	views    []*view
	viewAt   map[string]int32
	locals   []local
	localAt  map[[2]int32]int32
	failures []failure
	deafs    []deafness
	deafAt   map[deafness]int32
	pruned   map[[2]int32]int32      // by local state and deafness
	mail     [nodes][]*paxos.Message // by receiver, in the order of their events
	steps    int
	tallies  []tally // judge's
	reigns   []reign
	// again is told of every other way to a core state, if a test asks for it.
	again func(core int32, p *peer)
}

// interned numbers what has equal keys.
type interned[T any] struct {
	at    map[string]int32
	items []*T
}

func (in *interned[T]) find(key []byte) (int32, bool) {
	i, ok := in.at[string(key)]
	return i, ok
}

func (in *interned[T]) add(key []byte, item *T) int32 {
	if in.at == nil {
		in.at = map[string]int32{}
	}
	i := int32(len(in.items))
	in.at[string(key)] = i
	in.items = append(in.items, item)
	return i
}

func newCatalog(w World) *catalog {
	return &catalog{world: w, viewAt: map[string]int32{}, localAt: map[[2]int32]int32{},
		deafAt: map[deafness]int32{}, pruned: map[[2]int32]int32{}}
}

func (c *catalog) core(l uint32) *coreState { return c.cores.items[c.locals[l].core] }
func (c *catalog) history(l uint32) *past   { return c.pasts.items[c.locals[l].history] }

func (c *catalog) messages() (n int) {
	for _, ms := range c.mail {
		n += len(ms)
	}
	return n
}

// initial returns the local state of a new node.
func (c *catalog) initial(node int) int32 {
	p := &peer{id: paxos.NodeID(node + 1), config: c.world.config(node), disk: &disk{}, world: &recorder{}}
	if err := p.start(); err != nil {
		panic(err) // the world is misconfigured
	}
	return c.addLocal(c.addCore(p, used{}), c.addPast(nil))
}

// next returns the local state that e leads to, impossible, or a failure.
func (c *catalog) next(l uint32, e event) int32 {
	row := c.locals[l].row
	if int(e) < len(row) && row[e] != 0 {
		if row[e] < 0 {
			return row[e]
		}
		return row[e] - 1
	}
	next := c.compute(l, e)
	row = c.locals[l].row
	for len(row) <= int(e) {
		row = append(row, 0)
	}
	if row[e] = next; next >= 0 {
		row[e] = next + 1
	}
	c.locals[l].row = row
	return next
}

func (c *catalog) compute(l uint32, e event) int32 {
	loc := c.locals[l]
	o := c.outcome(loc.core, e)
	if o.to < 0 {
		return o.to
	}
	history := loc.history
	if len(o.facts) > 0 {
		history = c.addPast(merge(c.pasts.items[history].facts, o.facts))
		if f := c.pasts.items[history].bad; f != nil {
			return c.fail(f)
		}
	}
	return c.addLocal(o.to, history)
}

func (c *catalog) fail(f *failure) int32 {
	if c.world.AgreementOnly && !f.agreement {
		return impossible
	}
	c.failures = append(c.failures, *f)
	return failed - int32(len(c.failures)-1)
}

// outcome calls the core, once for each core state and event.
func (c *catalog) outcome(core int32, e event) outcome {
	s := c.cores.items[core]
	for len(s.row) <= int(e) {
		s.row = append(s.row, 0)
	}
	if s.row[e] == 0 {
		c.outcomes = append(c.outcomes, c.perform(s, e))
		s.row[e] = int32(len(c.outcomes))
	}
	return c.outcomes[s.row[e]-1]
}

// perform lets e happen to a copy of s.
func (c *catalog) perform(s *coreState, e event) (o outcome) {
	if !c.possible(s, e) {
		return outcome{to: impossible}
	}
	c.steps++
	r := &recorder{catalog: c}
	p, u := s.peer.clone(r), s.used
	defer func() {
		switch f := recover().(type) {
		case nil:
		case failure:
			o = outcome{to: c.fail(&f)}
		case string: // the core's own assertions
			o = outcome{to: c.fail(&failure{monitor: "assertion", detail: f})}
		default:
			panic(f)
		}
	}()
	switch {
	case e == persist:
		p.complete()
	case e == campaign:
		p.node.Campaign()
		u.campaigns++
	case e == propose:
		slot, err := p.node.Propose(valueOf(int(p.id), u.proposals))
		if err != nil || slot > c.world.Slots {
			return outcome{to: impossible}
		}
		u.proposals++
	case e == tick:
		p.node.Tick()
		u.ticks++
	case e == change:
		if _, err := p.node.ProposeMembers(c.world.Members); err != nil {
			return outcome{to: impossible}
		}
		u.changes++
	case e < firstDelivery:
		p.crash(int(e - crash))
		if err := p.start(); err != nil {
			r.fail("restart", "%v", err)
		}
		u.crashes++
	default:
		// (Who was removed is not listened to.)
		if err := p.node.Step(*c.message(int(p.id)-1, e)); err != nil && !(c.world.changes() && errors.Is(err, paxos.ErrNotPeer)) {
			r.fail("useless-message", "%v", err)
		}
	}
	p.drain()
	p.execute(math.MaxInt)
	slices.Sort(r.facts)
	return outcome{to: c.addCore(p, u), facts: slices.Compact(r.facts)}
}

// possible tells whether the world lets e happen to this node.
func (c *catalog) possible(s *coreState, e event) bool {
	i, w := int(s.peer.id)-1, &c.world
	switch {
	case e == persist:
		return len(s.peer.writes) > 0
	case e == campaign:
		return s.used.campaigns < w.Campaigns[i] && s.peer.node.Status().Role != paxos.Leader
	case e == propose:
		return s.used.proposals < w.Proposals[i]
	case e == tick:
		return s.used.ticks < w.Ticks[i]
	case e == change:
		return s.used.changes < w.Changes[i]
	case e < firstDelivery:
		return s.used.crashes < w.Crashes[i] && int(e-crash) <= len(s.peer.writes)
	}
	return true
}

// addCore numbers the state of p.
func (c *catalog) addCore(p *peer, u used) int32 {
	i, w := int(p.id)-1, &c.world
	if len(p.writes) > w.Writes {
		return impossible
	}
	f := paxos.Future{Campaign: u.campaigns < w.Campaigns[i], Restart: u.crashes < w.Crashes[i]}
	key := []byte{byte(p.id), byte(u.campaigns), byte(u.proposals), byte(u.ticks), byte(u.changes), byte(u.crashes)}
	key = p.appendState(key, f)
	if i, ok := c.cores.find(key); ok {
		if c.again != nil {
			c.again(i, p)
		}
		return i
	}
	return c.cores.add(key, &coreState{peer: p, used: u, deaf: c.deafOf(p)})
}

func (c *catalog) addLocal(core, history int32) int32 {
	key := [2]int32{core, history}
	if l, ok := c.localAt[key]; ok {
		return l
	}
	l := int32(len(c.locals))
	c.localAt[key] = l
	c.locals = append(c.locals, local{core: core, history: history, view: c.addView(c.cores.items[core], c.pasts.items[history])})
	return l
}

// merge returns the union of two ascending lists.
func merge(a, b []int32) []int32 {
	out := make([]int32, 0, len(a)+len(b))
	out = append(append(out, a...), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

func appendNumbers(key []byte, ns []int32) []byte {
	for _, n := range ns {
		key = binary.LittleEndian.AppendUint32(key, uint32(n))
	}
	return key
}

// name describes an event for a trace.
func (c *catalog) name(node int, e event) string {
	switch {
	case e == persist:
		return fmt.Sprintf("node %d: its oldest write is durable", node+1)
	case e == campaign:
		return fmt.Sprintf("node %d: campaigns", node+1)
	case e == propose:
		return fmt.Sprintf("node %d: a client proposes", node+1)
	case e == tick:
		return fmt.Sprintf("node %d: ticks", node+1)
	case e == change:
		return fmt.Sprintf("node %d: proposes the members %v", node+1, c.world.Members.Voters)
	case e < firstDelivery:
		return fmt.Sprintf("node %d: crashes (%d writes under way survive), and restarts", node+1, e-crash)
	}
	return "deliver " + describe(*c.message(node, e))
}

// valueOf is the k-th value proposed by a node: "1a", "1b", ...
func valueOf(node, k int) []byte { return []byte{byte('0' + node), byte('a' + k)} }
