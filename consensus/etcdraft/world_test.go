package etcdraft

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/raft/v3/raftpb"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
	faultdisk "gfslab/internal/fault/disk"
)

// world is a few cores, each over a log of its own, on one goroutine. It does
// what an engine does, at once and in order. The state of a machine is the list
// of the entries it has applied.
type world struct {
	t     *testing.T
	nodes map[consensus.NodeID]*place
	order []consensus.NodeID
	queue []envelope
	lost  func(e envelope) bool // nil loses nothing
}

type envelope struct {
	from, to consensus.NodeID
	m        *pb.Message
}

type place struct {
	id       consensus.NodeID
	fs       *faultdisk.FS
	log      *storage.Log
	core     *core
	founders consensus.Members
	applied  uint64
	state    []string
	members  []engine.MembersChange
	snapshot storage.SnapshotMeta
	image    []string
	stalled  bool // its disk: tokens are not reported
	fetches  int
	installs int
	stamp    uint64 // of applied
	reports  uint64 // the applied index is reported up to here only; 0: all of it
}

func newWorld(t *testing.T, founders ...consensus.NodeID) *world {
	w := &world{t: t, nodes: map[consensus.NodeID]*place{}}
	m := consensus.Founders(peersOf(founders...))
	for _, id := range founders {
		w.add(id, m)
	}
	return w
}

func peersOf(ids ...consensus.NodeID) (list []consensus.Peer) {
	for _, id := range ids {
		list = append(list, consensus.Peer{ID: id, Addr: fmt.Sprint("n", id)})
	}
	return list
}

// add opens a new node; one that joins has no founders.
func (w *world) add(id consensus.NodeID, founders consensus.Members) *place {
	p := &place{id: id, fs: faultdisk.NewMem(uint64(id)), founders: founders}
	w.nodes[id] = p
	w.order = append(w.order, id)
	w.open(p)
	w.t.Cleanup(func() { p.log.Close() })
	return p
}

func (w *world) open(p *place) {
	w.t.Helper()
	log, err := storage.Open(storage.Options{FS: p.fs, Dir: "log"})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := consensus.Config{Cluster: "x", Self: p.id, Limits: consensus.Matched2()}.WithDefaults()
	made, err := NewCore(cfg, log, engine.Start{Founders: p.founders, Snapshot: p.snapshot})
	if err != nil {
		w.t.Fatal(err)
	}
	p.log, p.core = log, made.(*core)
	p.applied, p.stamp, p.state = p.snapshot.Index, p.snapshot.Stamp, slices.Clone(p.image)
}

// reopen closes a node and opens it from its disk.
func (w *world) reopen(p *place) {
	w.t.Helper()
	if err := p.log.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open(p)
}

// run lets n ticks pass for all.
func (w *world) run(n int) {
	w.t.Helper()
	for range n {
		for _, id := range w.order {
			w.nodes[id].core.Tick()
		}
		w.settle()
	}
}

// settle delivers until nothing moves.
func (w *world) settle() {
	w.t.Helper()
	for range 100000 {
		moved := false
		for _, id := range w.order {
			moved = w.drain(w.nodes[id]) || moved
		}
		if len(w.queue) > 0 {
			e := w.queue[0]
			w.queue, moved = w.queue[1:], true
			if p := w.nodes[e.to]; p != nil && (w.lost == nil || !w.lost(e)) {
				frame, err := proto.Marshal(e.m)
				if err != nil {
					w.t.Fatal(err)
				}
				if err := p.core.Step(e.from, frame); err != nil {
					w.t.Logf("node %d refuses %v from %d: %v", e.to, e.m.GetType(), e.from, err)
				}
			}
		}
		if !moved {
			return
		}
	}
	w.t.Fatal("the world does not come to rest")
}

func (w *world) drain(p *place) (moved bool) {
	w.t.Helper()
	for p.core.HasReady() && !p.stalled {
		moved = true
		var rd engine.Ready
		p.core.Ready(&rd)
		w.send(p, rd.SendNow)
		if rd.Token != 0 {
			w.persist(p, &rd)
			p.core.Persisted(rd.Token)
		}
		w.send(p, rd.SendAfterPersist)
		p.members = append(p.members, rd.Members...)
		for _, e := range rd.Apply {
			if e.Index != p.applied+1 {
				w.t.Fatalf("node %d applies %d after %d", p.id, e.Index, p.applied)
			}
			p.applied, p.stamp = e.Index, e.Stamp
			if len(e.Data) > 0 && e.Data[0] != engine.ConfigMark {
				p.state = append(p.state, string(e.Data))
			}
		}
		if p.reports == 0 || p.applied <= p.reports {
			p.core.Applied(p.applied)
		} else {
			p.core.Applied(p.reports)
		}
		if rd.Fetch.From != 0 {
			p.fetches++
			w.fetch(p, rd.Fetch)
		}
		if err := p.core.Err(); err != nil {
			w.t.Fatal(err)
		}
	}
	return moved
}

