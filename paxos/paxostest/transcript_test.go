package paxostest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"gfslab/paxos"
)

// TestTranscripts plays testdata/*.txt, in which every message is moved by hand.
// The commands:
//
//	cluster nodes=3 [window=8] [page=4096] [preprepare] [checkquorum] [disk-first]
//	    [raft] [up-to-date] [vote] [keep] [contiguous] [q1=] [q2=]
//	    [unsafe]  take what New refuses, and watch agreement only
//	campaign node=N            start an election
//	propose node=N value=(a,b) propose values
//	read node=N id=I           ask for a confirmed read
//	tick node=N [count=1]      let time pass on one node
//	deliver [from= to= kind= count= quiet]  deliver what matches until nothing does
//	drop [from= to= kind=]     lose what matches
//	inject from= to= kind= ballot= [chosen=]  a message from nowhere (an old copy)
//	hold node=N / release node=N     stop a disk, let it go on
//	crash node=N [survive=0] / restart node=N
//	snapshot node=N [trailing=0]     save a snapshot, cut the log below it
//	fetched node=N [fail] [untold]   the snapshot that it asked for arrives, or does not, or it crashes before it hears of it
//	state node=(N,M)           what nodes believe, and what their disks hold
//
// The monitors watch; what they object to is printed as a violation.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &stage{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			s.play(t, d)
			if s.out.Len() == 0 {
				return "ok"
			}
			return s.out.String()
		})
	})
}

// stage is a cluster whose every step the transcript orders.
type stage struct {
	*monitors
	peers  []*peer
	flight []paxos.Message
	held   map[paxos.NodeID]bool
	asked  map[uint64]uint64
	muted  bool
	// agreed holds what was applied first in each slot, in an unsafe cluster: there the
	// one question is whether agreement is lost, and no other monitor interferes.
	agreed map[uint64]string
	out    strings.Builder
}

func (s *stage) play(t *testing.T, d *datadriven.TestData) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Violation:
			s.say("VIOLATION %s: %s", r.Monitor, r.Detail)
		case string:
			s.say("VIOLATION assertion: %s", r)
		default:
			panic(r)
		}
	}()
	if s.muted = d.HasArg("quiet"); d.Cmd == "cluster" {
		s.cluster(t, d)
		return
	}
	for _, p := range s.selected(t, d) {
		s.on(t, d, p)
	}
	switch d.Cmd {
	case "deliver":
		s.deliver(filterOf(t, d))
	case "drop":
		s.drop(filterOf(t, d))
	case "inject":
		f := filterOf(t, d)
		m := paxos.Message{Kind: f.kind, From: f.from, To: f.to, Ballot: ballotArg(t, d)}
		d.MaybeScanArgs(t, "chosen", &m.Chosen)
		s.flight = append(s.flight, m)
	case "campaign", "propose", "read", "tick", "hold", "release", "crash", "restart", "snapshot", "fetched", "state", "members", "transfer", "resign":
	case "join":
		s.join(t)
	default:
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
}

// on runs a command on one node.
func (s *stage) on(t *testing.T, d *datadriven.TestData, p *peer) {
	switch d.Cmd {
	case "campaign":
		p.node.Campaign()
	case "propose":
		for _, a := range d.CmdArgs {
			for i := 0; a.Key == "value" && i < len(a.Vals); i++ {
				s.proposed[a.Vals[i]] = true
				slot, err := p.node.Propose([]byte(a.Vals[i]))
				s.result(err, "slot %d", slot)
			}
		}
	case "read":
		id := scan(t, d, "id", 0)
		s.asked[uint64(id)] = s.appliedMax
		s.result(p.node.ReadIndex(uint64(id)), "asked")
	case "tick":
		for range scan(t, d, "count", 1) {
			p.node.Tick()
			s.step(p)
		}
	case "hold":
		s.held[p.id] = true
	case "release":
		delete(s.held, p.id)
		for i := range p.writes {
			p.writes[i].due = 0
		}
	case "crash":
		p.crash(min(scan(t, d, "survive", 0), len(p.writes)))
		s.flight = slices.DeleteFunc(s.flight, func(m paxos.Message) bool { return m.To == p.id })
	case "restart":
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		s.restarted(p)
	case "snapshot":
		p.capture(uint64(scan(t, d, "trailing", 0)))
	case "fetched":
		if p.fetch.From == 0 {
			t.Fatalf("%s: node %d asked for no snapshot", d.Pos, p.id)
		}
		if from := s.peers[p.fetch.From-1]; d.HasArg("fail") {
			p.node.FetchFailed(from.id)
			p.fetch = paxos.Fetch{}
		} else {
			p.fetched(from, !d.HasArg("untold"))
		}
	case "state":
		s.state(p)
	default:
		s.lead(t, d, p)
	}
	s.step(p)
}

