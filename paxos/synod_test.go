package paxos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// synod is a cluster in which every message is moved by hand, and which keeps
// what the papers speak of: proposals issued, votes cast, values learned.
type synod struct {
	t        failer
	nodes    []*Node
	net      []Message
	count    [MsgCatchUpReply + 1]int // messages sent, by kind
	issued   []issue
	votes    []vote
	applied  [][]Entry // by node, in any life, each slot once
	proposed map[string]bool
	asked    map[uint64]question
	answers  []Read
}

// issue is a proposal, and the votes below its ballot when its Accept left.
type issue struct {
	Entry
	before []vote
	safe   bool // P2c held
}

// vote says that an acceptor's disk took a proposal.
type vote struct {
	Entry
	acceptor int
}

type question struct {
	ballot  Ballot
	applied uint64 // the highest slot applied anywhere when it was asked
	above   bool   // something was chosen at a higher ballot by then
}

// failer is a test, of rapid or not.
type failer interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newSynod(t failer, members int) *synod {
	s := &synod{t: t, proposed: map[string]bool{}, asked: map[uint64]question{}, applied: make([][]Entry, members)}
	for i := range members {
		n, err := New(config(NodeID(i+1), members))
		if err != nil {
			t.Fatal(err)
		}
		s.nodes = append(s.nodes, n)
	}
	return s
}

// flush does what node i asks for, on an instant disk.
func (s *synod) flush(i int) {
	n := s.nodes[i]
	disk := n.cfg.Storage.(store)
	for n.HasReady() {
		rd := n.Ready()
		for _, m := range rd.SendNow {
			s.send(m)
		}
		for _, e := range rd.Entries {
			disk[e.Slot] = e
			s.votes = append(s.votes, vote{e, i})
		}
		if rd.HardState != nil {
			n.cfg.HardState = *rd.HardState // what a restart finds
		}
		if rd.Token != 0 {
			n.Persisted(rd.Token)
		}
		for _, m := range rd.SendAfterPersist {
			s.send(m)
		}
		for _, e := range rd.Apply {
			if e.Slot > uint64(len(s.applied[i])) {
				s.applied[i] = append(s.applied[i], e)
			}
			n.Applied(e.Slot)
		}
		s.answers = append(s.answers, rd.Reads...)
	}
}

func (s *synod) send(m Message) {
	s.count[m.Kind]++
	s.net = append(s.net, m)
	if m.Kind != MsgAccept {
		return
	}
	for _, e := range m.Entries {
		if !slices.ContainsFunc(s.issued, func(p issue) bool { return p.Slot == e.Slot && p.Ballot == e.Ballot }) {
			p := issue{Entry: e}
			for _, v := range s.votes {
				if v.Slot == e.Slot && v.Ballot.Less(e.Ballot) {
					p.before = append(p.before, v)
				}
			}
			p.safe = s.allows(p)
			s.issued = append(s.issued, p)
		}
	}
}

// allows reports whether P2c holds for p: some majority has accepted nothing
// below, or its highest is of p's value.
func (s *synod) allows(p issue) bool {
	for majority := range 1 << len(s.nodes) {
		size, best := 0, Entry{}
		for i := range s.nodes {
			if majority&(1<<i) == 0 {
				continue
			}
			size++
			for _, v := range p.before {
				if v.acceptor == i && best.Ballot.Less(v.Ballot) {
					best = v.Entry
				}
			}
		}
		if 2*size > len(s.nodes) && (best.Ballot.IsZero() || string(best.Value) == string(p.Value)) {
			return true
		}
	}
	return false
}

// chosen reports whether a majority accepted what v accepted.
func (s *synod) chosen(v vote) bool {
	var by votes
	for _, w := range s.votes {
		if w.Slot == v.Slot && w.Ballot == v.Ballot {
			by.add(w.acceptor)
		}
	}
	return 2*by.count() > len(s.nodes)
}

