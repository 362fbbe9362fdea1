package workloads

import (
	"math"
	"strings"
	"testing"
	"time"
)

// profile opens a profile with fewer files than it asks for.
func profile(t *testing.T, name string, cfg Config) Workload {
	t.Helper()
	w, err := New(name, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestMixes compares what the profiles draw with their sources' tables: shares in
// percent, by a chi-square test at six standard deviations.
func TestMixes(t *testing.T) {
	const seed, clients, n = 11, 16, 320_000
	for _, p := range []struct {
		name string
		of   func(Op) string
		want map[string]float64
	}{
		{"gfs-x", gfsRequest, map[string]float64{"Open": 26.1, "FindLocation": 64.3, "FindLeaseHolder": 7.8, "Delete": .7, "FindMatchingFiles": .6, "Other": .5}},
		{"gfs-y", gfsRequest, map[string]float64{"Open": 16.3, "FindLocation": 65.8, "FindLeaseHolder": 13.4, "Delete": 1.5, "FindMatchingFiles": 2.2, "Other": .8}},
		{"gfs-x", gfsParts, map[string]float64{
			"open": 26.1 * .95, "create": 26.1 * .05, "find-location": 64.3, "lease granted": 7.8 * .2, "lease": 7.8 * .8, "delete": .7, "match": .6,
			"mkdir": .2, "rename": .2, "snapshot": .025, "replicas": .075,
		}},
		{"spotify", spotifyRequest, map[string]float64{
			"read": 68.73, "create": 2.70, "rename": 1.30, "delete": .75, "mkdir": .02, "ls-dir": 8.52, "ls-file": .49, "stat-file": 13.04, "stat-dir": 3.96,
			"setRepl": .14, "chmod-file": .02, "chmod-dir chown-dir": .33,
		}},
		{"write-only", kindOf, map[string]float64{Create: 70, Mkdir: 5, Rename: 10, Delete: 15}},
		{"delete-gc", trashRequest, map[string]float64{Create: 49, Delete: 49, Undelete: 1, "second delete": 1}},
		{"overwrite", kindOf, map[string]float64{Write: 50, ReadBytes: 50}},
		{"bigdir", kindOf, map[string]float64{List: 40, Create: 25, Delete: 25, Stat: 10}},
	} {
		w := profile(t, p.name, Config{Clients: clients})
		counts, total := map[string]float64{}, 0.0
		for _, op := range stream(w, seed, clients, n) {
			counts[p.of(op)]++
		}
		for _, share := range p.want {
			total += share
		}
		if math.Abs(total-100) > 1e-9 {
			t.Fatalf("%s: the table adds up to %.3f", p.name, total)
		}
		chi := 0.0
		for name, share := range p.want {
			expect := n * share / 100
			chi += (counts[name] - expect) * (counts[name] - expect) / expect
			delete(counts, name)
		}
		if len(counts) > 0 {
			t.Errorf("%s draws what is not in the table: %v", p.name, counts)
		}
		if free := float64(len(p.want) - 1); chi > free+6*math.Sqrt(2*free) {
			t.Errorf("%s: chi-square %.1f of %.0f degrees of freedom (seed %d)", p.name, chi, free, seed)
		}
	}
}

func kindOf(op Op) string { return op.Kind }

func gfsRequest(op Op) string {
	switch gfsParts(op) {
	case "open", "create":
		return "Open"
	case "find-location":
		return "FindLocation"
	case "lease", "lease granted":
		return "FindLeaseHolder"
	case "delete":
		return "Delete"
	case "match":
		return "FindMatchingFiles"
	}
	return "Other"
}

func gfsParts(op Op) string {
	switch op.Kind {
	case Stat:
		return "open"
	case ChunkInfo:
		return "find-location"
	case FindLease:
		if strings.Contains(op.Path, "/c") {
			return "lease granted"
		}
		return "lease"
	case List:
		return "match"
	case SetAttributes:
		return "replicas"
	}
	return op.Kind
}

func spotifyRequest(op Op) string {
	name := op.Path[strings.LastIndexByte(op.Path, '/')+1:]
	file := name[0] == 'f' || name[0] == 't'
	switch {
	case op.Kind == ChunkInfo && op.ByPath && op.Chunk == 0:
		return "read"
	case op.Kind == Create && op.Then != nil && op.Then.Kind == Allocate:
		return "create"
	case op.Kind == List && op.Prefix != "":
		return "ls-file"
	case op.Kind == List:
		return "ls-dir"
	case op.Kind == Stat && file:
		return "stat-file"
	case op.Kind == Stat:
		return "stat-dir"
	case op.Kind == SetAttributes && op.Replicas > 0 && file:
		return "setRepl"
	case op.Kind == SetAttributes && op.Retention > 0 && file:
		return "chmod-file"
	case op.Kind == SetAttributes && op.Retention > 0:
		return "chmod-dir chown-dir"
	}
	return op.Kind
}

func trashRequest(op Op) string {
	if op.Kind == Delete && op.Hidden {
		return "second delete"
	}
	return op.Kind
}

// TestSizes compares the drawn sizes with the table, bucket by bucket, at the
// paper's chunk size, and their scaling below it.
func TestSizes(t *testing.T) {
	const n = 200_000
	for name, table := range map[string]sizes{
		"read X": readSizesX, "read Y": readSizesY, "write X": writeSizesX, "write Y": writeSizesY, "append X": appendSizesX, "append Y": appendSizesY,
	} {
		total := 0
		for _, s := range table.shares {
			total += s
		}
		if total < 990 || total > 1010 {
			t.Errorf("%s: the shares add up to %d", name, total)
		}
		rng, scaled := Rand(3, 1), Rand(3, 1)
		var counts [9]float64
		for range n {
			size := table.draw(rng, paperChunk)
			bucket := 0
			for bucket < 8 && size > 0 && float64(size) >= buckets[bucket+1] {
				bucket++
			}
			counts[bucket]++
			if float64(size) > table.limit {
				t.Fatalf("%s: size %d", name, size)
			}
			if small := table.draw(scaled, paperChunk/64); size > 64*64 && (small < size/64-1 || small > size/64+1) {
				t.Fatalf("%s: %d became %d at a 64th of the chunk", name, size, small)
			}
		}
		for i, c := range counts {
			want := float64(table.shares[i]) / float64(total)
			if got := c / n; math.Abs(got-want) > 6*math.Sqrt(want/n)+1e-3 {
				t.Errorf("%s: bucket %d has %.4f of the draws, want %.4f", name, i, got, want)
			}
		}
	}
	// A Y record is about 330 KB on average but for the few above 1 MB, which add
	// 125 KB when they are log-uniform up to a quarter of a chunk.
	rng, sum := Rand(4, 1), 0.0
	for range n {
		sum += float64(appendSizesY.draw(rng, paperChunk))
	}
	if mean := sum / n; mean < 420e3 || mean > 490e3 {
		t.Errorf("the mean record of Y has %.0f bytes", mean)
	}
}

// TestRecordsFit: a record with its frame takes at most a quarter of a chunk.
func TestRecordsFit(t *testing.T) {
	for _, sizes := range SizeTables()[1:] {
		w := profile(t, "gfs-append-N", Config{Clients: 4, Sizes: sizes, ChunkBytes: 1 << 16})
		for _, op := range stream(w, 9, 4, 40_000) {
			if op.Size < 1 || op.Size > 1<<14-frameRoom {
				t.Fatalf("%s: a record of %d bytes in a chunk of %d", sizes, op.Size, 1<<16)
			}
		}
	}
}

// TestLoadSizes: how much each profile prepares.
func TestLoadSizes(t *testing.T) {
	count := func(w Workload, kind string) (n int) {
		for _, op := range flatten(w.Load(Rand(1, 0))) {
			if op.Kind == kind {
				n++
			}
		}
		return n
	}
	x := profile(t, "gfs-x", Config{Clients: 4, Files: 100})
	if files, chunks := count(x, Create), count(x, Allocate); files != 100+gfsTops*gfsTemps/2+gfsBusy*gfsDirs*gfsNames/2+4 || chunks != 135+4*coldChunks {
		t.Errorf("gfs-x loads %d files and %d chunks", files, chunks)
	}
	if chunks := count(profile(t, "gfs-y", Config{Clients: 1, Files: 100}), Allocate); chunks != 210+coldChunks {
		t.Errorf("gfs-y loads %d chunks", chunks)
	}
	s := profile(t, "spotify", Config{Clients: 5})
	if files, dirs := count(s, Create), count(s, Mkdir); files != 500 || dirs != 5*7 {
		t.Errorf("spotify loads %d files in %d directories, want 100 a client, 16 a directory", files, dirs)
	}
	if files := count(profile(t, "bigdir", Config{Clients: 1}), Create); files != 300_000 {
		t.Errorf("bigdir loads %d files", files)
	}
	if files := count(profile(t, "gfs-append-N", Config{Clients: 8, Files: 4}), Create); files != 4 {
		t.Errorf("gfs-append-N loads %d files", files)
	}
	if n := count(profile(t, "snap-append", Config{Clients: 9}), Snapshot); n != 3 {
		t.Errorf("snap-append loads %d copies of copies", n)
	}
}

// TestRoles: one client is the consumer, reader or maker of snapshots.
func TestRoles(t *testing.T) {
	for name, want := range map[string][2]string{
		"prod-cons": {ReadRecords, Append}, "snap-append": {ReadRecords, Append}, "rename-commit": {List, Create},
	} {
		w := profile(t, name, Config{Clients: 3})
		for client := range 3 {
			if got := w.Next(Rand(1, 1), client).Kind; got != want[min(client, 1)] {
				t.Errorf("%s: client %d begins with %s", name, client, got)
			}
		}
	}
	p, ok := profile(t, "snap-append", Config{Clients: 3}).(Paced)
	if !ok || p.Period(0) != 2*time.Second || p.Period(1) != 0 {
		t.Error("snap-append does not make a snapshot every 2 s")
	}
}

// TestCommitWritesBeforeItRenames: four chunks, each allocated and then written.
func TestCommitWritesBeforeItRenames(t *testing.T) {
	w := profile(t, "rename-commit", Config{Clients: 2})
	var kinds []string
	chain := flatten([]Op{w.Next(Rand(1, 1), 1)})
	for _, op := range chain {
		kinds = append(kinds, op.Kind)
	}
	if got := strings.Join(kinds, " "); got != "create"+strings.Repeat(" allocate write", 4)+" rename" {
		t.Errorf("a commit is %s", got)
	}
	if last := chain[len(chain)-1]; !strings.HasPrefix(last.Path2, "/r/final/") || last.Path != chain[0].Path {
		t.Errorf("renamed %s to %s", last.Path, last.Path2)
	}
}

// TestSnapshotsAreThreeDeep: each generation is copied from the one before.
func TestSnapshotsAreThreeDeep(t *testing.T) {
	w := profile(t, "snap-append", Config{Clients: 2})
	for tick := range 6 {
		for _, op := range flatten([]Op{w.Next(Rand(1, 1), 0)}) {
			if op.Kind == Snapshot && (op.Path != snapDirs[tick%3] || op.Path2 != snapDirs[tick%3+1]) {
				t.Errorf("tick %d copies %s to %s", tick, op.Path, op.Path2)
			}
		}
	}
}

// TestTrashKnowsItsFiles replays delete-gc against a toy namespace: nothing is
// deleted, brought back or expedited that is not there, but for what was
// brought back and deleted again.
func TestTrashKnowsItsFiles(t *testing.T) {
	w := profile(t, "delete-gc", Config{Clients: 2})
	const live, hidden = 1, 2
	state := map[string]int{}
	for _, op := range stream(w, 5, 2, 20_000) {
		was := state[op.Path]
		switch {
		case op.Kind == Create && was == 0, op.Kind == Undelete && was == hidden:
			state[op.Path] = live
		case op.Kind == Delete && !op.Hidden && was == live:
			state[op.Path] = hidden
		case op.Kind == Delete && op.Hidden && was == hidden:
			delete(state, op.Path)
		default:
			t.Fatalf("%+v in state %d", op, was)
		}
	}
}

// TestRounds: a rank creates its files, looks at its neighbour's and deletes its
// own; a client of alloc-only adds chunks in order.
func TestRounds(t *testing.T) {
	w := profile(t, "mdtest-easy", Config{Clients: 2, Files: 2})
	var got []string
	for range 7 {
		op := w.Next(nil, 1)
		got = append(got, op.Kind+op.Path)
	}
	want := "create/md1/r0-0 create/md1/r0-1 stat/md0/r0-0 stat/md0/r0-1 delete/md1/r0-0 delete/md1/r0-1 create/md1/r1-0"
	if text := strings.Join(got, " "); text != want {
		t.Errorf("a rank does %s", text)
	}
	a := profile(t, "alloc-only", Config{Clients: 2})
	next := map[string]uint32{}
	for range 1000 {
		for _, op := range flatten([]Op{a.Next(nil, 0)}) {
			if op.Kind == Allocate {
				if op.Chunk != next[op.Path] {
					t.Fatalf("%+v, want chunk %d", op, next[op.Path])
				}
				next[op.Path]++
			}
		}
	}
	if len(next) != 4 {
		t.Errorf("1000 chunks in %d files", len(next))
	}
}