func (s *stage) step(p *peer) {
	if p.up {
		p.drain()
		p.persist(s.now)
		p.execute(math.MaxInt)
	}
}

func (s *stage) cluster(t *testing.T, d *datadriven.TestData) {
	*s = stage{held: map[paxos.NodeID]bool{}, asked: map[uint64]uint64{}, muted: s.muted}
	var ids []paxos.NodeID
	for i := range scan(t, d, "nodes", 3) {
		ids = append(ids, paxos.NodeID(i+1))
	}
	conf := stageConfig(t, d)
	if conf.Unsafe {
		s.agreed = map[uint64]string{}
	}
	s.monitors = newMonitors(ids, conf)
	for _, id := range ids {
		c := conf
		c.ID, c.Peers, c.Seed = id, ids, uint64(id)
		p := &peer{id: id, config: c, disk: &disk{}, world: s}
		s.peers = append(s.peers, p)
		if err := p.start(); err != nil {
			s.say("refused: %v", err)
			return
		}
		s.restarted(p)
	}
}

// stageConfig reads the protocol of a cluster.
func stageConfig(t *testing.T, d *datadriven.TestData) paxos.Config {
	c := paxos.Config{HeartbeatTicks: 2, ElectionTicks: 10,
		Window: scan(t, d, "window", 8), MaxMessageBytes: scan(t, d, "page", 4096),
		PrePrepare: d.HasArg("preprepare"), CheckQuorum: d.HasArg("checkquorum"), LeaderDiskParallel: !d.HasArg("disk-first"),
		Phase1Quorum: scan(t, d, "q1", 0), Phase2Quorum: scan(t, d, "q2", 0), Unsafe: d.HasArg("unsafe")}
	terms(t, d, &c)
	if d.HasArg("raft") {
		c.Switches = paxos.RaftMode()
	}
	for name, set := range map[string]func(*paxos.Switches){
		"up-to-date": func(s *paxos.Switches) { s.Eligibility = paxos.UpToDate },
		"vote":       func(s *paxos.Switches) { s.Number = paxos.OneVote },
		"keep":       func(s *paxos.Switches) { s.OldSlots = paxos.Kept },
		"contiguous": func(s *paxos.Switches) { s.Acceptance = paxos.Contiguous },
	} {
		if d.HasArg(name) {
			set(&c.Switches)
		}
	}
	return c
}

func (s *stage) state(p *peer) {
	if p.up {
		st := p.node.Status()
		s.say("node %d: %v of %v, leader %d, chosen %d, applied %d", p.id, st.Role, st.Ballot, st.Leader, st.Chosen, st.Applied)
	} else {
		s.say("node %d: down", p.id)
	}
	line := fmt.Sprintf("  disk: promised %v;", p.disk.hardState.Promised)
	if p.disk.snapshot.Slot > 0 {
		line += fmt.Sprintf(" snapshot through %d, log cut through %d;", p.disk.snapshot.Slot, p.disk.compacted)
	}
	for _, e := range p.disk.entries {
		if e.Slot != 0 {
			line += fmt.Sprintf(" %d=%s@%v", e.Slot, show(e.Value), e.Ballot)
		}
	}
	s.say("%s", line)
}

func (s *stage) deliver(f filter) {
	done := 0
	for i := 0; i < len(s.flight) && (f.count == 0 || done < f.count); {
		m := s.flight[i]
		if !f.matches(m) {
			i++
			continue
		}
		s.flight = slices.Delete(s.flight, i, i+1)
		s.say("%s", describe(m))
		done++
		p := s.peers[m.To-1]
		if !p.up {
			continue
		}
		if err := p.node.Step(m); err != nil {
			s.say("  error: %v", err)
		}
		s.step(p)
		i = 0
	}
}

