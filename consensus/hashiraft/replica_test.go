package hashiraft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"gfslab/consensus"
	"gfslab/consensus/storage"
	"gfslab/consensus/wire"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
	faultnet "gfslab/internal/fault/net"
)

// journal is a state machine that keeps all commands.
type journal struct {
	mu       sync.Mutex
	commands []string
	delay    time.Duration
}

func (j *journal) Apply(index uint64, commands [][]byte) [][]byte {
	if j.delay > 0 {
		time.Sleep(j.delay) // a slow state machine, in virtual time
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	results := make([][]byte, len(commands))
	for i, c := range commands {
		j.commands = append(j.commands, string(c))
		results[i] = fmt.Appendf(nil, "did %s", c)
	}
	return results
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.commands, ",")
}

type journalImage string

func (i journalImage) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(i))
	return int64(n), err
}
func (journalImage) Release() {}

func (j *journal) Snapshot() (consensus.Snapshot, error) { return journalImage(j.text()), nil }

func (j *journal) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.commands = strings.Split(string(b), ",")
	return err
}

type world struct {
	t        *testing.T
	fabric   *faultnet.Fabric
	peers    []consensus.Peer
	replicas []*Replica
	journals []*journal
	disks    []*faultdisk.FS
	joining  consensus.NodeID // opened as one that is to be added

	mu     sync.Mutex
	events []consensus.Event
}

