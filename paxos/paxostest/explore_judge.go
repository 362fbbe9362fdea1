package paxostest

import (
	"fmt"
	"math/bits"
	"slices"

	"gfslab/paxos"
)

// view is what the monitors of the whole world see of one node.
type view struct {
	votes, proposals []ballotValue // what was durable; what Accepts named
	applied          []slotValue
	chosenWords      []slotValue // called chosen: handed on, or written below the promise
	chosen           uint64      // the prefix that the node believes to be chosen
	proposed         int         // values that clients handed in here
	reached          Coverage
}

type slotValue struct {
	slot  uint64
	value string
	kind  factKind
}

type ballotValue struct {
	slotBallot
	value string
}

// addView numbers what the monitors see of a node in this state and history.
func (c *catalog) addView(s *coreState, h *past) int32 {
	st := s.peer.node.Status()
	key := appendNumbers(nil, h.judged)
	key = append(key, byte(st.Chosen), byte(s.used.proposals), byte(s.used.crashes), byte(s.peer.id))
	if i, ok := c.viewAt[string(key)]; ok {
		return i
	}
	v := &view{chosen: st.Chosen, proposed: s.used.proposals}
	v.reached.Crashes, v.reached.Chosen = s.used.crashes, int(st.Chosen)
	for _, i := range h.judged {
		switch f := c.facts.items[i]; f.kind {
		case factVoted:
			v.votes = append(v.votes, ballotValue{slotBallot{f.slot, f.ballot}, f.value})
		case factSaid:
			for _, e := range f.message.Entries {
				if p := (ballotValue{slotBallot{e.Slot, f.message.Ballot}, string(e.Value)}); !slices.Contains(v.proposals, p) {
					v.proposals = append(v.proposals, p)
				}
			}
		case factApplied:
			v.applied = append(v.applied, slotValue{f.slot, f.value, f.kind})
		case factHandedOn, factLow:
			v.chosenWords = append(v.chosenWords, slotValue{f.slot, f.value, f.kind})
		case factUsed:
			v.reached.Ballots++
		}
	}
	i := int32(len(c.views))
	c.viewAt[string(key)] = i
	c.views = append(c.views, v)
	return i
}

// coverage sums what the nodes got to. A ballot at which something reached a disk
// had a leader.
func coverage(vs *[nodes]*view) (c Coverage) {
	var room [16]paxos.Ballot
	led := room[:0]
	for _, v := range vs {
		c.Ballots += v.reached.Ballots
		c.Crashes += v.reached.Crashes
		c.Chosen = max(c.Chosen, v.reached.Chosen)
		for i := range v.votes {
			if b := v.votes[i].ballot; !slices.Contains(led, b) {
				led = append(led, b)
			}
		}
	}
	c.Leaders = len(led)
	c.Ballots = max(c.Ballots, c.Leaders) // who elects itself alone sends no Prepare
	return c
}

// tally is the votes of a slot and ballot.
type tally struct {
	ballotValue
	voters uint64
}

// reign is a configuration from a slot on.
type reign struct {
	from uint64
	mask uint64 // of nodes
}

// chosen reports whether a quorum of the slot's members voted.
func (c *catalog) chosen(t *tally) bool {
	for i := len(c.reigns) - 1; i >= 0; i-- {
		if r := c.reigns[i]; r.from <= t.slot {
			return 2*bits.OnesCount64(t.voters&r.mask) > bits.OnesCount64(r.mask)
		}
	}
	return false
}

// reign works out who votes where, slot by slot, from what the votes choose.
func (c *catalog) reign(tallies []tally) {
	c.reigns = append(c.reigns[:0], reign{0, 1<<nodes - 1})
	if !c.world.changes() {
		return
	}
	c.reigns[0].mask = maskOf(c.world.Founders)
	for slot := uint64(1); ; slot++ {
		at := slices.IndexFunc(tallies, func(t tally) bool { return t.slot == slot && c.chosen(&t) })
		if at < 0 {
			return
		}
		if m, sealed, ok := paxos.ReadChange([]byte(tallies[at].value)); ok && sealed == 0 && len(c.reigns) == 1 {
			c.reigns = append(c.reigns, reign{slot + uint64(c.world.Window), maskOf(m.Voters)})
		}
	}
}

func maskOf(ids []paxos.NodeID) (mask uint64) {
	for _, id := range ids {
		mask |= 1 << (id - 1)
	}
	return mask
}

