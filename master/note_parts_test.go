package master

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

func partReport(sequence, from, below uint64, handles ...uint64) *api.HeartbeatRequest {
	r := report(sequence, false, handles...)
	r.Part = &api.ReportPart{From: from, Below: below}
	return r
}

// known lists what a master believes to be at cs1.
func known(t *chunkservers) string {
	c := t.byName["cs1"]
	return fmt.Sprint(c.replicas.between(0, 0), c.complete)
}

// TestParts: what is known after each part of a full report, and of which ones the
// next is asked for.
func TestParts(t *testing.T) {
	servers := newChunkservers(Options{}.WithDefaults())
	gone := func(r *api.HeartbeatRequest, handles ...uint64) *api.HeartbeatRequest {
		r.Gone = handles
		return r
	}
	steps := []struct {
		what    string
		request *api.HeartbeatRequest
		from    uint64
		known   string
	}{
		{"from the middle", partReport(1, 5, 9, 5, 6), 0, "[5 6] false"},
		{"from the beginning", partReport(2, 0, 5, 1, 2), 5, "[1 2 5 6] false"},
		{"the next, without what was there", partReport(3, 5, 8, 7), 8, "[1 2 7] false"},
		{"an old one", partReport(2, 0, 5, 3, 4), 8, "[1 2 7] false"},
		{"the same", partReport(3, 5, 8, 5, 6), 8, "[1 2 7] false"},
		{"with changes before and behind", gone(partReport(4, 8, 10, 1, 3, 9, 20), 2), 10, "[1 3 7 9 20] false"},
		{"one is missing", partReport(6, 12, 0, 30), 10, "[1 3 7 9 30] false"},
		{"repeated", partReport(7, 8, 10, 8), 10, "[1 3 7 8 30] false"},
		{"the last", partReport(8, 10, 0, 20), 0, "[1 3 7 8 20] true"},
		{"repeated as its answer was lost", partReport(9, 10, 0, 20, 21), 0, "[1 3 7 8 20 21] true"},
		{"a change", gone(report(10, false, 4), 21), 0, "[1 3 4 7 8 20] true"},
		{"from the beginning once more", partReport(11, 0, 4), 4, "[4 7 8 20] false"},
		{"all in one part", partReport(12, 0, 0, 6), 0, "[6] true"},
	}
	for _, s := range steps {
		h, err := servers.note(s.request)
		if got := known(servers); err != nil || got != s.known || h.fullFrom != s.from || h.wantFull == servers.byName["cs1"].complete {
			t.Fatalf("%s: %s, %v; asks from %d (%v); want %s from %d", s.what, got, err, h.fullFrom, h.wantFull, s.known, s.from)
		}
	}
	other := partReport(13, 0, 3, 1)
	other.Boot = "c"
	if _, err := servers.note(other); err != nil {
		t.Fatal(err)
	}
	other = partReport(14, 6, 0, 7)
	other.Boot = "d" // started again in the middle
	if h, err := servers.note(other); err != nil || !h.wantFull || h.fullFrom != 0 || known(servers) != "[7] false" {
		t.Fatalf("the second part, of another boot: %v %v, %s", h, err, known(servers))
	}
}

// TestPartsReportRemovals: what a part does not mention is gone as if it were named.
func TestPartsReportRemovals(t *testing.T) {
	servers := newChunkservers(Options{}.WithDefaults())
	for _, r := range []*api.HeartbeatRequest{partReport(1, 0, 0, 1, 2, 3, 9)} {
		if _, err := servers.note(r); err != nil {
			t.Fatal(err)
		}
	}
	c, now := servers.byName["cs1"], time.Now()
	for _, handle := range []uint64{1, 2, 9} {
		c.suspects[handle], c.removing[handle] = now, now
	}
	h, err := servers.note(partReport(2, 0, 5, 2))
	if err != nil || fmt.Sprint(h.removed) != "[1]" || len(c.suspects) != 2 || len(c.removing) != 2 {
		t.Fatalf("removed %v, %v; suspects %v, removing %v; want 1 to be gone", h.removed, err, c.suspects, c.removing)
	}
}

