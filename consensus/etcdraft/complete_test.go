package etcdraft

import (
	"errors"
	"fmt"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"gfslab/consensus"
	"gfslab/consensus/engine"
)

// A follower that the leader's log no longer reaches fetches a snapshot, installs
// it and follows; also after a restart of everybody.
func TestALaggardInstalls(t *testing.T) {
	w := newWorld(t, 1, 2, 3)
	p := w.elect(1)
	w.propose(p, 0, 10)
	w.lost = cut(3)
	w.change(p, consensus.Change{AddLearners: peersOf(9)})
	w.propose(p, 10, 60)
	w.compact(p, 5)
	w.compact(w.nodes[2], 0)
	w.propose(p, 60, 70)
	w.lost = nil
	w.run(60)
	w.agree(70, 1, 2, 3)
	if n := w.nodes[3].installs; n != 1 {
		t.Errorf("%d snapshots were installed, want 1", n)
	}
	if m := w.nodes[3].core.Members(); len(m.Learners) != 1 || m.MaxID != 9 {
		t.Errorf("with the snapshot came the members %+v", m)
	}
	for _, id := range w.order {
		w.reopen(w.nodes[id])
	}
	p = w.leader(1, 2, 3)
	w.propose(p, 70, 80)
	w.run(10)
	w.agree(80, 1, 2, 3)
}

// While a follower fetches, the leader cuts its log beyond what is being fetched.
// The library would wait for ever; see answered.
func TestALogThatIsCutDuringTheTransfer(t *testing.T) {
	w := newWorld(t, 1, 2, 3)
	p := w.elect(1)
	w.lost = cut(3)
	w.propose(p, 0, 50)
	w.compact(p, 0)
	stale, image := p.snapshot, p.image
	w.lost = func(e envelope) bool { return e.to == 3 && e.m == nil } // the file
	w.run(5)
	f := w.nodes[3]
	if f.core.receiving.from != 1 {
		t.Fatal("node 3 was offered no snapshot")
	}
	w.propose(p, 50, 100)
	w.compact(p, 0)
	f.snapshot, f.image = stale, image
	f.core.Fetched(stale)
	w.settle()
	if f.applied != stale.Index {
		t.Fatalf("node 3 is at %d, not at the snapshot through %d", f.applied, stale.Index)
	}
	w.lost = nil
	w.run(9) // well below an election timeout, after which it would be tried again
	w.agree(100, 1, 2, 3)
}

// What a laggard has in its log beyond the snapshot, from a lead of its own that
// nobody followed, goes when the snapshot comes.
func TestAnInstallationReplacesALog(t *testing.T) {
	w := newWorld(t, 1, 2, 3)
	old := w.elect(3)
	w.propose(old, 0, 5)
	w.lost = cut(3)
	for range 50 {
		if err := old.core.Propose([]byte("never chosen")); err != nil {
			t.Fatal(err)
		}
		w.drain(old)
	}
	p := w.leader(1, 2)
	w.propose(p, 5, 30)
	w.compact(p, 0)
	if _, last := old.log.Bounds(); last <= p.snapshot.Index {
		t.Fatalf("the laggard's log ends at %d, before the snapshot through %d", last, p.snapshot.Index)
	}
	w.lost = nil
	w.run(60)
	w.agree(30, 1, 2, 3)
	if _, last := old.log.Bounds(); last > p.snapshot.Index {
		t.Errorf("the laggard's log ends at %d, after the snapshot through %d", last, p.snapshot.Index)
	}
	w.reopen(old)
	w.propose(p, 30, 40)
	w.run(5)
	w.agree(40, 1, 2, 3)
}

// Every message of a transfer may be lost once.
func TestALostOfferIsMadeAgain(t *testing.T) {
	w := newWorld(t, 1, 2, 3)
	p := w.elect(1)
	w.lost = cut(3)
	w.propose(p, 0, 50)
	w.compact(p, 0)
	offers := 0
	w.lost = func(e envelope) bool {
		if e.m == nil || e.m.GetType() != pb.MsgSnap {
			return false
		}
		offers++
		return offers < 4
	}
	w.run(200)
	w.agree(50, 1, 2, 3)
	if offers < 4 {
		t.Errorf("%d offers were made", offers)
	}
}

