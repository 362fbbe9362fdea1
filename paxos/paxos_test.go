package paxos

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// store is what is durable, for tests.
type store map[uint64]Entry

func (s store) Entries(lo, hi uint64, maxBytes int) (es []Entry, err error) {
	size := 0
	for slot := lo; slot < hi; slot++ {
		e, ok := s[slot]
		if !ok {
			continue
		}
		if size += len(e.Value); size > maxBytes && len(es) > 0 {
			break
		}
		es = append(es, e)
	}
	return es, nil
}

func (s store) Compacted() uint64 { return 0 }

func (s store) Bounds() (first, last uint64) {
	for slot := range s {
		if first == 0 || slot < first {
			first = slot
		}
		last = max(last, slot)
	}
	return first, last
}

func config(id NodeID, members int) Config {
	c := Config{ID: id, Storage: store{}, ElectionTicks: 10, HeartbeatTicks: 2, Window: 4, MaxMessageBytes: 1 << 20, LeaderDiskParallel: true}
	for i := range members {
		c.Peers = append(c.Peers, NodeID(i+1))
	}
	return c
}

func newNode(t *testing.T, c Config) *Node {
	t.Helper()
	n, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// flush does everything that a Ready asks for, with an instant disk, and
// returns what left the node.
func flush(n *Node) (sent []Message, reads []Read) {
	disk := n.cfg.Storage.(store)
	for n.HasReady() {
		rd := n.Ready()
		if rd.TruncateFrom != 0 {
			maps.DeleteFunc(disk, func(slot uint64, _ Entry) bool { return slot >= rd.TruncateFrom })
		}
		for _, e := range rd.Entries {
			disk[e.Slot] = e
		}
		sent = append(sent, rd.SendNow...)
		if rd.Token != 0 {
			n.Persisted(rd.Token)
		}
		sent = append(sent, rd.SendAfterPersist...)
		reads = append(reads, rd.Reads...)
		if k := len(rd.Apply); k > 0 {
			n.Applied(rd.Apply[k-1].Slot)
		}
	}
	return sent, reads
}

// elect makes n the leader with the promise of node 2, which accepted nothing.
func elect(t *testing.T, n *Node) Ballot {
	t.Helper()
	n.Campaign()
	flush(n)
	if len(n.members.ids) > 1 {
		step(t, n, Message{Kind: MsgPromise, From: 2, Ballot: n.promised, Lo: n.chosen + 1, Hi: n.chosen + 1, Done: true})
		flush(n)
	}
	if n.role != Leader {
		t.Fatalf("node is %v after a quorum promised", n.role)
	}
	return n.promised
}

func step(t *testing.T, n *Node, m Message) {
	t.Helper()
	m.To = n.cfg.ID
	if err := n.Step(m); err != nil {
		t.Fatal(err)
	}
}

// mustBreak demands that f trips the assertion of a rule.
func mustBreak(t *testing.T, rule int, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		r := recover()
		if want := fmt.Sprintf("breaks rule %d:", rule); r == nil || !strings.Contains(fmt.Sprint(r), want) {
			t.Errorf("got %v; want a panic that %s", r, want)
		}
	}()
	f()
}

func TestQuorums(t *testing.T) {
	for size, want := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4, 7: 4} {
		c := newNode(t, config(1, size)).current()
		if c.q1 != want || c.q2 != want || c.q1+c.q2 <= size || c.voters.count() != size {
			t.Errorf("%d members: quorums %d and %d; want %d", size, c.q1, c.q2, want)
		}
	}
	for _, bad := range [][]NodeID{{2, 3}, {1, 1, 2}, {0, 1}, {1, 1 << 16}, nil} {
		if _, err := newMembers(1, bad); err == nil {
			t.Errorf("members %v: no error", bad)
		}
	}
}

