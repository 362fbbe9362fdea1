package paxos

import "bytes"

// notice is the newest word of a leader on what is chosen.
type notice struct {
	ballot Ballot
	chosen uint64
}

// learnNotice takes the notice that a leader at ballot b knows every slot
// through chosen to be chosen.
func (n *Node) learnNotice(b Ballot, chosen uint64) {
	n.fetch.see(chosen)
	if n.notice.ballot != b {
		n.notice = notice{b, chosen}
	}
	n.notice.chosen = max(n.notice.chosen, chosen)
	n.advanceNotice()
}

// advanceNotice extends the chosen prefix as far as the notice and this node's
// own log allow. What was accepted below the notice's ballot may be stale and
// must not be taken for the chosen value (rule 12): it is fetched instead.
func (n *Node) advanceNotice() {
	for s := n.chosen + 1; s <= n.notice.chosen; s++ {
		if n.keeps() {
			if s > n.acc.match || n.acc.ballot != n.notice.ballot {
				return // this log may not be the leader's there
			}
		} else if e, ok := n.log.get(s); !ok || e.Ballot.Less(n.notice.ballot) {
			return
		}
		n.markChosen(s)
	}
}

// advance extends the chosen prefix after a step that was learned from a peer.
// What a leader proposed itself it counts itself.
func (n *Node) advance() {
	if n.lead != nil {
		n.advanceChosen()
	} else {
		n.advanceNotice()
	}
}

// learn takes a chosen entry from a peer that knows it to be chosen. It is kept
// under the ballot at which the peer accepted it: no other value was ever
// proposed at that slot and ballot, so it is as good as an Accept.
func (n *Node) learn(e Entry) {
	if e.Slot != n.chosen+1 {
		return
	}
	old, ok := n.log.get(e.Slot)
	if ok && n.keeps() && old.Ballot != e.Ballot {
		// Not what was chosen, whatever its ballot: it and all behind it is lost.
		if n.role != Follower {
			n.becomeFollower(0)
		}
		n.truncate(e.Slot)
		ok = false
	}
	if ok && !old.Ballot.Less(e.Ballot) {
		if !bytes.Equal(old.Value, e.Value) {
			n.broken(7, "slot %d is chosen at or below %v, and %v has another value", e.Slot, e.Ballot, old.Ballot)
		}
	} else {
		if n.below(n.promised, e.Ballot) {
			n.setPromised(e.Ballot)
			n.becomeFollower(0)
		}
		n.put(e)
	}
	n.markChosen(e.Slot)
}

// markChosen extends the known-chosen prefix by one slot.
func (n *Node) markChosen(slot uint64) {
	if slot != n.chosen+1 {
		n.broken(7, "slot %d is marked chosen after %d", slot, n.chosen)
	}
	n.chosen = slot
	n.fetch.see(slot)
	if len(n.marks) > 0 {
		n.noteChosen(slot)
	}
}

// mayApply reports whether a chosen entry can be handed out. What is handed out
// and not yet applied is bounded, so that a slow state machine holds no memory.
func (n *Node) mayApply() bool {
	return n.handed < n.chosen && n.handed-n.applied < n.applyAhead()
}

func (n *Node) applyAhead() uint64 { return 4 * uint64(n.cfg.Window) }

// handOut fills in the next chosen entries.
func (n *Node) handOut(rd *Ready) {
	if !n.mayApply() {
		return
	}
	end := min(n.chosen, n.applied+n.applyAhead()) + 1
	rd.Apply, _ = n.log.read(n.handed+1, end, n.cfg.MaxMessageBytes)
	for _, e := range rd.Apply {
		if e.Slot != n.handed+1 || e.Slot > n.chosen {
			n.broken(7, "slot %d is handed out after %d, chosen through %d", e.Slot, n.handed, n.chosen)
		}
		n.handed = e.Slot
		if len(e.Value) > 0 && e.Value[0] == ConfigMark {
			n.showEntry(e, rd)
		}
	}
}
