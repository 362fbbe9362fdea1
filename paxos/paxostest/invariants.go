package paxostest

import (
	"fmt"
	"math/bits"

	"gfslab/paxos"
)

// Violation is a broken invariant.
type Violation struct {
	Monitor string // which invariant
	Detail  string
	Tick    int
}

func (v *Violation) Error() string {
	return fmt.Sprintf("tick %d: %s: %s", v.Tick, v.Monitor, v.Detail)
}

// monitors judge a cluster from what really happened - what reached which disk,
// what left which node - and never from what a node believes.
type monitors struct {
	config paxos.Config
	alpha  uint64
	rules  []*rule // the configurations, by slot
	prefix uint64  // of chosen slots
	// promisedBy are the nodes whose last page of a Promise left.
	promisedBy map[paxos.Ballot]uint64
	switches   paxos.Switches
	leads      map[uint64]paxos.NodeID // by round
	now        int
	step       uint64 // counts events, to order them within a tick
	// values holds the one value of each slot and ballot.
	values map[slotBallot]string
	// votes are the nodes on whose disk a slot reached at a ballot.
	votes  map[slotBallot]uint64
	chosen []choice // by slot
	states []uint64 // of the state machine, by slot, after everything through it
	nodes  map[paxos.NodeID]*observed
	// prepared is the step at which the first Prepare of a ballot left, and the
	// life that sent it.
	prepared map[paxos.Ballot]use
	// proposed are the values that clients handed in.
	proposed map[string]bool
	// appliedMax is the highest slot applied on any node.
	appliedMax uint64
}

type slotBallot struct {
	slot   uint64
	ballot paxos.Ballot
}

type choice struct {
	known  bool
	value  string
	ballot paxos.Ballot
}

type use struct {
	step uint64
	life int
}

// observed is what is known of one node.
type observed struct {
	promised paxos.Ballot // the highest handed out in this life
	durable  paxos.Ballot // the highest promise on the disk
	chosen   uint64       // as the node said last, in this life
	applied  uint64       // in this life
	knows    uint64       // to be chosen, on the disk
	// accepted holds every slot and ballot that ever reached the disk, with the
	// step; verified shortens the check of cumulative acknowledgements.
	accepted map[slotBallot]uint64
	verified map[slotBallot]uint64
	voted    map[paxos.Ballot]uint64 // with old slots kept: through which slot
	// reported is the highest ballot on disk by slot and step, newest last.
	history map[uint64][]accepted
	highest uint64
}

type accepted struct {
	step   uint64
	ballot paxos.Ballot
}

func newMonitors(ids []paxos.NodeID, config paxos.Config) *monitors {
	m := &monitors{config: config, alpha: max(config.Alpha, uint64(config.Window)), promisedBy: map[paxos.Ballot]uint64{}, switches: config.Switches, leads: map[uint64]paxos.NodeID{}, values: map[slotBallot]string{}, votes: map[slotBallot]uint64{}, nodes: map[paxos.NodeID]*observed{},
		prepared: map[paxos.Ballot]use{}, proposed: map[string]bool{}}
	for _, id := range ids {
		m.nodes[id] = newObserved()
	}
	m.addRule(0, 0, paxos.Members{Voters: ids})
	return m
}

func newObserved() *observed {
	return &observed{accepted: map[slotBallot]uint64{}, verified: map[slotBallot]uint64{}, voted: map[paxos.Ballot]uint64{}, history: map[uint64][]accepted{}}
}

// fail stops the run; Run turns it into the report's violation.
func (m *monitors) fail(monitor, format string, args ...any) {
	panic(&Violation{Monitor: monitor, Detail: fmt.Sprintf(format, args...), Tick: m.now})
}