// reached agrees with counting.
func TestReachedProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		marks := rapid.SliceOfN(rapid.Uint64Range(0, 5), 1, 9).Draw(t, "marks")
		quorum := rapid.IntRange(1, len(marks)).Draw(t, "quorum")
		got, want := reached(marks, quorum), uint64(0)
		for mark := uint64(0); mark <= 5; mark++ {
			count := 0
			for _, m := range marks {
				if m >= mark {
					count++
				}
			}
			if count >= quorum {
				want = mark
			}
		}
		if got != want {
			t.Fatalf("reached(%v, %d) = %d; want %d", marks, quorum, got, want)
		}
	})
}

// spans agree with a plain set of slots.
func TestSpansProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s spans
		set := map[uint64]bool{}
		for _, slot := range rapid.SliceOf(rapid.Uint64Range(1, 40)).Draw(t, "slots") {
			s.add(slot)
			set[slot] = true
		}
		for i, r := range s {
			if r.lo > r.hi || i > 0 && s[i-1].hi+1 >= r.lo {
				t.Fatalf("%v is not in order, or not joined", s)
			}
		}
		for slot := uint64(0); slot <= 42; slot++ {
			r, ok := s.find(slot)
			if ok != set[slot] {
				t.Fatalf("%v: slot %d: found %v; want %v", s, slot, ok, set[slot])
			}
			for in := r.lo; ok && in <= r.hi; in++ {
				if !set[in] {
					t.Fatalf("%v: %d was never added", s, in)
				}
			}
		}
	})
}

// Pack orders as ballots do, and Unpack undoes it.
func TestBallotProperty(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) Ballot {
		return Ballot{rapid.Uint64Range(0, 1<<40).Draw(t, "round"), NodeID(rapid.Uint64Range(1, 65535).Draw(t, "node"))}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		less := a.Round < b.Round || a.Round == b.Round && a.Node < b.Node
		if a.Less(b) != less || Unpack(a.Pack()) != a {
			t.Fatalf("%v < %v: %v; unpacked %v", a, b, a.Less(b), Unpack(a.Pack()))
		}
	})
}

// The log returns what was put, whether it is in memory, on disk or both.
func TestLogProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		disk, want := store{}, store{}
		l := newSlotLog(disk, rapid.IntRange(0, 4).Draw(t, "keep"))
		for token := uint64(1); token <= rapid.Uint64Range(1, 12).Draw(t, "tokens"); token++ {
			for _, slot := range rapid.SliceOfN(rapid.Uint64Range(1, 700), 0, 5).Draw(t, "slots") {
				e := Entry{Slot: slot, Ballot: Ballot{token, 1}, Value: make([]byte, rapid.IntRange(0, 9).Draw(t, "size"))}
				l.put(e, token)
				want[slot] = e
			}
			if rapid.Bool().Draw(t, "persist") {
				for _, e := range l.takeDirty() {
					disk[e.Slot] = e
					l.settle(e.Slot, l.recent[e.Slot].token)
				}
			}
		}
		lo, maxBytes := rapid.Uint64Range(1, 710).Draw(t, "lo"), rapid.IntRange(0, 40).Draw(t, "bytes")
		var got []Entry
		for next := lo; next <= l.last; {
			page, n := l.read(next, l.last+1, maxBytes)
			if size := pageBytes(page); size > maxBytes && len(page) > 1 || n <= next {
				t.Fatalf("page of %d bytes (bound %d), %d entries, next %d after %d", size, maxBytes, len(page), n, next)
			}
			got, next = append(got, page...), n
		}
		expected, _ := want.Entries(lo, l.last+1, 1<<30)
		if !slices.EqualFunc(got, expected, func(a, b Entry) bool { return a.Slot == b.Slot && a.Ballot == b.Ballot }) {
			t.Fatalf("read %v; want %v", got, expected)
		}
	})
}

func pageBytes(es []Entry) (size int) {
	for _, e := range es {
		size += len(e.Value)
	}
	return size
}

