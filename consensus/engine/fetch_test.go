package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/storage"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
)

// compactor is a fakeCore that wants snapshots.
type compactor struct {
	fakeCore
	data    func(index uint64) []byte
	cut     []uint64
	fetched []storage.SnapshotMeta
	failed  []consensus.NodeID
}

func (c *compactor) SnapshotData(index uint64) []byte {
	if c.data == nil {
		return fmt.Appendf(nil, "data of %d", index)
	}
	return c.data(index)
}
func (c *compactor) Compact(index uint64, _ storage.SnapshotMeta) { c.cut = append(c.cut, index) }
func (c *compactor) Fetched(m storage.SnapshotMeta)               { c.fetched = append(c.fetched, m) }
func (c *compactor) FetchFailed(from consensus.NodeID)            { c.failed = append(c.failed, from) }

// library is one node that fetches or serves: a scheduler, its log, its files.
type library struct {
	id    consensus.NodeID
	core  *compactor
	sched *Scheduler
	log   *storage.Log
	io    *SnapshotIO
	fx    Effects
	// What the files are to do, done one by one when the test lets them.
	jobs []func()
	// unreadable, if not 0, is from where on the disk does not give the snapshot back.
	unreadable int64
}

func openLog(t *testing.T, fs disk.FS) *storage.Log {
	t.Helper()
	log, err := storage.Open(storage.Options{FS: fs, Dir: "log"})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func newLibrary(t *testing.T, id consensus.NodeID) *library {
	core := &compactor{}
	l := &library{id: id, core: core, log: openLog(t, faultdisk.NewMem(uint64(id)))}
	l.io = NewSnapshotIO(l.log)
	l.sched = NewScheduler(SchedulerOptions{Node: id, Core: core, ElectionTicks: 4})
	t.Cleanup(func() {
		if err := errors.Join(l.io.Close(), l.log.Close()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// body is what a snapshot through index holds.
func body(index uint64, size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(index)}).Read(b)
	return b
}

func (l *library) save(t *testing.T, index uint64, size int) {
	t.Helper()
	err := l.log.SaveSnapshot(storage.SnapshotMeta{Index: index, Stamp: 1, Data: []byte("members")}, func(w io.Writer) error {
		_, err := w.Write(body(index, size))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// run carries out what the scheduler wants; send gets each frame.
func (l *library) run(send func(to consensus.NodeID, frame []byte)) {
	l.sched.Run(&l.fx)
	for _, m := range l.fx.Send {
		send(m.To, AppendFrame(nil, m.Body))
	}
	for _, p := range l.fx.Store {
		l.jobs = append(l.jobs, func() { l.sched.Stored(p, l.io.Store(p)) })
	}
	if file := l.fx.Finish; file != 0 {
		l.jobs = append(l.jobs, func() {
			got, err := l.io.Finish(file)
			if err != nil {
				l.sched.Fetched(storage.SnapshotInfo{}, err, &l.fx)
				return
			}
			l.sched.Fetched(got.Info, errors.Join(err, got.Close()), &l.fx)
		})
	}
	for _, q := range l.fx.Serve {
		l.jobs = append(l.jobs, func() {
			info, offset, data, err := l.io.Serve(q)
			if err == nil && l.unreadable > 0 && offset >= l.unreadable {
				err = errors.New("input/output error")
			}
			l.sched.Served(q, info, offset, data, err, &l.fx)
		})
	}
	l.fx.Reset()
}

func (l *library) work() {
	if len(l.jobs) > 0 {
		job := l.jobs[0]
		l.jobs = l.jobs[1:]
		job()
	}
}

// TestFetch lets a laggard pull a snapshot from two nodes over a network that
// loses, repeats and reorders, while the snapshots are replaced and the core
// changes its mind about whom to ask. It ends with a snapshot that one of them
// had, byte for byte; and never are more pieces on their way than allowed.
func TestFetch(t *testing.T) {
	base := uint64(time.Now().UnixNano())
	for seed := base; seed < base+40; seed++ {
		if !t.Run("", func(t *testing.T) { fetchSome(t, seed) }) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func fetchSome(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 3))
	nodes := []*library{newLibrary(t, 1), newLibrary(t, 2), newLibrary(t, 3)}
	size := map[uint64]int{}
	for index := uint64(10); index <= 14; index++ {
		size[index] = rng.IntN(5 * pieceBytes)
		if rng.IntN(4) == 0 {
			size[index] = pieceBytes * rng.IntN(3) // pieces that end at the end
		}
	}
	newest := map[consensus.NodeID]uint64{1: 10, 2: 10 + rng.Uint64N(2)}
	nodes[0].save(t, newest[1], size[newest[1]])
	nodes[1].save(t, newest[2], size[newest[2]])

	type mail struct {
		from, to consensus.NodeID
		frame    []byte
	}
	var net []mail
	loss, asking := rng.IntN(15), consensus.NodeID(0)
	laggard := nodes[2]
	ask := func(index uint64) {
		asking = consensus.NodeID(1 + rng.IntN(2))
		laggard.core.ready = append(laggard.core.ready, Ready{Fetch: Fetch{From: asking, Index: index}})
	}
	ask(9)
	failures := 0
	for step := 0; len(laggard.core.fetched) == 0; step++ {
		if step > 20000 {
			t.Fatalf("nothing was fetched: %+v", laggard.sched.fetch)
		}
		l := nodes[rng.IntN(3)]
		switch what := rng.IntN(100); {
		case what < 40 && len(net) > 0:
			i := 0
			if rng.IntN(4) == 0 {
				i = rng.IntN(len(net))
			}
			m := net[i]
			if rng.IntN(100) >= 5 { // else it comes once more
				net = append(net[:i], net[i+1:]...)
			}
			if rng.IntN(100) >= loss {
				if err := nodes[m.to-1].sched.Step(m.from, bytes.Clone(m.frame)); err != nil {
					t.Fatal(err)
				}
			}
		case what < 80:
			l.work()
		case what < 90:
			l.sched.Tick()
		case what == 90 && newest[1] < 14:
			newest[1]++
			nodes[0].save(t, newest[1], size[newest[1]])
			if err := nodes[0].io.Sweep(); err != nil {
				t.Fatal(err)
			}
		case what == 91:
			ask(9)
		case what == 92:
			ask(10)
		}
		if n := len(laggard.core.failed); n > failures {
			failures = n
			ask(9)
		}
		for _, l := range nodes {
			l.run(func(to consensus.NodeID, frame []byte) { net = append(net, mail{l.id, to, frame}) })
		}
		if f := &laggard.sched.fetch; f.asked-f.stored > fetchPieces*pieceBytes && f.info.Size != 0 {
			t.Fatalf("too much is asked for: %+v", f)
		}
	}
	checkFetched(t, laggard, size)
}

func checkFetched(t *testing.T, l *library, size map[uint64]int) {
	t.Helper()
	meta, r, err := l.log.OpenSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := body(meta.Index, size[meta.Index]); !bytes.Equal(got, want) || string(meta.Data) != "members" {
		t.Fatalf("snapshot %d: %d bytes differ from the %d sent", meta.Index, len(got), len(want))
	}
	if f := l.core.fetched[0]; f.Index != meta.Index || f.Stamp != 1 || string(f.Data) != "members" {
		t.Fatalf("the core was told %+v, on disk is %d", f, meta.Index)
	}
	if got := l.sched.Snapshot(); got.Index != meta.Index || !got.Fetched {
		t.Fatalf("the scheduler believes in %+v", got)
	}
}

// twoSources is a laggard, node 3, with two nodes that have the same file.
type twoSources struct {
	t      *testing.T
	nodes  []*library
	sent   map[consensus.NodeID]int // pieces
	silent consensus.NodeID
}

// sourcePieces are those of a file of twoSources: head, body and trailer take
// one piece more than the body.
const sourcePieces = 11

func newTwoSources(t *testing.T) *twoSources {
	n := &twoSources{t: t, nodes: []*library{newLibrary(t, 1), newLibrary(t, 2), newLibrary(t, 3)}, sent: map[consensus.NodeID]int{}}
	for _, l := range n.nodes[:2] {
		l.save(t, 10, (sourcePieces-1)*pieceBytes)
	}
	return n
}

func (n *twoSources) ask(from consensus.NodeID) { n.askFor(from, 10) }

func (n *twoSources) askFor(from consensus.NodeID, index uint64) {
	core := n.nodes[2].core
	core.ready = append(core.ready, Ready{Fetch: Fetch{From: from, Index: index}})
}

// round lets all work, and then delivers all messages.
func (n *twoSources) round() {
	n.t.Helper()
	var deliver []func() error
	for _, l := range n.nodes {
		for len(l.jobs) > 0 {
			l.work()
		}
		l.run(func(to consensus.NodeID, frame []byte) {
			if l.id == n.silent || to == n.silent {
				return
			}
			if frame[0] == framePiece {
				n.sent[l.id]++
			}
			deliver = append(deliver, func() error { return n.nodes[to-1].sched.Step(l.id, frame) })
		})
	}
	for _, d := range deliver {
		if err := d(); err != nil {
			n.t.Fatal(err)
		}
	}
}

// ticks lets time pass for all.
func (n *twoSources) ticks(count int) {
	for range count {
		for _, l := range n.nodes {
			l.sched.Tick()
		}
		n.round()
	}
}

// done checks that the file came, each piece once.
func (n *twoSources) done() {
	n.t.Helper()
	if got := n.nodes[2].core.fetched; len(got) != 1 {
		n.t.Fatalf("fetched %v", got)
	}
	if all := n.sent[1] + n.sent[2]; all != sourcePieces {
		n.t.Errorf("%d + %d pieces were sent for a file of %d", n.sent[1], n.sent[2], sourcePieces)
	}
	checkFetched(n.t, n.nodes[2], map[uint64]int{10: (sourcePieces - 1) * pieceBytes})
}

// TestFetchGoesOnElsewhere: when the first source falls silent, only what it had
// not sent comes from the second. So it does when the core gives it up, and
// when the core had named the second before.
func TestFetchGoesOnElsewhere(t *testing.T) {
	for _, before := range []bool{false, true} {
		n := newTwoSources(t)
		n.ask(1)
		for n.sent[1] < sourcePieces/2 {
			n.round()
		}
		failed := []consensus.NodeID{1}
		if before {
			n.ask(2)
			failed = nil
		}
		n.silent = 1
		n.ticks(30)
		if got := n.nodes[2].core.failed; !slices.Equal(got, failed) {
			t.Fatalf("given up: %v, want %v", got, failed)
		}
		if !before {
			n.ask(2)
		}
		n.ticks(100)
		n.done()
	}
}

// TestFetchStaysWithItsSource as long as that sends what serves, whoever leads
// meanwhile.
func TestFetchStaysWithItsSource(t *testing.T) {
	n := newTwoSources(t)
	n.ask(1)
	for n.sent[1] < sourcePieces/2 {
		n.round()
	}
	n.ask(2)
	n.ticks(50)
	n.done()
	if n.sent[2] > 0 {
		t.Errorf("%d pieces came from node 2", n.sent[2])
	}
}

// TestFetchOfAnOlderSnapshot: a leader dies while it sends its snapshot; its
// successor's is older, and serves all the same.
func TestFetchOfAnOlderSnapshot(t *testing.T) {
	for _, before := range []bool{false, true} {
		n := newTwoSources(t)
		n.nodes[1] = newLibrary(t, 2)
		n.nodes[1].save(t, 8, 3*pieceBytes)
		n.ask(1)
		for n.sent[1] < sourcePieces/2 {
			n.round()
		}
		if before {
			n.askFor(2, 8)
		}
		n.silent = 1
		laggard := n.nodes[2].core
		for told := 0; len(laggard.fetched) == 0 && told < 10; n.ticks(1) {
			if len(laggard.failed) > told {
				told = len(laggard.failed)
				n.askFor(2, 8)
			}
		}
		if len(laggard.failed) > 2 {
			t.Errorf("given up: %v", laggard.failed)
		}
		checkFetched(t, n.nodes[2], map[uint64]int{8: 3 * pieceBytes})
	}
}

// TestFetchOfWhatIsNotThere: a source with no snapshot, or an old one, says so,
// and is not asked again at once.
func TestFetchOfWhatIsNotThere(t *testing.T) {
	for _, have := range []uint64{0, 5} {
		source, laggard := newLibrary(t, 1), newLibrary(t, 2)
		if have > 0 {
			source.save(t, have, 10)
		}
		requests := 0
		nodes := []*library{source, laggard}
		for range 20 {
			if len(laggard.core.failed) > 0 || requests == 0 {
				laggard.core.ready = append(laggard.core.ready, Ready{Fetch: Fetch{From: 1, Index: 6}})
			}
			for _, l := range nodes {
				l.work()
				l.run(func(to consensus.NodeID, frame []byte) {
					if to == 1 {
						requests++
					}
					if err := nodes[to-1].sched.Step(l.id, frame); err != nil {
						t.Fatal(err)
					}
				})
			}
		}
		if len(laggard.core.failed) == 0 || requests != 1 {
			t.Errorf("with a snapshot through %d: %d requests without a tick, given up %v", have, requests, laggard.core.failed)
		}
		if len(laggard.core.fetched) > 0 {
			t.Errorf("fetched %v", laggard.core.fetched)
		}
	}
}

// FuzzStep: whatever arrives, it is refused or harmless.
func FuzzStep(f *testing.F) {
	f.Add([]byte{frameRequest})
	f.Add(PieceRequest{Index: 3}.Append(nil))
	f.Add((&piece{info: storage.SnapshotInfo{SnapshotMeta: storage.SnapshotMeta{Index: 9}, Size: 30}, data: []byte("x")}).Append(nil))
	f.Add(none{4}.Append(nil))
	f.Add([]byte{frameCore, 1})
	f.Fuzz(func(t *testing.T, frame []byte) {
		core := &compactor{}
		s := NewScheduler(SchedulerOptions{Node: 1, Core: core, ElectionTicks: 4})
		core.ready = append(core.ready, Ready{Fetch: Fetch{From: 2, Index: 5}})
		var fx Effects
		s.Run(&fx)
		for range 2 * servePieces {
			if err := s.Step(2, frame); err != nil && len(frame) > 0 && frame[0] != frameCore && !errors.Is(err, errFrame) {
				t.Fatal(err)
			}
		}
		s.Run(&fx)
		if len(fx.Serve) > servePieces || len(fx.Store) > 2*servePieces || len(core.fetched) > 0 {
			t.Fatalf("%d to serve, %d to store", len(fx.Serve), len(fx.Store))
		}
		for _, p := range fx.Store {
			if p.Info.Index < 5 || p.Offset < 0 || p.Offset+int64(len(p.Data)) > p.Info.Size {
				t.Fatalf("a piece was taken: %+v", p)
			}
		}
	})
}