// restarted: a new life begins on what the disk holds.
func (m *monitors) restarted(p *peer) {
	o := m.nodes[p.id]
	if m.below(p.disk.hardState.Promised, o.durable) {
		m.fail("promise-monotone", "node %d restarts with promise %v, and %v was durable", p.id, p.disk.hardState.Promised, o.durable)
	}
	o.promised, o.chosen, o.applied = p.disk.hardState.Promised, 0, 0
	m.restored(p)
	m.believes(p)
}

// restored: a snapshot's state is what comes of everything chosen through its
// slot, and of nothing else.
func (m *monitors) restored(p *peer) {
	m.step++
	o := m.nodes[p.id]
	if p.stateAt < o.applied {
		m.fail("applied-prefix", "node %d goes back from slot %d to %d", p.id, o.applied, p.stateAt)
	}
	o.knows = max(o.knows, p.stateAt)
	for s := uint64(len(m.states)); s <= p.stateAt; s++ {
		if s == 0 {
			m.states = append(m.states, 0)
			continue
		}
		c := m.choice(s)
		if !c.known {
			m.fail("applied-is-chosen", "node %d takes over a state through slot %d; slot %d is not chosen", p.id, p.stateAt, s)
		}
		m.states = append(m.states, after(m.states[s-1], []byte(c.value)))
	}
	if p.state != m.states[p.stateAt] {
		m.fail("state-is-chosen", "node %d takes over another state than what is chosen through slot %d gives", p.id, p.stateAt)
	}
	o.applied = p.stateAt
	m.appliedMax = max(m.appliedMax, p.stateAt)
}

// handed judges what a node wants to write, and what it believes.
func (m *monitors) handed(p *peer, rd paxos.Ready) {
	m.step++
	o := m.nodes[p.id]
	if rd.HardState != nil {
		if m.below(rd.HardState.Promised, o.promised) {
			m.fail("promise-monotone", "node %d lowers its promise from %v to %v", p.id, o.promised, rd.HardState.Promised)
		}
		o.promised = rd.HardState.Promised
	}
	for _, e := range rd.Entries {
		m.oneValue(p.id, e)
		if m.keeps() || !m.below(e.Ballot, o.promised) {
			continue
		}
		// Only a chosen value, learned from a peer, may be written below the promise.
		if c := m.choice(e.Slot); !c.known || c.value != string(e.Value) {
			m.fail("accept-below-promise", "node %d accepts slot %d at %v after promising %v", p.id, e.Slot, e.Ballot, o.promised)
		}
	}
	m.believes(p)
}

// oneValue: no two values at one slot and ballot (rule 13).
func (m *monitors) oneValue(id paxos.NodeID, e paxos.Entry) {
	k := slotBallot{e.Slot, e.Ballot}
	if old, ok := m.values[k]; !ok {
		m.values[k] = string(e.Value)
	} else if old != string(e.Value) {
		m.fail("one-value-per-ballot", "slot %d at %v is %q, and %q on node %d", e.Slot, e.Ballot, old, e.Value, id)
	}
}

// believes: what a node holds to be chosen is accepted and durable on a quorum,
// at one ballot. That catches votes counted before their sync, votes of another
// ballot, and acknowledgements over a hole.
func (m *monitors) believes(p *peer) {
	o, st := m.nodes[p.id], p.node.Status()
	if st.Chosen < o.chosen {
		m.fail("chosen-prefix", "node %d: chosen falls from %d to %d", p.id, o.chosen, st.Chosen)
	}
	for ; o.chosen < st.Chosen; o.chosen++ {
		if !m.choice(o.chosen + 1).known {
			m.fail("chosen-by-quorum", "node %d takes slot %d for chosen; no quorum has it on disk at one ballot", p.id, o.chosen+1)
		}
	}
}

func (m *monitors) choice(slot uint64) choice {
	if slot < uint64(len(m.chosen)) {
		return m.chosen[slot]
	}
	return choice{}
}