// A cluster of one is its own quorum - after its own sync.
func TestSingleNode(t *testing.T) {
	n := newNode(t, config(1, 1))
	n.Campaign()
	if rd := n.Ready(); rd.Token == 0 || n.role == Leader {
		t.Fatalf("leads (%v) before its ballot is durable", n.role)
	}
	n.Persisted(1)
	if _, err := n.Propose([]byte("a")); err != nil {
		t.Fatal(err)
	}
	rd := n.Ready()
	if len(rd.Apply) != 0 || n.chosen != 0 {
		t.Fatal("chosen before its own sync")
	}
	n.Persisted(rd.Token)
	if rd = n.Ready(); len(rd.Apply) != 1 || string(rd.Apply[0].Value) != "a" {
		t.Fatalf("applies %v; want a", rd.Apply)
	}
	n.Applied(1)
	if err := n.ReadIndex(7); err != nil {
		t.Fatal(err)
	}
	if rd = n.Ready(); len(rd.Reads) != 1 || rd.Reads[0] != (Read{ID: 7, Slot: 1}) {
		t.Fatalf("reads %v", rd.Reads)
	}
	if n.HasReady() {
		t.Fatal("there is more")
	}
}

func TestProposeRefusals(t *testing.T) {
	n := newNode(t, config(1, 3))
	if _, err := n.Propose(nil); !errors.Is(err, ErrNotLeader) {
		t.Errorf("follower: %v", err)
	}
	if err := n.ReadIndex(1); !errors.Is(err, ErrNotLeader) {
		t.Errorf("follower: %v", err)
	}
	elect(t, n)
	for i := range 4 {
		if _, err := n.Propose([]byte{byte('a' + i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.Propose([]byte("x")); !errors.Is(err, ErrWindowFull) {
		t.Errorf("a fifth slot in a window of four: %v", err)
	}
	for name, m := range map[string]Message{
		"stranger":     {Kind: MsgAccepted, From: 9, To: 1},
		"not for me":   {Kind: MsgAccepted, From: 2, To: 3},
		"from myself":  {Kind: MsgAccepted, From: 1, To: 1},
		"not its own":  {Kind: MsgAccept, From: 2, To: 1, Ballot: Ballot{9, 3}},
		"mixed Accept": {Kind: MsgAccept, From: 2, To: 1, Ballot: Ballot{9, 2}, Entries: []Entry{{Slot: 1, Ballot: Ballot{8, 2}}}},
		"no such kind": {Kind: 99, From: 2, To: 1},
	} {
		if err := n.Step(m); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n.role != Leader {
		t.Error("a malformed message deposed the leader")
	}
}

// Reads that are asked while a round is out share the next one.
func TestReadsShareARound(t *testing.T) {
	n := newNode(t, config(1, 3))
	b := elect(t, n)
	ask := func(ids ...uint64) (rounds []uint64) {
		for _, id := range ids {
			if err := n.ReadIndex(id); err != nil {
				t.Fatal(err)
			}
		}
		sent, _ := flush(n)
		for _, m := range sent {
			if m.Kind == MsgReadConfirm && m.To == 2 {
				rounds = append(rounds, m.ID)
			}
		}
		return rounds
	}
	if r := ask(1, 2); len(r) != 1 || r[0] != 1 {
		t.Fatalf("two reads started rounds %v; want one", r)
	}
	if r := ask(3, 4); len(r) != 0 {
		t.Fatalf("rounds %v left while one is out", r)
	}
	step(t, n, Message{Kind: MsgReadConfirmReply, From: 2, Ballot: b, ID: 1})
	sent, reads := flush(n)
	if len(reads) != 2 || reads[0].ID != 1 || reads[1].ID != 2 {
		t.Fatalf("round 1 confirms %v; want reads 1 and 2", reads)
	}
	if len(sent) != 2 || sent[0].Kind != MsgReadConfirm || sent[0].ID != 2 {
		t.Fatalf("after round 1 leaves %v; want round 2", sent)
	}
	step(t, n, Message{Kind: MsgReadConfirmReply, From: 3, Ballot: b, ID: 1})
	if _, reads = flush(n); len(reads) != 0 {
		t.Fatalf("an answer to round 1 confirms %v of round 2", reads)
	}
	step(t, n, Message{Kind: MsgReject, From: 3, Ballot: b, Promised: Ballot{9, 3}})
	if _, reads = flush(n); len(reads) != 2 || !reads[0].Refused || !reads[1].Refused {
		t.Fatalf("deposed: %v; want two refusals", reads)
	}
}

// Check-quorum: a leader that nobody answers steps aside and falls silent.
func TestCheckQuorum(t *testing.T) {
	c := config(1, 3)
	c.CheckQuorum = true
	n := newNode(t, c)
	b := elect(t, n)
	for range 9 {
		n.Tick()
	}
	step(t, n, Message{Kind: MsgHeartbeatReply, From: 3, Ballot: b})
	for range 9 {
		n.Tick()
	}
	if n.role != Leader {
		t.Fatal("stepped aside although node 3 answered")
	}
	flush(n)
	n.Tick()
	n.Tick()
	if sent, _ := flush(n); n.role != Follower || n.leader != 0 || len(sent) != 0 {
		t.Fatalf("%v of %d, sends %v; want a silent follower", n.role, n.leader, sent)
	}
}

// Rejections widen the range from which the next timeout is drawn.
func TestBackoff(t *testing.T) {
	n := newNode(t, config(1, 3))
	longest := 0
	for range 200 {
		n.backoffs = 4
		n.resetTimeout()
		longest = max(longest, n.timeout)
		if n.timeout < n.cfg.ElectionTicks {
			t.Fatalf("timeout %d is below the election timeout", n.timeout)
		}
	}
	if longest < 5*n.cfg.ElectionTicks {
		t.Errorf("after 4 rejections the longest of 200 timeouts is %d ticks", longest)
	}
	step(t, n, Message{Kind: MsgHeartbeat, From: 2, Ballot: Ballot{1, 2}})
	if n.backoffs != 0 {
		t.Error("a leader does not end the backoff")
	}
}

// A stalled disk bounds what its node takes on, as a leader and as a follower.
func TestStalledDiskBoundsMemory(t *testing.T) {
	n := newNode(t, config(1, 3))
	b := elect(t, n)
	taken := 0
	for slot := uint64(1); ; slot++ {
		if _, err := n.Propose([]byte("v")); err != nil {
			if !errors.Is(err, ErrWindowFull) {
				t.Fatal(err)
			}
			break
		}
		taken++
		rd := n.Ready() // handed out, never persisted
		step(t, n, Message{Kind: MsgAccepted, From: 2, Ballot: b, Lo: 1, Hi: slot})
		step(t, n, Message{Kind: MsgAccepted, From: 3, Ballot: b, Lo: 1, Hi: slot})
		if k := len(rd.Apply); k > 0 {
			n.Applied(rd.Apply[k-1].Slot)
		}
	}
	if want := 16 * n.cfg.Window; taken != want {
		t.Errorf("the leader took %d commands without its disk; want %d", taken, want)
	}
	n.Persisted(n.out.next - 1)
	if _, err := n.Propose([]byte("v")); err != nil {
		t.Errorf("the disk is back: %v", err)
	}

	f := newNode(t, config(1, 3))
	b = Ballot{1, 2}
	for slot := uint64(1); slot <= 1000; slot++ {
		step(t, f, Message{Kind: MsgAccept, From: 2, Ballot: b, Chosen: slot - 1, Entries: []Entry{{slot, b, []byte("v")}}})
		f.Ready()
	}
	if got, want := len(f.log.recent), 16*f.cfg.Window; got > want {
		t.Errorf("the follower holds %d entries in memory; want at most %d", got, want)
	}
}
