package hashiraft

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
	faultdisk "gfslab/internal/fault/disk"
)

func peer(id consensus.NodeID, addr string) consensus.Peer { return consensus.Peer{ID: id, Addr: addr} }

func TestPlanChange(t *testing.T) {
	now := consensus.Founders([]consensus.Peer{peer(1, "a"), peer(2, "b"), peer(3, "c")})
	now.Learners, now.MaxID = []consensus.Peer{peer(5, "e")}, 5
	for _, c := range []struct {
		change consensus.Change
		want   string // the steps, or what the refusal says
	}{
		{consensus.Change{AddVoters: []consensus.Peer{peer(6, "f")}}, "learner 6, voter 6"},
		{consensus.Change{AddVoters: []consensus.Peer{peer(5, "e")}}, "voter 5"},
		{consensus.Change{AddLearners: []consensus.Peer{peer(7, "g")}}, "learner 7"},
		{consensus.Change{Remove: []consensus.NodeID{1, 2}}, "remove 2, remove 1"},
		{consensus.Change{AddVoters: []consensus.Peer{peer(6, "f")}, Remove: []consensus.NodeID{1}}, "learner 6, voter 6, remove 1"},
		{consensus.Change{AddVoters: []consensus.Peer{peer(6, "b")}, Remove: []consensus.NodeID{2}}, "remove 2, learner 6, voter 6"},
		{consensus.Change{AddVoters: []consensus.Peer{peer(6, "a")}, Remove: []consensus.NodeID{1}}, "transfer the lead first"},
		{consensus.Change{AddVoters: []consensus.Peer{peer(6, "b")}}, "one address"},
		{consensus.Change{AddVoters: []consensus.Peer{peer(4, "d")}}, "used before"},
	} {
		steps, err := planChange(now, c.change, 1)
		var got []string
		for _, s := range steps {
			got = append(got, fmt.Sprintf("%s %d", map[stepKind]string{addLearner: "learner", addVoter: "voter", remove: "remove"}[s.kind], s.peer.ID))
		}
		if text := strings.Join(got, ", "); err == nil && text != c.want {
			t.Errorf("%+v: %q, want %q", c.change, text, c.want)
		}
		if err != nil && (!errors.Is(err, consensus.ErrRefused) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.change, err, c.want)
		}
	}
}

// join opens a replica that is to be added.
func (w *world) join(p consensus.Peer, l consensus.Limits) *Replica {
	w.t.Helper()
	contacts := w.peers
	w.peers = append(append([]consensus.Peer(nil), contacts...), p)
	w.disks = append(w.disks, faultdisk.NewMem(uint64(p.ID)))
	w.journals = append(w.journals, &journal{})
	w.replicas = append(w.replicas, nil)
	if int(p.ID) != len(w.replicas) {
		w.t.Fatalf("node %d is the %dth", p.ID, len(w.replicas))
	}
	w.joining = p.ID
	w.open(p.ID, l)
	return w.replicas[p.ID-1]
}

func (w *world) change(r *Replica, c consensus.Change) consensus.Members {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	m, err := r.ChangeMembers(ctx, c)
	if err != nil {
		w.t.Fatalf("change %+v: %v", c, err)
	}
	return m
}

// A disk is replaced: the machine comes back at its address under a new name.
func TestReplaceAtTheSameAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		leader := w.leader()
		w.propose(leader, "before")
		gone := w.replicas[leader.cfg.Self%3]
		if err := gone.Close(); err != nil {
			t.Fatal(err)
		}
		fresh := w.join(peer(4, w.peers[gone.cfg.Self-1].Addr), leader.cfg.Limits)
		m := w.change(leader, consensus.Change{AddVoters: []consensus.Peer{w.peers[3]}, Remove: []consensus.NodeID{gone.cfg.Self}})
		if len(m.Voters) != 3 || !m.IsVoter(4) || m.IsMember(gone.cfg.Self) || m.MaxID != 4 {
			t.Errorf("members %+v", m)
		}
		// It counts: the other old one may go.
		w.isolate(w.replicas[(leader.cfg.Self+1)%3])
		w.propose(leader, "after")
		for w.journals[3].text() != "before,after" {
			time.Sleep(time.Millisecond)
		}
		if got := fresh.Members(); len(got.Voters) != 3 || got.MaxID != 4 {
			t.Errorf("the new member knows of %+v", got)
		}
	})
}