// durable counts a write that reached a disk. A value is chosen by that alone.
func (m *monitors) durable(p *peer, w write) {
	m.step++
	o := m.nodes[p.id]
	before := o.durable
	if w.hardState != nil {
		if m.below(w.hardState.Promised, o.durable) {
			m.fail("promise-monotone", "the durable promise of node %d falls from %v to %v", p.id, o.durable, w.hardState.Promised)
		}
		o.durable, o.knows = w.hardState.Promised, max(o.knows, w.hardState.Chosen)
	}
	if m.keeps() {
		m.votesThrough(p, o, w)
		if o.durable != before {
			// With one vote a round, what this round's leader got chosen may have been
			// fetched before anything was heard of that leader; now it is acknowledged.
			m.votesThrough(p, o, write{entries: p.disk.entries})
		}
		return
	}
	for _, e := range w.entries {
		k := slotBallot{e.Slot, e.Ballot}
		if _, ok := o.accepted[k]; ok {
			continue
		}
		o.accepted[k] = m.step
		o.history[e.Slot] = append(o.history[e.Slot], accepted{m.step, e.Ballot})
		o.highest = max(o.highest, e.Slot)
		m.votes[k] |= 1 << p.id
		m.count(k, string(e.Value))
	}
}

func (m *monitors) count(k slotBallot, value string) {
	if r := m.ruleOf(k.slot); bits.OnesCount64(m.votes[k]&r.voters) < r.q2 {
		return
	}
	for uint64(len(m.chosen)) <= k.slot {
		m.chosen = append(m.chosen, choice{})
	}
	c := &m.chosen[k.slot]
	if c.known && c.value != value {
		m.fail("one-value-chosen", "slot %d: %q was chosen at %v, now %q at %v", k.slot, c.value, c.ballot, value, k.ballot)
	}
	if !c.known {
		*c = choice{true, value, k.ballot}
		for m.choice(m.prefix + 1).known {
			m.prefix++
			m.changes(m.prefix, m.chosen[m.prefix].value)
		}
	}
}

// sent judges a message as it leaves.
func (m *monitors) sent(p *peer, msg paxos.Message) {
	m.step++
	o := m.nodes[p.id]
	switch msg.Kind {
	case paxos.MsgPrepare:
		if !m.covers(o.durable, msg.Ballot) {
			m.fail("durable-before-speak", "node %d sends Prepare at %v; durable is %v", p.id, msg.Ballot, o.durable)
		}
		if u, ok := m.prepared[msg.Ballot]; !ok {
			m.prepared[msg.Ballot] = use{m.step, p.life}
		} else if u.life != p.life {
			m.fail("ballot-unique", "node %d uses ballot %v in two lives", p.id, msg.Ballot)
		}
	case paxos.MsgPromise:
		if !m.covers(o.durable, msg.Ballot) {
			m.fail("durable-before-speak", "node %d sends Promise at %v; durable is %v", p.id, msg.Ballot, o.durable)
		}
		if !m.keeps() {
			m.promiseComplete(p, o, msg)
		}
		if msg.Done {
			m.promisedBy[msg.Ballot] |= 1 << p.id
		}
	case paxos.MsgAccepted, paxos.MsgHeartbeatReply:
		m.acknowledged(p, o, msg)
	case paxos.MsgHeartbeat:
		m.oneLeader(msg)
	case paxos.MsgAccept:
		m.oneLeader(msg)
		for _, e := range msg.Entries {
			m.mayPropose(p, e, msg.Ballot)
			m.oneValue(p.id, e)
			if c := m.choice(e.Slot); c.known && m.below(c.ballot, msg.Ballot) && c.value != string(e.Value) {
				m.fail("adopt-chosen", "node %d proposes %q in slot %d at %v; %q was chosen at %v", p.id, e.Value, e.Slot, msg.Ballot, c.value, c.ballot)
			}
		}
	case paxos.MsgCatchUpReply:
		for _, e := range msg.Entries {
			if c := m.choice(e.Slot); !c.known || c.value != string(e.Value) {
				m.fail("chosen-by-quorum", "node %d hands on %q in slot %d as chosen", p.id, e.Value, e.Slot)
			}
		}
	}
}