func newWorld(t *testing.T, n int, limits func(id consensus.NodeID, l *consensus.Limits)) *world {
	w := &world{t: t, fabric: faultnet.NewFabric(wire.NewMemory())}
	for i := range n {
		w.peers = append(w.peers, consensus.Peer{ID: consensus.NodeID(i + 1), Addr: fmt.Sprintf("n%d:1", i+1)})
	}
	for _, p := range w.peers {
		l := consensus.Matched3()
		if limits != nil {
			limits(p.ID, &l)
		}
		w.disks = append(w.disks, faultdisk.NewMem(uint64(p.ID)))
		w.journals = append(w.journals, &journal{})
		w.replicas = append(w.replicas, nil)
		w.open(p.ID, l)
	}
	t.Cleanup(func() {
		for _, r := range w.replicas {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

func (w *world) open(id consensus.NodeID, l consensus.Limits) {
	w.t.Helper()
	if err := w.openOn(id, l, w.disks[id-1]); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) openOn(id consensus.NodeID, l consensus.Limits, fs disk.FS) error {
	r, err := Open(consensus.Config{
		Cluster: "test", Self: id, Peers: w.peers, Join: id == w.joining, Limits: l, StateMachine: w.journals[id-1],
		Observe: func(e consensus.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}, Deps{FS: fs, Dir: "data", Network: w.fabric.Node(fmt.Sprintf("n%d", id))})
	if err != nil {
		return err
	}
	w.replicas[id-1] = r.(*Replica)
	return nil
}

// leader waits for a replica, none of except, that leads and serves reads.
func (w *world) leader(except ...*Replica) *Replica {
	w.t.Helper()
	for range 1000 {
		for _, r := range w.replicas {
			if _, err := r.ReadBarrier(w.t.Context()); err == nil && !contains(except, r) {
				return r
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatal("no leader in 10 s")
	return nil
}

func contains(list []*Replica, r *Replica) bool {
	for _, x := range list {
		if x == r {
			return true
		}
	}
	return false
}

func (w *world) propose(r *Replica, command string) consensus.Result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer cancel()
	res, err := r.Propose(ctx, []byte(command))
	if err != nil {
		w.t.Fatalf("propose %s: %v", command, err)
	}
	return res
}

func (w *world) links(r *Replica, change func(from, to string)) {
	me := fmt.Sprintf("n%d", r.cfg.Self)
	for _, p := range w.peers {
		if p.ID != r.cfg.Self {
			change(me, fmt.Sprintf("n%d", p.ID))
		}
	}
}

func (w *world) isolate(r *Replica) {
	w.links(r, func(me, other string) { w.fabric.Cut(me, other); w.fabric.Cut(other, me) })
}

func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		old := w.leader()
		if res := w.propose(old, "a"); string(res.Value) != "did a" || res.Index == 0 {
			t.Fatalf("result %+v", res)
		}
		term := old.Status().Term
		w.isolate(old)
		fresh := w.leader(old)
		w.propose(fresh, "b")
		if s := fresh.Status(); s.Role != consensus.Leader || s.Term <= term || s.Leader != fresh.cfg.Self {
			t.Fatalf("the new leader's status %+v; the old term was %d", s, term)
		}
		w.fabric.HealAll()
		for _, r := range w.replicas {
			for r.fsm.applied.load() < fresh.fsm.applied.load() {
				time.Sleep(time.Millisecond)
			}
			if got := w.journals[r.cfg.Self-1].text(); got != "a,b" {
				t.Errorf("node %d applied %q", r.cfg.Self, got)
			}
		}
		var notLeader *consensus.NotLeaderError
		if _, err := old.Propose(t.Context(), []byte("x")); !errors.As(err, &notLeader) || notLeader.Hint != fresh.cfg.Self {
			t.Errorf("the deposed leader says %v, want a hint at node %d", err, fresh.cfg.Self)
		}
		w.checkEvents(old, fresh)
	})
}

// checkEvents looks for the story of a failover in the order of the events.
func (w *world) checkEvents(old, fresh *Replica) {
	w.mu.Lock()
	defer w.mu.Unlock()
	type want struct {
		kind consensus.EventKind
		node consensus.NodeID
	}
	story := []want{
		{consensus.EventCampaign, old.cfg.Self}, {consensus.EventLeader, old.cfg.Self}, {consensus.EventCommit, old.cfg.Self},
		{consensus.EventApplying, old.cfg.Self}, {consensus.EventStepDown, old.cfg.Self},
		{consensus.EventCampaign, fresh.cfg.Self}, {consensus.EventLeader, fresh.cfg.Self}, {consensus.EventCommit, fresh.cfg.Self},
		{consensus.EventApplying, fresh.cfg.Self},
	}
	var led uint64
	for _, e := range w.events {
		if len(story) > 0 && e.Kind == story[0].kind && e.Node == story[0].node {
			story = story[1:]
		}
		if e.Kind == consensus.EventLeader {
			led = e.Term
		}
		if (e.Kind == consensus.EventCommit || e.Kind == consensus.EventApplying) && (e.Index == 0 || e.Term == 0) {
			w.t.Errorf("event %+v without index or term", e)
		}
	}
	if len(story) > 0 || led == 0 {
		w.t.Errorf("events %+v lack %+v", w.events, story)
	}
}

// holdAnswers makes r the leader, cuts the way back from its peers and lets one
// heartbeat reach each of them. It reports false, and cuts nothing, if r does
// not lead yet or some heartbeat was still opening its connection.
func (w *world) holdAnswers(r *Replica) bool {
	if l := w.leader(); l != r {
		self := w.peers[r.cfg.Self-1]
		_ = l.raft.LeadershipTransferToServer(serverID(self.ID), raft.ServerAddress(self.Addr)).Error() // or the next try does it
		return false
	}
	time.Sleep(3 * r.cfg.Limits.ElectionTimeout() / 5) // some heartbeats, so that they have connections
	before := w.fabric.Stats().Stalled
	w.links(r, func(me, other string) { w.fabric.Cut(other, me) })
	r.raft.VerifyLeader()
	synctest.Wait() // no time passes: only the heartbeats just asked for move
	if w.fabric.Stats().Stalled-before < uint64(len(w.peers)-1) {
		w.fabric.HealAll()
		return false
	}
	return true
}

// TestVerifyLeaderAloneWouldBeStale holds back the followers' answers to the
// last heartbeats of a leader whose lease is longer than their patience (as a
// stopped process' would be), lets them elect a successor and acknowledge a
// write, and delivers the answers while the old leader verifies itself.
// VerifyLeader then succeeds; ReadBarrier must not.
func TestVerifyLeaderAloneWouldBeStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patient = 1
		w := newWorld(t, 3, func(id consensus.NodeID, l *consensus.Limits) {
			l.ElectionTicks = 60
			if id == patient {
				l.ElectionTicks = 6000
			}
		})
		old := w.replicas[patient-1]
		for !w.holdAnswers(old) {
			time.Sleep(10 * time.Millisecond)
		}
		w.links(old, func(me, other string) { w.fabric.Cut(me, other) })
		var fresh *Replica
		for fresh == nil {
			for _, r := range w.replicas {
				if r != old && r.roles.current.Load() != nil {
					fresh = r
				}
			}
			time.Sleep(time.Millisecond)
		}
		w.propose(fresh, "after")
		if old.raft.State() != raft.Leader {
			t.Fatal("the scenario says nothing: the old leader has stepped down already")
		}
		answer, alone := make(chan error, 1), make(chan error, 1)
		go func() { _, err := old.ReadBarrier(t.Context()); answer <- err }()
		go func() { alone <- old.futures.wait(old.raft.VerifyLeader()) }()
		synctest.Wait() // both verifications wait for answers
		for _, r := range w.replicas {
			if r != old && r != fresh { // the one answer that, with itself, makes a quorum
				w.fabric.Heal(fmt.Sprintf("n%d", r.cfg.Self), fmt.Sprintf("n%d", patient))
			}
		}
		if err := <-alone; err != nil {
			t.Fatalf("the scenario says nothing: VerifyLeader did not succeed: %v", err)
		}
		w.fabric.HealAll()
		err := <-answer
		var notLeader *consensus.NotLeaderError
		if !errors.As(err, &notLeader) {
			t.Fatalf("a read at the deposed leader returned %v, after %q was acknowledged elsewhere", err, "after")
		}
	})
}

func TestReadWaitsForTheStateMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		leader := w.leader()
		j := w.journals[leader.cfg.Self-1]
		j.delay = time.Second
		var writers sync.WaitGroup
		for i := range 3 {
			writers.Go(func() { w.propose(leader, fmt.Sprint(i)) })
			synctest.Wait()
		}
		time.Sleep(100 * time.Millisecond) // all are committed, none is applied
		index, err := leader.ReadBarrier(t.Context())
		if err != nil || index < leader.raft.CommitIndex() || j.text() != "0,1,2" {
			t.Errorf("index %d of %d, %v: the state machine has %q", index, leader.raft.CommitIndex(), err, j.text())
		}
		writers.Wait()
	})
}

func TestManyReadersShareARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		leader := w.leader()
		before := leader.rounds.Load()
		w.links(leader, func(me, other string) { w.fabric.Cut(other, me) }) // no round ends
		var readers sync.WaitGroup
		for range 500 {
			readers.Go(func() {
				if _, err := leader.ReadBarrier(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		w.fabric.HealAll()
		readers.Wait()
		if n := leader.rounds.Load() - before; n == 0 || n > 6 {
			t.Errorf("500 readers at once took %d rounds", n)
		}
	})
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		library  error
		proposed consensus.Outcome
		want     error // what the proposer's error wraps
		read     error // likewise for a read; nil = *NotLeaderError
	}{
		{raft.ErrNotLeader, consensus.Fail, nil, nil},
		{raft.ErrEnqueueTimeout, consensus.Fail, consensus.ErrDropped, raft.ErrEnqueueTimeout},
		{raft.ErrLeadershipLost, consensus.Unknown, consensus.ErrUnknown, nil},
		{raft.ErrRaftShutdown, consensus.Unknown, consensus.ErrUnknown, consensus.ErrClosed},
		{raft.ErrAbortedByRestore, consensus.Unknown, consensus.ErrUnknown, raft.ErrAbortedByRestore},
		{raft.ErrLeadershipTransferInProgress, consensus.Fail, consensus.ErrDropped, raft.ErrLeadershipTransferInProgress},
		{storage.ErrClosed, consensus.Unknown, consensus.ErrUnknown, storage.ErrClosed},
		{io.ErrUnexpectedEOF, consensus.Unknown, consensus.ErrUnknown, io.ErrUnexpectedEOF},
	} {
		err := proposeOutcome(c.library, 3)
		if got := consensus.OutcomeOf(err); got != c.proposed || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("Propose: %v became %v (%v), want %v", c.library, err, got, c.proposed)
		}
		read := readOutcome(c.library, 3)
		var notLeader *consensus.NotLeaderError
		if c.read == nil && (!errors.As(read, &notLeader) || notLeader.Hint != 3) || c.read != nil && !errors.Is(read, c.read) {
			t.Errorf("ReadBarrier: %v became %v", c.library, read)
		}
	}
	if proposeOutcome(nil, 3) != nil || readOutcome(nil, 3) != nil {
		t.Error("success became an error")
	}
}