// judge demands the invariants of a global state. They say of facts that, once
// true, they stay so; so a state in which one is broken cannot be passed by.
func (c *catalog) judge(vs *[nodes]*view) *failure {
	tallies := c.tallies[:0]
	defer func() { c.tallies = tallies[:0] }()
	for i, v := range vs {
		for _, vote := range v.votes {
			at := 0
			for at < len(tallies) && tallies[at].slotBallot != vote.slotBallot {
				at++
			}
			if at == len(tallies) {
				tallies = append(tallies, tally{vote, 0})
			}
			if t := &tallies[at]; t.value != vote.value {
				return c.object("one-value-per-ballot", "slot %d at %v is %q and %q", vote.slot, vote.ballot, t.value, vote.value)
			}
			tallies[at].voters |= 1 << i
		}
	}
	c.reign(tallies)
	if f := c.agree(vs, tallies); f != nil {
		return f
	}
	for i, v := range vs {
		if f := c.believe(i+1, v, tallies); f != nil {
			return f
		}
		for _, p := range v.proposals {
			if f := c.safeProposal(i+1, p, vs, tallies); f != nil {
				return f
			}
		}
	}
	return nil
}

// object makes a failure, unless the world asks for agreement only.
func (c *catalog) object(monitor, format string, args ...any) *failure {
	if c.world.AgreementOnly {
		return nil
	}
	return &failure{monitor: monitor, detail: fmt.Sprintf(format, args...)}
}

// agree: one value a slot is chosen, and one applied (rule 7). This is what the
// protocol is for; all else is how.
func (c *catalog) agree(vs *[nodes]*view, tallies []tally) *failure {
	for i := range tallies {
		for j := range i {
			if a, b := &tallies[i], &tallies[j]; a.slot == b.slot && a.value != b.value && c.chosen(a) && c.chosen(b) {
				return &failure{"one-value-chosen", fmt.Sprintf("slot %d: %q was chosen at %v, and %q at %v", a.slot, b.value, b.ballot, a.value, a.ballot), true}
			}
		}
	}
	for i, v := range vs {
		for j := range i + 1 {
			for _, a := range v.applied {
				for _, b := range vs[j].applied {
					if a.slot == b.slot && a.value != b.value {
						return &failure{"applied-agree", fmt.Sprintf("slot %d: node %d applied %q, node %d %q", a.slot, i+1, a.value, j+1, b.value), true}
					}
				}
			}
		}
	}
	return nil
}

// believe: what a node holds to be chosen, applies or hands on is chosen, and
// somebody proposed it (rules 7, 11 and 12).
func (c *catalog) believe(node int, v *view, tallies []tally) *failure {
	chosen := func(slot uint64) *tally {
		for i := range tallies {
			if tallies[i].slot == slot && c.chosen(&tallies[i]) {
				return &tallies[i]
			}
		}
		return nil
	}
	for s := uint64(1); s <= v.chosen; s++ {
		if chosen(s) == nil {
			return c.object("chosen-by-quorum", "node %d takes slot %d for chosen; no quorum has it on disk at one ballot", node, s)
		}
	}
	for _, a := range v.applied {
		if t := chosen(a.slot); t == nil || t.value != a.value {
			return c.object("applied-is-chosen", "node %d applies %q in slot %d, which is not the chosen value", node, a.value, a.slot)
		}
	}
	for _, w := range v.chosenWords {
		if t := chosen(w.slot); t != nil && t.value == w.value {
			continue
		}
		if w.kind == factLow {
			return c.object("accept-below-promise", "node %d accepts %q in slot %d below its promise", node, w.value, w.slot)
		}
		return c.object("chosen-by-quorum", "node %d hands on %q in slot %d as chosen", node, w.value, w.slot)
	}
	return nil
}

// safeProposal: where a value is chosen, every higher ballot proposes the same
// (P2b), only what a client handed in is proposed, and one value a ballot.
func (c *catalog) safeProposal(node int, p ballotValue, vs *[nodes]*view, tallies []tally) *failure {
	if w := uint64(c.world.Window); c.world.changes() && p.slot > w &&
		!slices.ContainsFunc(tallies, func(t tally) bool { return t.slot == p.slot-w && c.chosen(&t) }) {
		return c.object("alpha", "node %d proposes slot %d; slot %d is not chosen", node, p.slot, p.slot-w)
	}
	if p.value != "" && p.value[0] != paxos.ConfigMark {
		owner, k := int(p.value[0]-'0'), int(p.value[1]-'a')
		if k >= vs[owner-1].proposed {
			return c.object("validity", "node %d proposes %q in slot %d, which nobody handed in", node, p.value, p.slot)
		}
	}
	for i := range tallies {
		t := &tallies[i]
		if t.slotBallot == p.slotBallot && t.value != p.value {
			return c.object("one-value-per-ballot", "slot %d at %v is %q and %q", p.slot, p.ballot, t.value, p.value)
		}
		if t.slot == p.slot && c.chosen(t) && t.ballot.Less(p.ballot) && t.value != p.value {
			return c.object("adopt-chosen", "node %d proposes %q in slot %d at %v; %q is chosen at %v", node, p.value, p.slot, p.ballot, t.value, t.ballot)
		}
	}
	return nil
}