func (s *stage) drop(f filter) {
	s.flight = slices.DeleteFunc(s.flight, func(m paxos.Message) bool {
		if f.matches(m) {
			s.say("lost: %s", describe(m))
		}
		return f.matches(m)
	})
}

func (s *stage) say(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); !s.muted || strings.HasPrefix(line, "VIOLATION") || strings.HasPrefix(line, "AGREEMENT") {
		s.out.WriteString(line + "\n")
	}
}

func (s *stage) result(err error, format string, args ...any) {
	if err != nil {
		s.say("error: %v", err)
		return
	}
	s.say(format, args...)
}

// The stage is the peers' sink.

func (s *stage) handed(p *peer, rd paxos.Ready) {
	if s.agreed == nil {
		s.monitors.handed(p, rd)
	}
}

func (s *stage) durable(p *peer, w write) {
	if s.agreed == nil {
		s.monitors.durable(p, w)
	}
}

func (s *stage) writeDelay(p *peer) int {
	if s.held[p.id] {
		return math.MaxInt
	}
	return 0
}

func (s *stage) sent(p *peer, m paxos.Message) {
	if s.agreed == nil {
		s.monitors.sent(p, m)
	}
	s.flight = append(s.flight, m)
}

func (s *stage) applied(p *peer, e paxos.Entry) {
	s.say("  node %d applies %d=%s", p.id, e.Slot, show(e.Value))
	if s.agreed == nil {
		s.monitors.applied(p, e)
		return
	}
	if first, ok := s.agreed[e.Slot]; !ok {
		s.agreed[e.Slot] = show(e.Value)
	} else if first != show(e.Value) {
		s.say("AGREEMENT LOST: slot %d was applied as %s before", e.Slot, first)
	}
}

func (s *stage) restored(p *peer) {
	s.monitors.restored(p)
	s.say("  node %d takes over the state through %d", p.id, p.stateAt)
}

func (s *stage) fetching(p *peer) {
	s.say("  node %d asks node %d for a snapshot through %d", p.id, p.fetch.From, p.fetch.Slot)
}

func (s *stage) read(p *peer, r paxos.Read) {
	s.monitors.read(p, r, s.asked[r.ID])
	if r.Refused {
		s.say("  node %d refuses read %d", p.id, r.ID)
		return
	}
	s.say("  node %d confirms read %d at slot %d", p.id, r.ID, r.Slot)
}

// filter selects messages in flight.
type filter struct {
	from, to paxos.NodeID
	kind     paxos.Kind
	count    int // deliver no more, 0 = all
}

func (f filter) matches(m paxos.Message) bool {
	return (f.from == 0 || f.from == m.From) && (f.to == 0 || f.to == m.To) && (f.kind == 0 || f.kind == m.Kind)
}

func filterOf(t *testing.T, d *datadriven.TestData) (f filter) {
	f.count = scan(t, d, "count", 0)
	f.from, f.to = paxos.NodeID(scan(t, d, "from", 0)), paxos.NodeID(scan(t, d, "to", 0))
	var name string
	if d.MaybeScanArgs(t, "kind", &name); name == "" {
		return f
	}
	for f.kind = paxos.MsgPrePrepare; f.kind.String() != name; f.kind++ {
		if strings.HasPrefix(f.kind.String(), "Kind(") {
			t.Fatalf("%s: no kind of message is called %s", d.Pos, name)
		}
	}
	return f
}

func (s *stage) selected(t *testing.T, d *datadriven.TestData) (ps []*peer) {
	for _, a := range d.CmdArgs {
		for i := 0; a.Key == "node" && i < len(a.Vals); i++ {
			n, err := strconv.Atoi(a.Vals[i])
			if err != nil || n < 1 || n > len(s.peers) {
				t.Fatalf("%s: there is no node %q", d.Pos, a.Vals[i])
			}
			ps = append(ps, s.peers[n-1])
		}
	}
	return ps
}

func scan(t *testing.T, d *datadriven.TestData, key string, otherwise int) int {
	n := otherwise
	d.MaybeScanArgs(t, key, &n)
	return n
}

func ballotArg(t *testing.T, d *datadriven.TestData) (b paxos.Ballot) {
	var text string
	d.ScanArgs(t, "ballot", &text)
	if _, err := fmt.Sscanf(text, "%d.%d", &b.Round, &b.Node); err != nil {
		t.Fatalf("%s: %q is no ballot", d.Pos, text)
	}
	return b
}
