package engine

import (
	"errors"
	"slices"
	"testing"

	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// entries are those from..to, each its own small batch of nothing.
func entries(from, to uint64) (list []storage.Entry) {
	for i := from; i <= to; i++ {
		list = append(list, storage.Entry{Index: i, Stamp: 1})
	}
	return list
}

type snapshotRun struct {
	t    *testing.T
	core *compactor
	s    *Scheduler
	fx   Effects
}

func newSnapshotRun(t *testing.T, every, trailing uint64, found Recovered) *snapshotRun {
	core := &compactor{}
	return &snapshotRun{t: t, core: core, s: NewScheduler(SchedulerOptions{
		Node: 0, Core: core, ElectionTicks: 4, SnapshotEvery: every, TrailingEntries: trailing, Recovered: found,
	})}
}

// apply hands entries out and expects a capture to be asked for, or none (0).
func (r *snapshotRun) apply(from, to, capture uint64) {
	r.t.Helper()
	r.core.ready = append(r.core.ready, Ready{Apply: entries(from, to)})
	r.run()
	if r.fx.Capture != capture {
		r.t.Fatalf("after %d-%d a capture at %d, want %d", from, to, r.fx.Capture, capture)
	}
}

func (r *snapshotRun) run() {
	r.fx.Reset()
	r.s.Run(&r.fx)
}

// captured reports a capture and expects it to be written with the core's data.
func (r *snapshotRun) captured(index uint64) {
	r.t.Helper()
	r.fx.Reset()
	r.s.Captured(index, 1, nil, &r.fx)
	if m := r.fx.Save; m == nil || m.Index != index || m.Stamp != 1 || len(m.Data) == 0 || r.core.applied != index {
		r.t.Fatalf("captured through %d: to be saved is %+v, the core has heard of %d", index, m, r.core.applied)
	}
}

// saved reports it durable and expects a write that compacts to (0: none).
func (r *snapshotRun) saved(compact uint64) {
	r.t.Helper()
	r.fx.Reset()
	r.s.Saved(77, nil, &r.fx)
	r.s.Run(&r.fx)
	got := uint64(0)
	if r.fx.Write != nil {
		got = r.fx.Write.CompactTo
	}
	if got != compact {
		r.t.Fatalf("the log is cut to %d, want %d", got, compact)
	}
}

// The turn of node 0 is 0, to keep the figures below round.
func TestSnapshotsAreTakenInTurn(t *testing.T) {
	r := newSnapshotRun(t, 10, 4, Recovered{})
	r.apply(1, 9, 0)
	r.apply(10, 12, 10)
	r.apply(13, 25, 0) // one is under way
	r.captured(10)
	r.apply(26, 39, 0)
	r.saved(6)
	if e := r.fx.Events; len(e) != 1 || e[0].Kind != consensus.EventSnapshot || e[0].Index != 10 {
		t.Errorf("events %+v", e)
	}
	if !slices.Equal(r.core.cut, []uint64{6}) || r.s.Snapshot().Index != 10 || r.s.Compacted() != 6 {
		t.Errorf("the core was told to cut at %v; newest %d, cut %d", r.core.cut, r.s.Snapshot().Index, r.s.Compacted())
	}
	if r.fx.Capture != 0 {
		t.Errorf("a capture at %d, which the state machine may have passed", r.fx.Capture)
	}
	r.s.Wrote(&r.fx)
	r.apply(40, 40, 40)
	r.s.Captured(40, 1, errors.New("no memory"), &r.fx)
	r.run()
	if r.fx.Capture != 0 {
		t.Error("what failed is tried again at once")
	}
	r.apply(41, 75, 70) // the highest one only
	r.captured(70)
	r.saved(66)
}

func TestNoSnapshotsWhenOff(t *testing.T) {
	newSnapshotRun(t, 0, 0, Recovered{}).apply(1, 1000, 0)
}

func TestASnapshotAfterARestart(t *testing.T) {
	found := Recovered{Compacted: 16, Snapshot: storage.SnapshotInfo{SnapshotMeta: storage.SnapshotMeta{Index: 20, Stamp: 1}}}
	r := newSnapshotRun(t, 10, 4, found)
	r.apply(21, 29, 0)
	r.apply(30, 30, 30)
	r.captured(30)
	r.saved(26)
}

// TestSnapshotOnRequest: whoever asks while one is under way waits for the next;
// the answer comes when the log is cut.
func TestSnapshotOnRequest(t *testing.T) {
	r := newSnapshotRun(t, 0, 0, Recovered{})
	expect := func(what string, want ...uint64) {
		t.Helper()
		var got []uint64
		for _, e := range r.fx.Snapshots {
			if got = append(got, e.Ticket); e.Err != nil {
				t.Fatal(e.Err)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s: answered are %v, want %v", what, got, want)
		}
	}
	if ticket := r.s.RequestSnapshot(); ticket != 1 {
		t.Fatalf("ticket %d", ticket)
	}
	r.run()
	if len(r.fx.Snapshots) != 1 || !errors.Is(r.fx.Snapshots[0].Err, consensus.ErrRefused) {
		t.Fatalf("a snapshot of nothing: %+v", r.fx.Snapshots)
	}
	r.s.RequestSnapshot()
	r.apply(1, 5, 5)
	r.s.RequestSnapshot()
	r.apply(6, 7, 0)
	r.captured(5)
	r.saved(5)
	expect("the log is not cut yet")
	if r.fx.Capture != 7 {
		t.Fatalf("a capture at %d for the second request, want 7", r.fx.Capture)
	}
	r.fx.Reset()
	r.s.Wrote(&r.fx)
	r.s.Run(&r.fx)
	expect("the first", 2)
	if got := r.fx.Snapshots[0].Info; got != (consensus.SnapshotInfo{Index: 5, Term: 1, Bytes: 77}) {
		t.Errorf("the first was told of %+v", got)
	}
	r.captured(7)
	r.saved(7)
	r.fx.Reset()
	r.s.Wrote(&r.fx)
	r.s.Run(&r.fx)
	expect("the second", 3)
	r.s.RequestSnapshot()
	r.run()
	expect("nothing has changed since", 4)
}

// joiner is a core that learns of its members from the log.
type joiner struct {
	compactor
	members consensus.Members
}

func (j *joiner) Members() consensus.Members           { return j.members }
func (j *joiner) ProposeChange(consensus.Change) error { return ErrNotLeader }

// TestAFetchedSnapshotOvertakes: the capture under way is of no use any more.
func TestAFetchedSnapshotOvertakes(t *testing.T) {
	r := newSnapshotRun(t, 10, 0, Recovered{})
	fetched := storage.SnapshotInfo{SnapshotMeta: storage.SnapshotMeta{Index: 50, Stamp: 3}, Fetched: true}
	r.apply(1, 10, 10)
	r.s.Fetched(fetched, nil, &r.fx)
	meta := fetched.SnapshotMeta
	r.core.ready = append(r.core.ready,
		Ready{Apply: entries(11, 20)},
		Ready{Token: 1, Install: &meta, Persist: Persist{TruncateFrom: 11, Entries: []storage.Entry{{Index: 49}, {Index: 51}}}},
		Ready{Apply: entries(51, 52)})
	r.run()
	if r.fx.Restore == nil || r.fx.Restore.Index != 50 || len(r.fx.Apply) != 2 || r.fx.Apply[0].Index != 51 || r.fx.Capture != 0 {
		t.Fatalf("restore %+v, apply %+v, capture %d", r.fx.Restore, r.fx.Apply, r.fx.Capture)
	}
	if w := r.fx.Write; w == nil || w.TruncateFrom != 1 || w.CompactTo != 50 || len(w.Entries) != 1 || w.Entries[0].Index != 51 {
		t.Fatalf("the log's write: %+v", w)
	}
	r.fx.Reset()
	r.s.Captured(10, 1, nil, &r.fx)
	if r.fx.Save != nil {
		t.Fatalf("a snapshot below the fetched one is to be saved: %+v", r.fx.Save)
	}
	r.apply(53, 60, 0) // the log still holds what the fetched one contradicts
	r.s.Wrote(&r.fx)
	r.run()
	if r.fx.Capture != 60 {
		t.Fatalf("a capture at %d when the log is cut, want 60", r.fx.Capture)
	}
}

// TestAFetchedSnapshotReportedLate: our own, which came after it, stays the newest.
func TestAFetchedSnapshotReportedLate(t *testing.T) {
	r := newSnapshotRun(t, 10, 0, Recovered{})
	r.apply(1, 10, 10)
	r.captured(10)
	r.saved(10)
	r.s.Fetched(storage.SnapshotInfo{SnapshotMeta: storage.SnapshotMeta{Index: 7, Stamp: 1}, Fetched: true}, nil, &r.fx)
	r.run()
	if got := r.s.Snapshot(); got.Index != 10 || got.Fetched {
		t.Fatalf("the newest snapshot is taken for %+v", got)
	}
}

// TestCompactionDropsWhatWaits: entries that wait behind a write, and those that
// a core asks for late, are not put below the cut.
func TestCompactionDropsWhatWaits(t *testing.T) {
	r := newSnapshotRun(t, 10, 2, Recovered{})
	persist := func(token uint64, indexes ...uint64) {
		rd := Ready{Token: token}
		for _, i := range indexes {
			rd.Persist.Entries = append(rd.Persist.Entries, storage.Entry{Index: i, Stamp: token})
		}
		r.core.ready = append(r.core.ready, rd)
		r.run()
	}
	r.apply(1, 10, 10)
	persist(1, 10)      // out
	persist(2, 7, 8, 9) // waits
	r.captured(10)
	r.fx.Reset()
	r.s.Saved(1, nil, &r.fx)
	persist(3, 5, 8, 11)
	r.fx.Reset()
	r.s.Wrote(&r.fx)
	r.s.Run(&r.fx)
	w := r.fx.Write
	var got []uint64
	for _, e := range w.Entries {
		got = append(got, e.Index)
	}
	if w.CompactTo != 8 || !slices.Equal(got, []uint64{9, 11}) {
		t.Fatalf("the log is cut to %d and given %v", w.CompactTo, got)
	}
}

// TestAJoinerTakesNoSnapshotThatNamesNobody: founders are not in the log.
func TestAJoinerTakesNoSnapshotThatNamesNobody(t *testing.T) {
	core := &joiner{}
	s := NewScheduler(SchedulerOptions{Core: core, ElectionTicks: 4, SnapshotEvery: 10, Peers: []consensus.Peer{peer(1)}})
	var fx Effects
	run := func(rd Ready, capture uint64) {
		t.Helper()
		core.ready = append(core.ready, rd)
		fx.Reset()
		s.Run(&fx)
		if fx.Capture != capture {
			t.Fatalf("a capture at %d, want %d", fx.Capture, capture)
		}
	}
	run(Ready{Apply: entries(1, 15)}, 0)
	s.RequestSnapshot()
	run(Ready{}, 0)
	if len(fx.Snapshots) != 1 || !errors.Is(fx.Snapshots[0].Err, consensus.ErrRefused) {
		t.Fatalf("on request: %+v", fx.Snapshots)
	}
	core.members = consensus.Founders([]consensus.Peer{peer(1), peer(2)})
	core.members.Index = 25
	run(Ready{Apply: entries(16, 26), Members: []MembersChange{{25, core.members}}}, 0) // due at 20
	run(Ready{Apply: entries(27, 30)}, 30)
}
