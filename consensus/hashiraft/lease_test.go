package hashiraft

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
)

func leases(_ consensus.NodeID, l *consensus.Limits) { l.ReadMode = consensus.ReadLease }

func TestLeaseReadsCostNoRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, leases)
		leader := w.leader()
		w.propose(leader, "x")
		time.Sleep(leader.cfg.Limits.ElectionTimeout())
		before := leader.Status().Counters
		for range 1000 {
			if _, err := leader.ReadBarrier(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		after := leader.Status().Counters
		if after["read_rounds"] != before["read_rounds"] || after["lease_reads"]-before["lease_reads"] != 1000 || after["reads"]-before["reads"] != 1000 {
			t.Errorf("counters before 1000 reads %v, after %v", before, after)
		}
		// From a request to take over on there is no lease; reads ask a quorum.
		leader.roles.current.Load().disrupted.Store(true)
		if _, err := leader.ReadBarrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := leader.Status().Counters["read_rounds"]; n != after["read_rounds"]+1 {
			t.Errorf("%d rounds, want one more than %d", n, after["read_rounds"])
		}
	})
}

// watchStale reads from r all the time, and returns a function that ends this
// and tells when the last read that succeeded began.
func (w *world) watchStale(r *Replica) (last func() (time.Time, int)) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	var at time.Time
	var n int
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			begun := time.Now()
			one, done := context.WithTimeout(ctx, time.Millisecond)
			if _, err := r.ReadBarrier(one); err == nil {
				at, n = begun, n+1
			}
			done()
			time.Sleep(500 * time.Microsecond)
		}
	}()
	return func() (time.Time, int) { cancel(); <-ended; return at, n }
}

// TestLeaseEndsBeforeASuccessor attacks the lease of a leader that is cut off:
// alone, and with a follower that restarts right after it has acknowledged the
// leader's heartbeat and knows of no leader then. In no trial may the old leader
// serve a read that began after the successor acknowledged a write. (Let promise.start
// do nothing, and some trial of the second kind does.)
func TestLeaseEndsBeforeASuccessor(t *testing.T) {
	for _, restart := range []bool{false, true} {
		for trial := range 12 {
			t.Run(fmt.Sprintf("restart %v, trial %d", restart, trial), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { attackLease(t, restart, trial) })
			})
		}
	}
}

func attackLease(t *testing.T, restart bool, trial int) {
	w := newWorld(t, 3, leases)
	old := w.leader()
	l := old.cfg.Limits
	x, y := w.replicas[old.cfg.Self%3], w.replicas[(old.cfg.Self+1)%3]
	cut := func(a, b *Replica) {
		from, to := fmt.Sprintf("n%d", a.cfg.Self), fmt.Sprintf("n%d", b.cfg.Self)
		w.fabric.Cut(from, to)
		w.fabric.Cut(to, from)
	}
	cut(old, y) // y campaigns from now on, in vain, as x hears of the leader
	time.Sleep(2*l.ElectionTimeout() + time.Duration(trial)*17*time.Millisecond)
	if old.roles.current.Load() == nil {
		t.Fatal("the scenario says nothing: the leader is gone already")
	}
	last := w.watchStale(old)
	cut(old, x)
	cutAt := time.Now()
	if restart {
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		l := l
		w.open(x.cfg.Self, l)
	}
	fresh := w.current(5*time.Second, old)
	w.propose(fresh, "after")
	acknowledged := time.Now()
	time.Sleep(2 * l.ElectionTimeout())
	at, n := last()
	if n == 0 || at.Before(cutAt) {
		t.Fatalf("the scenario says nothing: the old leader served %d reads, the last one %v after the cut", n, at.Sub(cutAt))
	}
	if at.After(acknowledged) {
		t.Errorf("the old leader served a read %v after another's write was acknowledged", at.Sub(acknowledged))
	}
	t.Logf("last read %v after the cut, the successor's write %v after it", at.Sub(cutAt), acknowledged.Sub(cutAt))
}

func voteFor(term uint64, transfer bool) *raft.RequestVoteRequest {
	return &raft.RequestVoteRequest{RPCHeader: raft.RPCHeader{ID: []byte("2")}, Term: term, LeadershipTransfer: transfer}
}

func TestPromise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const span = time.Second
		term := uint64(7)
		p := &promise{span: span, term: func() uint64 { return term }, lead: func() uint64 { return term }}
		expect := func(what string, got, want bool) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %v", what, got)
			}
		}
		p.start()
		expect("a vote right after Open", p.admit(voteFor(8, false)), false)
		expect("a campaign right after Open", p.mayCampaign(voteFor(8, false)), false)
		time.Sleep(span)
		expect("a promise without a vote before it", p.give(p.votes), true)
		time.Sleep(span - time.Millisecond)
		expect("a vote within the span", p.admit(voteFor(8, false)), false)
		expect("a vote within the span at the leader's wish", p.admit(voteFor(8, true)), true)
		p.voting--
		time.Sleep(time.Millisecond)
		before := p.votes
		expect("a vote after the span", p.admit(voteFor(8, false)), true)
		expect("a promise while a vote is under way", p.give(p.votes), false)
		p.voting--
		expect("a promise that a vote came before", p.give(before), false)
		before = p.votes
		expect("a campaign after the span", p.mayCampaign(voteFor(8, false)), true)
		expect("a promise that a campaign came before", p.give(before), false)

		stale := p.handOver(&raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ID: []byte("1")}})
		term = 8
		expect("a request to take over from the leader before", p.takeOver(stale), false)
		expect("one without a term", p.takeOver(&raft.TimeoutNowRequest{}), false)
		now := p.handOver(&raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ID: []byte("1")}})
		expect("one from the present leader", p.takeOver(now), true)
		expect("the campaign it asked for", p.mayCampaign(voteFor(9, true)), true)
		expect("a later campaign in its name", p.mayCampaign(voteFor(10, true)), false)
	})
}