// A change that stops half-way is unknown, and leaves what was committed.
func TestAChangeThatStopsHalfWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		leader := w.leader()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		nobody := consensus.Peer{ID: 9, Addr: "nowhere:1"}
		_, err := leader.ChangeMembers(ctx, consensus.Change{AddVoters: []consensus.Peer{nobody}})
		if consensus.OutcomeOf(err) != consensus.Unknown || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a voter that never answers: %v", err)
		}
		time.Sleep(time.Second)
		m := leader.Members()
		if len(m.Voters) != 3 || len(m.Learners) != 1 || m.MaxID != 9 {
			t.Errorf("members %+v", m)
		}
		// Another change can follow, and the identity is gone for good.
		m = w.change(leader, consensus.Change{Remove: []consensus.NodeID{9}})
		if m.MaxID != 9 || len(m.All()) != 3 {
			t.Errorf("members %+v", m)
		}
		if _, err := leader.ChangeMembers(t.Context(), consensus.Change{AddVoters: []consensus.Peer{nobody}}); !errors.Is(err, consensus.ErrRefused) {
			t.Errorf("an identity that was used before: %v", err)
		}
	})
}

// The entry that removes a server does not reach it, so that it can still vote
// for those who do not have it either (see transport.pass).
func TestARemovedServerCanStillBeNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, nil)
		old := w.leader()
		w.propose(old, "before")
		at := func(i int) *Replica { return w.replicas[(int(old.cfg.Self)-1+i)%4] }
		time.Sleep(old.cfg.Limits.ElectionTimeout())
		for _, other := range []*Replica{at(1), at(2)} { // only the one that leaves hears of it
			w.fabric.Cut(fmt.Sprintf("n%d", old.cfg.Self), fmt.Sprintf("n%d", other.cfg.Self))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := old.ChangeMembers(ctx, consensus.Change{Remove: []consensus.NodeID{at(3).cfg.Self}})
		if consensus.OutcomeOf(err) != consensus.Unknown {
			t.Errorf("a removal that nobody heard of: %v", err)
		}
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
		w.propose(w.leader(), "after")
	})
}

// A voter that one of the others has not heard of is the only one who can lead
// (see doorman).
func TestANewVoterCanLead(t *testing.T) {
	for _, mode := range []consensus.ReadMode{consensus.ReadLinearizable, consensus.ReadLease} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3, func(_ consensus.NodeID, l *consensus.Limits) { l.ReadMode = mode })
				old := w.leader()
				x, y := w.replicas[old.cfg.Self%3], w.replicas[(old.cfg.Self+1)%3]
				fresh := w.join(peer(4, "n4:1"), old.cfg.Limits)
				w.change(old, consensus.Change{AddLearners: []consensus.Peer{w.peers[3]}})
				for !y.Members().IsMember(4) {
					time.Sleep(time.Millisecond)
				}
				to := func(r *Replica) { w.fabric.Cut(fmt.Sprintf("n%d", old.cfg.Self), fmt.Sprintf("n%d", r.cfg.Self)) }
				to(y)
				w.change(old, consensus.Change{AddVoters: []consensus.Peer{w.peers[3]}})
				to(x)
				_, before := old.log.Bounds()
				w.write(old, "tail") // reaches the new one only
				for _, last := fresh.log.Bounds(); last <= before; _, last = fresh.log.Bounds() {
					time.Sleep(time.Millisecond)
				}
				if err := old.Close(); err != nil {
					t.Fatal(err)
				}
				if leader := w.leader(); leader != fresh {
					t.Fatalf("the scenario says nothing: node %d leads", leader.cfg.Self)
				}
				w.propose(fresh, "after")
			})
		})
	}
}

