package rundir

import "testing"

func TestUnavailableCountsWhatWasServed(t *testing.T) {
	ops := []Op{
		{Kind: KindCreate, Start: 50, End: 110, Outcome: OutcomeOK, Reply: &Reply{Code: "OK", Index: 9}},      // invoked before
		{Kind: KindStat, Start: 105, End: 106, Outcome: OutcomeOK, Reply: &Reply{Code: "OK", Index: 9}},       // a lookup
		{Kind: KindRename, Start: 105, End: 107, Outcome: OutcomeOK, Reply: &Reply{Code: "INVALID"}},          // never in the log
		{Kind: KindDelete, Start: 105, End: 120, Outcome: OutcomeFail},                                        // not done
		{Kind: KindMkdir, Start: 106, End: -1, Outcome: OutcomeUnknown},                                       // nobody knows
		{Kind: KindFindLease, Start: 106, End: 130, Outcome: OutcomeOK, Reply: &Reply{Code: "OK", Index: 10}}, // a live lease
		{Kind: KindAppend, Start: 107, End: 140, Outcome: OutcomeOK, Reply: &Reply{Code: "NOT_FOUND"}},        // no file
		{Kind: KindCreate, Start: 108, End: 190, Outcome: OutcomeOK, Reply: &Reply{Code: "EXISTS", Index: 12}},
		{Kind: KindRevoke, Start: 109, End: 180, Outcome: OutcomeOK, Reply: &Reply{Code: "OK", Index: 11}},
	}
	if ns, ok := Unavailable(ops, Fault{Inject: 100}); !ok || ns != 80 {
		t.Errorf("unavailable for %d, %v; want 80", ns, ok)
	}
	// What was invoked while the fault was still being injected does not count.
	if ns, ok := Unavailable(ops, Fault{Inject: 100, InForce: 108}); !ok || ns != 80 {
		t.Errorf("in force from 108: %d, %v; want 80 of the revocation", ns, ok)
	}
	if ns, ok := Unavailable(ops, Fault{Inject: 100, InForce: 109}); ok {
		t.Errorf("in force from 109: %d, want nothing", ns)
	}
	if _, ok := Unavailable(ops, Fault{Inject: 500}); ok {
		t.Error("served after the last operation")
	}
	if ns, ok := Unavailable([]Op{{Kind: KindAppend, Start: 101, End: 103, Outcome: OutcomeOK, Reply: &Reply{Code: "OK"}}}, Fault{Inject: 100}); !ok || ns != 3 {
		t.Errorf("an append: %d, %v", ns, ok)
	}
}