// TestBootsThatAreOver: which of two starts was first is told by count and clock, and
// one that seems to be over and was never heard is taken when the known one is dead.
func TestBootsThatAreOver(t *testing.T) {
	type start struct {
		id      string
		count   uint64
		started int64
	}
	for _, x := range []struct {
		what    string
		heard   []start // the last one is the known one
		comes   start
		refused bool // while the known one is heard
		later   bool // and when it is not any more
	}{
		{"the next start", []start{{"a", 1, 10}}, start{"b", 2, 20}, false, false},
		{"a late one that was heard", []start{{"a", 1, 10}, {"b", 2, 20}}, start{"a", 1, 10}, true, true},
		{"a late one that was never heard", []start{{"b", 2, 20}}, start{"a", 1, 10}, true, false},
		{"after the loss of the disk", []start{{"a", 7, 10}}, start{"b", 1, 20}, false, false},
		{"a late one from before the loss of the disk", []start{{"a", 7, 10}, {"b", 1, 20}}, start{"a", 7, 10}, true, false},
		{"with the clock set back", []start{{"a", 1, 10}}, start{"b", 2, 5}, false, false},
		{"a late one from before the clock was set back", []start{{"a", 1, 10}, {"b", 2, 5}}, start{"a", 1, 10}, true, false},
		{"disk and clock", []start{{"a", 7, 10}}, start{"b", 1, 5}, true, false},
		{"nothing is told", []start{{id: "a"}}, start{id: "b"}, false, false},
		{"nothing is told, and it was heard", []start{{id: "a"}, {id: "b"}}, start{id: "a"}, true, false},
	} {
		for _, silent := range []bool{false, true} {
			for _, in := range []string{"full", "parts"} {
				now := time.Now()
				servers := newChunkservers(Options{Now: func() time.Time { return now }}.WithDefaults())
				beat := func(s start) error {
					r := partReport(1, 0, 5, 3)
					if in == "full" {
						r = report(1, true, 3)
					}
					r.Boot, r.BootCount, r.BootStartedNs = s.id, s.count, s.started
					_, err := servers.note(r)
					return err
				}
				for _, s := range x.heard {
					if err := beat(s); err != nil {
						t.Fatalf("%s: %v", x.what, err)
					}
				}
				want := x.refused
				if silent {
					now, want = now.Add(servers.o.DeadAfter+1), x.later
				}
				before := *servers.byName["cs1"]
				err := beat(x.comes)
				if refused := status.Code(err) == codes.FailedPrecondition; refused != want {
					t.Errorf("%s, known one silent %v, %s: %v; want refused %v", x.what, silent, in, err, want)
				}
				if c := servers.byName["cs1"]; want && (c.boot != before.boot || c.heard != before.heard || c.replicas != before.replicas) {
					t.Errorf("%s: refused, and taken over", x.what)
				}
			}
		}
	}
}

// A process that lost its disk, with its clock set back, is not locked out by what the
// one before it sent and came late, either.
func TestBootThatSeemsOverIsNotLockedOutForGood(t *testing.T) {
	now := time.Now()
	servers := newChunkservers(Options{Now: func() time.Time { return now }}.WithDefaults())
	beat := func(id string, count uint64, started int64) error {
		r := report(1, true, 3)
		r.Boot, r.BootCount, r.BootStartedNs = id, count, started
		_, err := servers.note(r)
		return err
	}
	first := func() error { return beat("a", 7, 10) }
	second := func() error { return beat("b", 1, 5) }
	if err := first(); err != nil {
		t.Fatal(err)
	}
	runs := func(what string) {
		t.Helper()
		for range 4 { // once every half of DeadAfter
			now = now.Add(servers.o.DeadAfter/2 + 1)
			_ = second()
			now = now.Add(servers.o.DeadAfter/2 + 1)
			if second() == nil {
				return
			}
		}
		t.Fatalf("locked out for good %s", what)
	}
	runs("after the first one")
	for range 3 {
		_ = first() // late, refused or not
		_ = first()
		runs("after a late heartbeat of the first one")
	}
	// The same if the second one was heard first.
	servers = newChunkservers(servers.o)
	if err := errors.Join(second(), first()); err != nil {
		t.Fatal(err)
	}
	runs("after the first one came late")
	// What started after both is as much to be believed as ever.
	if err := beat("c", 8, 20); err != nil {
		t.Fatal(err)
	}
	now = now.Add(servers.o.DeadAfter + 1)
	if first() == nil || second() == nil {
		t.Error("a boot that is over was taken for the present one")
	}
}

// A report of 1.5 million replicas is taken over part by part, none of which holds
// the others up for long.
func TestManyParts(t *testing.T) {
	const many, page = 1_500_000, 1024
	servers := newChunkservers(Options{}.WithDefaults())
	begin, longest := time.Now(), time.Duration(0)
	for from := uint64(0); from < many; from += page {
		r := partReport(from/page+1, from, from+page)
		for h := from; h < min(from+page, many); h++ {
			r.Chunks = append(r.Chunks, &api.ChunkReport{Handle: 3*h + 1, Version: 1, Length: 10})
		}
		r.Part.From, r.Part.Below = 3*from, 3*(from+page)
		if from+page >= many {
			r.Part.Below = 0
		}
		start := time.Now()
		h, err := servers.note(r)
		longest = max(longest, time.Since(start))
		if err != nil || h.wantFull != (r.Part.Below != 0) || h.fullFrom != r.Part.Below {
			t.Fatalf("part from %d: %v, %v", from, h, err)
		}
	}
	if c := servers.byName["cs1"]; c.replicas.count != many || !c.complete {
		t.Fatalf("%d of %d are known, complete %v", c.replicas.count, many, c.complete)
	}
	t.Logf("%d replicas in %v, a part in at most %v", many, time.Since(begin), longest)
}