func (s *synod) step(id NodeID, m Message) {
	if err := s.nodes[id-1].Step(m); err != nil {
		s.t.Fatal(err)
	}
	s.flush(int(id) - 1)
}

// deliver delivers what matches, and what that causes, until nothing does.
func (s *synod) deliver(matches func(Message) bool) {
	for i := 0; i < len(s.net); {
		if m := s.net[i]; matches(m) {
			s.net = slices.Delete(s.net, i, i+1)
			s.step(m.To, m)
			i = 0
		} else {
			i++
		}
	}
}

// lead makes a node the leader by the messages of phase 1 alone.
func (s *synod) lead(id NodeID) {
	for range 8 { // it may have to learn of a higher ballot first
		s.nodes[id-1].Campaign()
		s.flush(int(id) - 1)
		s.deliver(func(m Message) bool {
			return (m.To == id || m.From == id) && (m.Kind == MsgPrepare || m.Kind == MsgPromise || m.Kind == MsgReject)
		})
		if s.nodes[id-1].role == Leader {
			return
		}
	}
	s.t.Fatalf("node %d does not get to lead", id)
}

func (s *synod) propose(id NodeID, value string) {
	s.proposed[value] = true
	if _, err := s.nodes[id-1].Propose([]byte(value)); err != nil {
		s.t.Fatal(err)
	}
	s.flush(int(id) - 1)
}

// crash restarts a node on its disk; what was on its way to it is lost.
func (s *synod) crash(id NodeID) {
	n, err := New(s.nodes[id-1].cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.nodes[id-1] = n
	s.net = slices.DeleteFunc(s.net, func(m Message) bool { return m.To == id })
}

func (s *synod) read(id NodeID) {
	q := question{ballot: s.nodes[id-1].promised}
	for i := range s.applied {
		q.applied = max(q.applied, uint64(len(s.applied[i])))
	}
	for _, v := range s.votes {
		q.above = q.above || q.ballot.Less(v.Ballot) && s.chosen(v)
	}
	n := uint64(len(s.asked) + 1)
	if s.nodes[id-1].ReadIndex(n) == nil {
		s.asked[n] = q
		s.flush(int(id) - 1)
	}
}

// seeded is a failer that says which seed it was.
type seeded struct {
	t    *testing.T
	seed uint64
}

func (s seeded) Fatal(args ...any) {
	s.t.Helper()
	s.t.Fatalf("seed %d: %s", s.seed, fmt.Sprint(args...))
}

func (s seeded) Fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("seed %d: "+format, append([]any{s.seed}, args...)...)
}

// randomRuns runs clusters of three and five at random - deliveries in any
// order, copies, losses, elections, crashes - and lets judge look at each.
func randomRuns(t *testing.T, judge func(t failer, s *synod)) {
	t.Helper()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 22))
		f := seeded{t, seed}
		s := newSynod(f, 3+2*r.IntN(2))
		s.lead(1)
		for range 400 {
			s.randomStep(r)
		}
		judge(f, s)
	}
}

func (s *synod) randomStep(r *rand.Rand) {
	what, id := r.IntN(100), NodeID(1+r.IntN(len(s.nodes)))
	switch {
	case what < 2:
		s.nodes[id-1].Campaign()
	case what < 3:
		s.crash(id)
	case what < 16:
		value := fmt.Sprint("v", len(s.proposed))
		if _, err := s.nodes[id-1].Propose([]byte(value)); err == nil {
			s.proposed[value] = true
		}
	case what < 22:
		s.read(id)
	case what < 26:
		s.nodes[id-1].Tick()
	case len(s.net) > 0:
		i := r.IntN(len(s.net))
		m := s.net[i]
		if what >= 30 { // else it stays: a copy will follow
			s.net = slices.Delete(s.net, i, i+1)
		}
		if what < 96 { // else it is lost
			s.step(m.To, m)
		}
		return
	}
	s.flush(int(id) - 1)
}

func values(es []Entry) (out []string) {
	for _, e := range es {
		out = append(out, string(e.Value))
	}
	return out
}