// acknowledged: every slot of the range reached the disk at that very ballot
// (rules 2 and 14).
func (m *monitors) acknowledged(p *peer, o *observed, msg paxos.Message) {
	if msg.Lo == 0 {
		return
	}
	if m.keeps() {
		m.acknowledgedKept(p, o, msg)
		return
	}
	at := slotBallot{msg.Lo, msg.Ballot}
	for s := max(msg.Lo, o.verified[at]+1); s <= msg.Hi; s++ {
		if _, ok := o.accepted[slotBallot{s, msg.Ballot}]; !ok {
			m.fail("durable-before-speak", "node %d acknowledges slots %d-%d at %v; slot %d is not on its disk at that ballot", p.id, msg.Lo, msg.Hi, msg.Ballot, s)
		}
	}
	o.verified[at] = max(o.verified[at], msg.Hi)
}

// promiseComplete: a Promise reports everything that was on the disk before the
// first Prepare of its ballot left (rule 5). What came later the node may or may
// not report; no ballot below the promise can be decided by it any more.
func (m *monitors) promiseComplete(p *peer, o *observed, msg paxos.Message) {
	since := m.prepared[msg.Ballot].step
	hi := msg.Hi
	if msg.Done {
		hi = o.highest + 1
	}
	next := 0
	for s := msg.Lo; s <= msg.Settled; s++ {
		if !m.choice(s).known {
			m.fail("compacted-is-chosen", "node %d has compacted slot %d, which is not chosen", p.id, s)
		}
	}
	for s := max(msg.Lo, msg.Settled+1); s < hi; s++ {
		for next < len(msg.Entries) && msg.Entries[next].Slot < s {
			next++
		}
		var must paxos.Ballot
		for _, a := range o.history[s] {
			if a.step < since && must.Less(a.ballot) {
				must = a.ballot
			}
		}
		if must.IsZero() {
			continue
		}
		if next >= len(msg.Entries) || msg.Entries[next].Slot != s || msg.Entries[next].Ballot.Less(must) {
			m.fail("promise-complete", "node %d promises %v and leaves out slot %d, accepted at %v", p.id, msg.Ballot, s, must)
		}
	}
}

// applied: each node applies a contiguous prefix of what was chosen, and only
// what clients proposed (rule 7).
func (m *monitors) applied(p *peer, e paxos.Entry) {
	m.step++
	o := m.nodes[p.id]
	if e.Slot != o.applied+1 {
		m.fail("applied-prefix", "node %d applies slot %d after %d", p.id, e.Slot, o.applied)
	}
	o.applied = e.Slot
	switch c := m.choice(e.Slot); {
	case !c.known:
		m.fail("applied-is-chosen", "node %d applies slot %d, which is not chosen", p.id, e.Slot)
	case c.value != string(e.Value):
		m.fail("applied-is-chosen", "node %d applies %q in slot %d; %q is chosen", p.id, e.Value, e.Slot, c.value)
	case len(e.Value) > 0 && e.Value[0] != paxos.ConfigMark && !m.proposed[string(e.Value)]:
		m.fail("validity", "node %d applies %q in slot %d, which nobody proposed", p.id, e.Value, e.Slot)
	}
	m.appliedMax = max(m.appliedMax, e.Slot)
}

// read: a confirmed read waits for everything that any node had applied when it
// was asked (rule 15).
func (m *monitors) read(p *peer, r paxos.Read, appliedWhenAsked uint64) {
	m.step++
	if !r.Refused && r.Slot < appliedWhenAsked {
		m.fail("read-linearizable", "node %d confirms a read at slot %d; slot %d was applied before it was asked", p.id, r.Slot, appliedWhenAsked)
	}
}