// A newcomer learns from a log whose beginning names no member, and from a
// snapshot in which it does not occur.
func TestNewcomers(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		w := newWorld(t, 1, 2, 3)
		p := w.elect(1)
		w.propose(p, 0, 20)
		if compacted {
			w.compact(p, 3)
		}
		n := w.add(4, consensus.Members{})
		w.run(40)
		if n.core.Status().Role != consensus.Follower || n.core.Status().Term != 0 {
			t.Fatalf("a stranger says %+v", n.core.Status())
		}
		w.change(p, consensus.Change{AddVoters: peersOf(4)})
		w.run(60)
		w.propose(p, 20, 30)
		w.agree(30, 1, 2, 3, 4)
		if (n.installs > 0) != compacted {
			t.Errorf("compacted %v: %d installations", compacted, n.installs)
		}
		for _, id := range w.order {
			if m := w.nodes[id].core.Members(); len(m.Voters) != 4 || m.MaxID != 4 || m.Voters[3].Addr != "n4" || m.Index == 0 {
				t.Errorf("node %d is in %+v", id, m)
			}
		}
		for _, id := range w.order {
			w.reopen(w.nodes[id])
		}
		w.lost = cut(1)
		p = w.leader(2, 3, 4)
		w.propose(p, 30, 40)
		w.lost = nil
		w.run(60)
		w.agree(40, 1, 2, 3, 4)
	}
}

// Voters are replaced in one change, by way of a joint configuration; the leader
// too, which names its successor.
func TestReplacing(t *testing.T) {
	w := newWorld(t, 1, 2, 3)
	for i, old := range []consensus.NodeID{2, 3, 1} {
		p := w.elect(1)
		w.propose(p, 10*i, 10*i+10)
		id := consensus.NodeID(4 + i)
		w.add(id, consensus.Members{})
		w.change(p, consensus.Change{AddVoters: peersOf(id), Remove: []consensus.NodeID{old}})
		w.run(2)
		if old == 1 {
			if p.core.Status().Role == consensus.Leader {
				t.Fatal("the leader that removed itself leads")
			}
			if p = w.nodes[4]; p.core.Status().Role != consensus.Leader {
				p = w.nodes[5]
			}
			if p.core.Status().Role != consensus.Leader {
				t.Error("nobody was told to take over")
			}
			p = w.leader(4, 5, 6)
		}
		m := p.core.Members()
		if len(m.Voters) != 3 || m.IsMember(old) || !m.IsVoter(id) || len(m.Outgoing) != 0 {
			t.Fatalf("after %d was replaced by %d: %+v", old, id, m)
		}
		if n := len(p.members); n < 2 || len(p.members[n-2].Members.Outgoing) != 3 {
			t.Errorf("no joint configuration in %+v", p.members)
		}
	}
	w.propose(w.leader(4, 5, 6), 30, 40)
	w.run(20)
	w.agree(40, 4, 5, 6)
}

// What the library would swallow is refused, or put off.
func TestChangesThatAreNotProposed(t *testing.T) {
	w := newWorld(t, 1, 2, 3)
	p := w.elect(1)
	f := w.nodes[2].core
	if err := f.ProposeChange(consensus.Change{AddVoters: peersOf(4)}); !errors.Is(err, engine.ErrNotLeader) {
		t.Errorf("a follower: %v", err)
	}
	if err := p.core.ProposeChange(consensus.Change{AddVoters: peersOf(2)}); !errors.Is(err, consensus.ErrRefused) {
		t.Errorf("a member twice: %v", err)
	}
	add := consensus.Change{AddLearners: peersOf(4)}
	if err := p.core.ProposeChange(add); err != nil {
		t.Fatal(err)
	}
	if err := p.core.ProposeChange(consensus.Change{AddLearners: peersOf(5)}); !errors.Is(err, engine.ErrBusy) {
		t.Errorf("a change behind another: %v", err)
	}
	w.settle()
	w.change(p, consensus.Change{AddLearners: peersOf(5)})
	if m := w.nodes[3].core.Members(); len(m.Learners) != 2 || len(m.Voters) != 3 {
		t.Errorf("after two learners: %+v", m)
	}
	w.change(p, consensus.Change{AddVoters: peersOf(4)})
	if m := w.nodes[3].core.Members(); len(m.Learners) != 1 || len(m.Voters) != 4 {
		t.Errorf("after a promotion: %+v", m)
	}
	// A new leader with changes before it in its log.
	p.core.Propose([]byte("x"))
	p = w.elect(2)
	w.change(p, consensus.Change{Remove: []consensus.NodeID{4, 5}})
	w.run(1)
	if m := w.nodes[3].core.Members(); len(m.All()) != 3 || m.MaxID != 5 {
		t.Errorf("after two removals: %+v", m)
	}
}