func TestDoormanKnowsNewcomers(t *testing.T) {
	r := newRoster()
	d := &doorman{roster: r, standing: func() standing { return standing{term: 5, lastIndex: 10, lastTerm: 4} }}
	if d.newcomer([]byte("9")) {
		t.Error("a replica without members takes anybody for a newcomer: the library lets all in then")
	}
	c := configuration([]consensus.Peer{peer(1, "a"), peer(2, "b")})
	c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Nonvoter, ID: "4", Address: "d"})
	r.appended(3, c)
	for id, want := range map[string]bool{"1": false, "3": false, "4": true, "5": true, "": false} {
		if got := d.newcomer([]byte(id)); got != want {
			t.Errorf("node %q: %v", id, got)
		}
	}
	for _, x := range []struct {
		term, lastTerm, lastIndex uint64
		want                      bool
	}{{6, 4, 10, true}, {6, 4, 9, false}, {6, 3, 99, false}, {6, 5, 1, true}, {4, 4, 10, false}} {
		args := &raft.RequestPreVoteRequest{Term: x.term, LastLogTerm: x.lastTerm, LastLogIndex: x.lastIndex}
		if got := d.preVote(args).Granted; got != x.want {
			t.Errorf("%+v: %v", x, got)
		}
	}
	d.standing = func() standing { return standing{term: 5, leader: 2} }
	if d.preVote(&raft.RequestPreVoteRequest{Term: 9, LastLogTerm: 9}).Granted {
		t.Error("a pre-vote for a newcomer, beside a live leader")
	}
}

func TestRosterFollowsTheLog(t *testing.T) {
	servers := func(ids ...consensus.NodeID) raft.Configuration {
		var ps []consensus.Peer
		for _, id := range ids {
			ps = append(ps, peer(id, fmt.Sprintf("n%d:1", id)))
		}
		return configuration(ps)
	}
	r := newRoster()
	r.self = 1
	var talk []consensus.NodeID
	var highest consensus.NodeID
	r.changed = func(peers []consensus.Peer, h consensus.NodeID) {
		talk, highest = nil, h
		for _, p := range peers {
			talk = append(talk, p.ID)
		}
	}
	expect := func(what string, voters int, wantHighest consensus.NodeID, want ...consensus.NodeID) {
		t.Helper()
		if fmt.Sprint(talk) != fmt.Sprint(want) || len(r.electors.Load().voters) != voters || highest != wantHighest {
			t.Errorf("%s: %d voters, talks to %v, highest %d; want %d, %v, %d", what, len(r.electors.Load().voters), talk, highest, voters, want, wantHighest)
		}
	}
	r.found(1, servers(1, 2, 3))
	r.applied(1, servers(1, 2, 3))
	expect("founders", 3, 3, 3, 2, 1)
	r.appended(5, servers(1, 2, 3, 4))
	expect("stored, not committed", 4, 4, 4, 3, 2, 1)
	r.truncated(5)
	expect("cut off again", 3, 3, 3, 2, 1)
	r.appended(6, servers(1, 2, 3, 4))
	r.applied(6, servers(1, 2, 3, 4))
	r.appended(7, servers(1, 3, 4))
	expect("the one that leaves still talks", 3, 4, 4, 3, 2, 1)
	r.found(6, servers(1, 2, 3, 4)) // read again by the library
	r.truncated(8)
	expect("nothing of it was cut", 3, 4, 4, 3, 2, 1)
	r.applied(7, servers(1, 3, 4))
	expect("it has left", 3, 4, 4, 3, 1)
	if m := r.current(); m.Index != 7 || m.MaxID != 4 {
		t.Errorf("members %+v", m)
	}
	r.restored(consensus.Members{Index: 20, Voters: []consensus.Peer{peer(1, "n1:1"), peer(8, "n8:1")}, MaxID: 9})
	expect("a snapshot", 2, 9, 8, 1)
}
