package chunkserver

import "testing"

// What changes while a master is being told everything is not in that report: it is
// told next, whatever the other masters have answered meanwhile.
func TestChangesDuringAFullReportAreToldNext(t *testing.T) {
	s := &Server{}
	r := &s.reports
	s.changed(1)
	_, _, a, _ := r.next("a")
	r.done("a", a, false)
	_, _, b, full := r.next("b") // under way
	if !full {
		t.Fatal("the first report is not of everything")
	}
	s.changed(2)
	_, _, a, _ = r.next("a")
	r.done("a", a, false)
	r.done("b", b, false)
	if handles, _, _, full := r.next("b"); full || len(handles) != 1 || handles[0] != 2 {
		t.Errorf("b is told of %v, everything %v; it does not know of chunk 2", handles, full)
	}
}

// A master that falls so far behind while a report is under way that changes are
// dropped is told everything, even if it asks for nothing.
func TestChangesDroppedDuringAReportAreToldWithEverything(t *testing.T) {
	s := &Server{}
	r := &s.reports
	for _, m := range []string{"a", "b"} {
		_, _, upTo, _ := r.next(m)
		r.done(m, upTo, false)
	}
	_, _, b, full := r.next("b") // under way
	if full {
		t.Fatal("the second report is of everything")
	}
	for h := range uint64(maxChanges + 1) {
		s.changed(h + 1)
	}
	_, _, a, _ := r.next("a")
	r.done("a", a, false)
	r.done("b", b, false)
	handles, _, _, full := r.next("b")
	if !full && len(handles) != maxChanges+1 {
		t.Errorf("b is told of %d changes of %d", len(handles), maxChanges+1)
	}
	// Begun, that lets the changes go.
	_, _, a, _ = r.next("a")
	r.done("a", a, false)
	if n := len(r.changes); n != 0 {
		t.Errorf("%d changes are kept while b is told everything", n)
	}
}