// The state machine has come to a change, and not yet to the end of what was
// handed to it at once: the library must know the change applied all the same. Else
// it would make an empty entry of the next, whose caller would wait for ever.
func TestAChangeBehindOneThatIsHalfReported(t *testing.T) {
	w := newWorld(t, 1, 2, 3)
	p := w.elect(1)
	if err := p.core.ProposeChange(consensus.Change{AddLearners: peersOf(4)}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := p.core.Propose(fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	p.reports = p.applied + 1
	w.drain(p)
	p.stalled = true // until the answers to all are there
	w.settle()
	p.stalled = false
	w.settle()
	if got := p.core.Members(); got.Index != p.reports || p.applied != p.reports+5 {
		t.Fatalf("the change is at %d, and %d is handed out, want %d and 5 more", got.Index, p.applied, p.reports)
	}
	if at := p.core.node.Status().Applied; at != p.reports {
		t.Errorf("the library takes all through %d for applied, and %d is", at, p.reports)
	}
	w.change(p, consensus.Change{AddLearners: peersOf(5)})
	if m := p.core.Members(); !m.IsMember(5) {
		t.Errorf("the second change is not made: %+v", m)
	}
	p.reports = 0
	p.core.Applied(p.applied)
	if at := p.core.node.Status().Applied; at != p.applied {
		t.Errorf("the library takes all through %d for applied, and %d is", at, p.applied)
	}
}

// A leader whose disk stands still hands the lead over at once, or falls silent
// and loses it; if nobody wants it, it leads again.
func TestResigning(t *testing.T) {
	t.Run("hands over", func(t *testing.T) {
		w := newWorld(t, 1, 2, 3)
		p := w.elect(1)
		w.propose(p, 0, 5)
		p.core.Resign()
		if s := p.core.Status(); s.Role == consensus.Leader || p.core.Propose([]byte("x")) == nil {
			t.Errorf("having resigned, the leader says %+v", s)
		}
		w.settle()
		if !w.nodes[2].core.leads() && !w.nodes[3].core.leads() {
			t.Error("nobody took over at once")
		}
		w.propose(w.leader(2, 3), 5, 10)
		w.run(5)
		w.agree(10, 1, 2, 3)
	})
	t.Run("falls silent", func(t *testing.T) {
		w := newWorld(t, 1, 2, 3)
		p := w.elect(1)
		w.propose(p, 0, 5)
		w.lost = func(e envelope) bool { return e.m != nil && e.m.GetType() == pb.MsgTimeoutNow }
		p.core.Resign()
		for ticks := 0; p.core.leads(); ticks++ {
			w.run(1)
			if ticks > 60 {
				t.Fatal("nobody took over from a silent leader")
			}
		}
		w.propose(w.leader(2, 3), 5, 10)
		w.agree(10, 2, 3)
	})
	t.Run("leads again", func(t *testing.T) {
		w := newWorld(t, 1, 2, 3)
		p := w.elect(1)
		w.lost = cut(1)
		p.core.Propose([]byte("0"))
		p.core.Resign()
		w.drain(p) // the write comes through after all
		if s := p.core.Status(); s.Role != consensus.Leader || s.Leader != 1 {
			t.Errorf("its log moves again, and the leader says %+v", s)
		}
	})
}

// Configurations are read back as they were written, and nothing else is.
func TestMembersCodec(t *testing.T) {
	m := consensus.Members{Index: 300, MaxID: 7, Voters: peersOf(1, 5, 7), Learners: peersOf(6), Outgoing: peersOf(1, 2, 3)}
	b := appendMembers(nil, m)
	got, err := decodeMembers(b)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(m) {
		t.Fatalf("%+v, %v; want %+v", got, err, m)
	}
	for n := range b {
		if got, err := decodeMembers(b[:n]); err == nil {
			t.Errorf("the first %d of %d bytes read as %+v", n, len(b), got)
		}
	}
	if _, err := decodeMembers(append(b, 0)); err == nil {
		t.Error("a byte too many was read")
	}
}