// TestFuturesEndWithTheReplica fails when a new version of the library has no
// such field any more.
func TestFuturesEndWithTheReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		leader := w.leader()
		w.isolate(leader) // nothing is answered now
		time.Sleep(time.Millisecond)
		for name, f := range map[string]raft.Future{
			"Apply": leader.raft.Apply(nil, 0), "Barrier": leader.raft.Barrier(0), "VerifyLeader": leader.raft.VerifyLeader(),
		} {
			over := waiter{make(chan struct{})}
			answer := make(chan error, 1)
			go func() { answer <- over.wait(f) }()
			synctest.Wait()
			close(over.over)
			if err := <-answer; !errors.Is(err, raft.ErrRaftShutdown) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A leadership that follows another very fast signals once for each of them.
func TestALeadershipSettlesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		leader := w.leader()
		leader.roles.gained <- struct{}{}
		synctest.Wait()
		w.propose(leader, "after")
	})
}

func TestGateLetsNobodyInAndWaitsForThoseInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		if !g.enter() {
			t.Fatal("an open gate refused")
		}
		closed := false
		go func() { g.close(); closed = true }()
		synctest.Wait()
		if closed || g.enter() {
			t.Fatalf("closed with somebody inside: %v; or it lets others in", closed)
		}
		g.leave()
		synctest.Wait()
		if !closed {
			t.Fatal("close still waits, for nobody")
		}
	})
}

func TestLibraryLogGoesToSlog(t *testing.T) {
	var out strings.Builder
	closing := false
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)), func() bool { return closing })
	l.Named("net").Warn("lost contact", "peer", 2, "why", hclog.Fmt("%d of %d", 1, 3))
	l.Debug("not at this level")
	closing = true
	l.Error("connection closed")
	if got := out.String(); !strings.Contains(got, `level=WARN msg="lost contact" logger=raft.net peer=2 why="1 of 3"`) || strings.Count(got, "\n") != 1 {
		t.Fatalf("logged %q", got)
	}
}

func TestOpenRefusesAnotherOwnersLog(t *testing.T) {
	fs := faultdisk.NewMem(1)
	if err := openStore(t, fs).prepare("multipaxos/test/1", &raft.Configuration{}); err != nil {
		t.Fatal(err)
	}
	l, err := wire.NewMemory().Listen("n1:1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(consensus.Config{
		Cluster: "test", Self: 1, Peers: []consensus.Peer{{ID: 1, Addr: "n1:1"}}, Limits: consensus.Matched3(), StateMachine: &journal{},
	}, Deps{FS: fs.Crash(0), Dir: "data", Network: wire.NewMemory(), Listener: l})
	if err == nil || !strings.Contains(err.Error(), "multipaxos/test/1") {
		t.Fatalf("error %v", err)
	}
	if _, err := l.Accept(); err == nil {
		t.Fatal("the listener was left open")
	}
}