// An acknowledgement that a vote came in between does not reach the leader.
func TestAVoteVoidsTheHeartbeatBesideIt(t *testing.T) {
	p := &promise{span: time.Hour}
	vote := false
	handle := p.heartbeats(func(rpc raft.RPC) {
		if vote {
			p.mayCampaign(voteFor(1, false))
		}
		rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
	})
	for _, vote = range []bool{true, false} {
		answer := make(chan raft.RPCResponse, 1)
		handle(raft.RPC{Command: &raft.AppendEntriesRequest{}, RespChan: answer})
		if a := <-answer; errors.Is(a.Error, errPromised) != vote {
			t.Errorf("with a vote in between (%v): %v", vote, a.Error)
		}
	}
	if time.Until(p.until) < 50*time.Minute {
		t.Error("the acknowledged heartbeat made no promise")
	}
}

// The leader asks another to take over, which does so within the lease, and
// nothing of that reaches the leader.
func TestTransferWithinALease(t *testing.T) {
	said := 0
	for range 10 {
		synctest.Test(t, func(t *testing.T) {
			if transferWithinALease(t) {
				said++
			}
		})
	}
	if said == 0 {
		t.Error("no trial says anything: no transfer ended within the lease")
	}
}

func transferWithinALease(t *testing.T) (said bool) {
	w := newWorld(t, 3, leases)
	old := w.leader()
	time.Sleep(old.cfg.Limits.ElectionTimeout())
	last := w.watchStale(old)
	time.Sleep(5 * time.Millisecond)
	w.links(old, func(me, other string) { w.fabric.Cut(other, me) })
	begun := time.Now()
	go func() { _ = old.Transfer(t.Context(), old.cfg.Self%3+1) }()
	fresh := w.current(time.Second, old)
	w.propose(fresh, "after")
	acknowledged := time.Now()
	said = acknowledged.Sub(begun) < old.cfg.Limits.ElectionTimeout()/2 && old.roles.current.Load() != nil
	time.Sleep(old.cfg.Limits.ElectionTimeout())
	if at, n := last(); n == 0 || at.After(acknowledged) {
		t.Errorf("the old leader served %d reads, one %v after its successor's write", n, at.Sub(acknowledged))
	}
	return said
}

func TestReadsThroughTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(_ consensus.NodeID, l *consensus.Limits) { l.ReadMode = consensus.ReadLog })
		for _, d := range w.disks {
			d.StallSyncs(time.Millisecond)
		}
		leader := w.leader()
		res := w.propose(leader, "x")
		rounds, records := leader.Status().Counters["read_rounds"], leader.Status().Counters["records"]
		answers := make(chan error, 500)
		for range 500 {
			go func() {
				index, err := leader.ReadBarrier(t.Context())
				if err == nil && index < res.Index {
					err = fmt.Errorf("index %d, and %d was acknowledged", index, res.Index)
				}
				answers <- err
			}()
		}
		for range 500 {
			if err := <-answers; err != nil {
				t.Fatal(err)
			}
		}
		c := leader.Status().Counters
		if r, n := c["read_rounds"]-rounds, c["records"]-records; r == 0 || r > 3 || n != r {
			t.Errorf("500 readers at once took %d rounds and %d records", r, n)
		}
		w.isolate(leader)
		short, cancel := context.WithTimeout(t.Context(), 10*leader.cfg.Limits.ElectionTimeout())
		defer cancel()
		if _, err := leader.ReadBarrier(short); err == nil {
			t.Error("a leader that reaches nobody served a read through the log")
		}
	})
}

func TestStaleReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		leader := w.leader()
		away := w.replicas[leader.cfg.Self%3]
		w.isolate(away)
		res := w.propose(leader, "x")
		if index, err := away.ReadStale(t.Context(), 0); err != nil || index >= res.Index {
			t.Errorf("a replica that is cut off: index %d, %v", index, err)
		}
		answer := make(chan uint64, 1)
		go func() {
			index, err := away.ReadStale(t.Context(), res.Index)
			if err != nil {
				t.Error(err)
			}
			answer <- index
		}()
		synctest.Wait()
		if len(answer) != 0 {
			t.Fatal("a read pinned at an index did not wait for it")
		}
		w.fabric.HealAll()
		if index := <-answer; index < res.Index || w.journals[away.cfg.Self-1].text() != "x" {
			t.Errorf("index %d, want %d", index, res.Index)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := away.ReadStale(short, 1<<40); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read pinned in the far future: %v", err)
		}
	})
}
