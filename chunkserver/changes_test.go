package chunkserver

import (
	"slices"
	"testing"
)

// answered is a report to a master that was answered at once. There are no chunks
// but those that changed.
func answered(r *reports, master string) tidings {
	t := r.next(master, 4, func() []uint64 { return nil })
	r.done(master, t, false, 0)
	return t
}

// What changes while a master is being told everything is not in that report: it is
// told next, whatever the other masters have answered meanwhile.
func TestChangesDuringAFullReportAreToldNext(t *testing.T) {
	s := &Server{}
	r := &s.reports
	s.changed(1)
	answered(r, "a")
	b := r.next("b", 4, func() []uint64 { return []uint64{1} }) // under way
	if !b.full {
		t.Fatal("the first report is not of everything")
	}
	s.changed(2)
	answered(r, "a")
	r.done("b", b, false, 0)
	if next := answered(r, "b"); next.full || !slices.Equal(next.handles, []uint64{2}) {
		t.Errorf("b is told %+v; it does not know of chunk 2", next)
	}
}

// A master that falls so far behind while a report is under way that changes are
// dropped is told everything, even if it asks for nothing.
func TestChangesDroppedDuringAReportAreToldWithEverything(t *testing.T) {
	s := &Server{}
	r := &s.reports
	for _, m := range []string{"a", "b"} {
		answered(r, m)
	}
	b := r.next("b", 4, nil) // under way
	if b.full {
		t.Fatal("the second report is of everything")
	}
	var all []uint64
	for h := range uint64(maxChanges + 1) {
		s.changed(h + 1)
		all = append(all, h+1)
	}
	a := r.next("a", 2*maxChanges, nil)
	r.done("a", a, false, 0)
	if !r.done("b", b, false, 0) {
		t.Error("b is not told at once")
	}
	if n := len(r.changes); n != 0 {
		t.Errorf("%d changes are kept while b is told everything", n)
	}
	b = r.next("b", 4, func() []uint64 { return all })
	if b.full || b.run == nil || b.run.from != 0 || !slices.Equal(b.handles, all[:4]) || b.below != 5 {
		t.Errorf("b is told %+v", b)
	}
}

// Many changes go in several reports, in the order in which they came.
func TestManyChangesGoInSeveralReports(t *testing.T) {
	s := &Server{}
	r := &s.reports
	answered(r, "a")
	for _, h := range []uint64{9, 3, 7, 1, 8, 2} {
		s.changed(h)
	}
	first := r.next("a", 4, nil)
	if !slices.Equal(first.handles, []uint64{1, 3, 7, 9}) || first.full {
		t.Fatalf("%+v", first)
	}
	s.changed(3)
	if !r.done("a", first, false, 0) {
		t.Error("the rest waits for the next heartbeat")
	}
	if n := len(r.changes); n != 3 {
		t.Errorf("%d changes are kept, want those of 8, 2 and 3", n)
	}
	second := r.next("a", 4, nil)
	if !slices.Equal(second.handles, []uint64{2, 3, 8}) {
		t.Fatalf("%+v", second)
	}
	if r.done("a", second, false, 0) || len(r.changes) != 0 {
		t.Errorf("something is left to tell: %v", r.changes)
	}
}

// A master that is one again hears a count that goes on: what it heard before would
// make a new one look late.
func TestSequencesGoOnAfterAMasterWasForgotten(t *testing.T) {
	r := &(&Server{}).reports
	for range 5 {
		answered(r, "a")
	}
	r.forget("a")
	if again := answered(r, "a"); again.sequence != 6 || !again.full {
		t.Errorf("%+v", again)
	}
}
