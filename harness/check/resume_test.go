package check

import (
	"slices"
	"testing"

	"gfslab/results/rundir"
)

// TestResumedLease: a lease that ran out while no master could extend it may be
// confirmed again under its epoch, as long as the log has not ended it. That is
// right; acting between the stop and the new claim is not.
func TestResumedLease(t *testing.T) {
	for _, gap := range []bool{false, true} {
		run := simulate(t, "append", 3, 8, 1200)
		events := run.Leases["cs1"]
		at := -1
		for i := range events { // one that has others of its lease before and after it
			if e := events[i]; e.Kind == rundir.LeaseAccept && i > len(events)/2 &&
				slices.ContainsFunc(events[:i], func(x rundir.LeaseEvent) bool { return x.Kind == rundir.LeaseAccept && x.Epoch == e.Epoch }) {
				at = i
				break
			}
		}
		if at < 0 {
			t.Fatal("no such mutation")
		}
		e := events[at]
		stop, again := e, e
		stop.Kind, stop.Until = rundir.LeaseStop, 0
		again.Kind = rundir.LeaseClaim
		stop.At--
		if gap {
			stop.At, again.At = e.At-1, e.At+1
		}
		// The mutation before it was accepted a moment before at the latest.
		run.Leases["cs1"] = slices.Insert(slices.Clone(events), at, stop, again)
		want := rundir.Valid
		if gap {
			want = rundir.Invalid
		}
		if v, byName := judge(t, run); byName["leases"].Verdict != want {
			t.Errorf("acting in the gap %v: %s by leases, want %s\n%s", gap, byName["leases"].Verdict, want, explain(v))
		}
	}
}