func (w *world) persist(p *place, rd *engine.Ready) {
	w.t.Helper()
	b := &storage.Batch{HardState: rd.Persist.HardState, TruncateFrom: rd.Persist.TruncateFrom, Entries: rd.Persist.Entries}
	if rd.Install != nil {
		p.installs++
		if rd.Install.Index <= p.applied {
			w.t.Fatalf("node %d installs a snapshot through %d after it applied %d", p.id, rd.Install.Index, p.applied)
		}
		b.CompactTo = rd.Install.Index
		p.applied, p.stamp, p.state = rd.Install.Index, rd.Install.Stamp, slices.Clone(p.image)
	}
	if err := p.log.Commit(b); err != nil {
		w.t.Fatal(err)
	}
}

// fetch copies the peer's newest snapshot. While the peer cannot be reached
// nothing comes.
func (w *world) fetch(p *place, f engine.Fetch) {
	from := w.nodes[f.From]
	if w.lost != nil && w.lost(envelope{from: f.From, to: p.id}) || from.snapshot.Index < f.Index {
		p.core.FetchFailed(f.From)
		return
	}
	p.snapshot, p.image = from.snapshot, from.image
	p.core.Fetched(p.snapshot)
}

func (w *world) send(p *place, list []engine.Message) {
	for _, m := range list {
		w.queue = append(w.queue, envelope{p.id, m.To, (*pb.Message)(m.Body.(*body))})
	}
}

// compact takes a snapshot and cuts the log below it.
func (w *world) compact(p *place, trailing uint64) {
	w.t.Helper()
	p.snapshot = storage.SnapshotMeta{Index: p.applied, Stamp: p.stamp, Data: p.core.SnapshotData(p.applied)}
	p.image = slices.Clone(p.state)
	p.core.Compact(p.applied-trailing, p.snapshot)
	if err := p.log.Commit(&storage.Batch{CompactTo: p.applied - trailing}); err != nil {
		w.t.Fatal(err)
	}
}

// leader lets ticks pass until one node among ids leads, and returns it.
func (w *world) leader(ids ...consensus.NodeID) *place {
	w.t.Helper()
	for range 300 {
		for _, id := range ids {
			if p := w.nodes[id]; p.core.Status().Role == consensus.Leader {
				return p
			}
		}
		w.run(1)
	}
	w.t.Fatal("nobody leads")
	return nil
}

// elect makes one node the leader.
func (w *world) elect(id consensus.NodeID) *place {
	w.t.Helper()
	p := w.leader(w.order...)
	if p.id != id {
		if err := p.core.Transfer(id); err != nil {
			w.t.Fatal(err)
		}
		w.settle()
	}
	return w.leader(id)
}

func (w *world) propose(p *place, from, to int) {
	w.t.Helper()
	for i := from; i < to; i++ {
		if err := p.core.Propose(fmt.Appendf(nil, "%d", i)); err != nil {
			w.t.Fatal(err)
		}
		w.settle()
	}
}

func (w *world) change(p *place, ch consensus.Change) {
	w.t.Helper()
	if err := p.core.ProposeChange(ch); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// cut loses everything to and from the nodes.
func cut(ids ...consensus.NodeID) func(e envelope) bool {
	return func(e envelope) bool { return slices.Contains(ids, e.from) || slices.Contains(ids, e.to) }
}

// agree checks that nodes hold the same state, of n entries.
func (w *world) agree(n int, ids ...consensus.NodeID) {
	w.t.Helper()
	for _, id := range ids {
		p := w.nodes[id]
		if len(p.state) != n {
			w.t.Errorf("node %d holds %d entries, want %d (applied %d)", id, len(p.state), n, p.applied)
			continue
		}
		for i, s := range p.state {
			if s != fmt.Sprint(i) {
				w.t.Fatalf("node %d holds %q as its number %d", id, s, i)
			}
		}
	}
}
