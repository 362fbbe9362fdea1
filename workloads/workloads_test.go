package workloads

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"gfslab/results/rundir"
)

func open3(t *testing.T, name string, clients int) Workload {
	t.Helper()
	w, err := New(name, Config{Clients: clients, RecordBytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// stream draws n operations, in turn for each client.
func stream(w Workload, seed uint64, clients, n int) []Op {
	var out []Op
	for c := range clients {
		rng := Rand(seed, uint64(c)+1)
		for range n / clients {
			out = append(out, w.Next(rng, c))
		}
	}
	return out
}

// flatten puts what is chained behind what it is chained to.
func flatten(ops []Op) []Op {
	var out []Op
	for _, op := range ops {
		for next := &op; next != nil; next = next.Then {
			out = append(out, *next)
		}
	}
	return out
}

func TestSameSeedSameStream(t *testing.T) {
	for _, d := range All() {
		a, b := open3(t, d.Name, 8), open3(t, d.Name, 8)
		if !reflect.DeepEqual(stream(a, 7, 8, 800), stream(b, 7, 8, 800)) {
			t.Errorf("%s: the same seed gave two streams", d.Name)
		}
		if !reflect.DeepEqual(a.Load(Rand(7, 0)), b.Load(Rand(7, 0))) {
			t.Errorf("%s: the same seed gave two loads", d.Name)
		}
		fixed := d.Name == "gfs-append-N" || d.Name == "prod-cons" || d.Name == "cas-create" // nothing is drawn
		if !fixed && reflect.DeepEqual(stream(open3(t, d.Name, 8), 7, 8, 800), stream(open3(t, d.Name, 8), 8, 8, 800)) && d.Name != "alloc-only" && d.Name != "mdtest-easy" {
			t.Errorf("%s: two seeds gave one stream", d.Name)
		}
	}
}

// TestShares holds every workload to what it promises the verdict: enough
// linearizable reads, on paths that other clients change.
func TestShares(t *testing.T) {
	for _, d := range All() {
		ops := stream(open3(t, d.Name, 16), 1, 16, 16000)
		kinds := map[string]int{}
		for _, op := range ops {
			kinds[op.Kind]++
		}
		reads := kinds[Stat] + kinds[List] + kinds[ChunkInfo] + kinds[Get]
		share := float64(reads) / float64(len(ops))
		if own := d.Name == "create" || d.Name == "append" || d.Name == "lease-churn"; own && (share < 0.26 || share > 0.36) || share*100 < float64(d.Reads) {
			t.Errorf("%s: %.1f %% linearizable reads: %v", d.Name, share*100, kinds)
		}
	}
}

// TestRenameStaysInOneTop: a rename across top directories would tie the
// components of the history together.
func TestRenameStaysInOneTop(t *testing.T) {
	top := func(p string) string { return strings.Split(p, "/")[1] }
	renames := 0
	for _, op := range stream(open3(t, "create", 4), 3, 4, 8000) {
		flat := strings.HasPrefix(op.Path, "/p")
		switch op.Kind {
		case Rename:
			renames++
			if top(op.Path) != top(op.Path2) || flat {
				t.Fatalf("%+v", op)
			}
		case List, Mkdir:
			if flat {
				t.Fatalf("%+v in a flat directory", op)
			}
		}
	}
	if renames < 200 {
		t.Errorf("only %d renames", renames)
	}
}

// TestLoadComesFirst replays Load against a toy namespace: parents exist before
// children, chunks are allocated in order, and Next only names loaded chunks.
func TestLoadComesFirst(t *testing.T) {
	for _, d := range All() {
		if IsKV(d.Name) {
			continue // keys have no parents
		}
		w := open3(t, d.Name, 5)
		dirs, files := map[string]bool{"": true}, map[string]uint32{}
		for _, op := range flatten(w.Load(Rand(1, 0))) {
			parent := op.Path[:strings.LastIndexByte(op.Path, '/')]
			switch op.Kind {
			case Mkdir:
				if !dirs[parent] {
					t.Fatalf("%s: %+v has no parent yet", d.Name, op)
				}
				dirs[op.Path] = true
			case Create:
				if !dirs[parent] {
					t.Fatalf("%s: %+v has no parent yet", d.Name, op)
				}
				files[op.Path] = 0
			case Allocate:
				if files[op.Path] != op.Chunk {
					t.Fatalf("%s: %+v is not the next chunk", d.Name, op)
				}
				files[op.Path]++
			case Snapshot:
				dirs[op.Path2] = true
			}
		}
		for _, op := range flatten(stream(w, 2, 5, 2000)) {
			switch op.Kind {
			case Create:
				files[op.Path] = 0 // a chain may go on with it
			case FindLease, Revoke:
				if op.Chunk >= files[op.Path] {
					t.Fatalf("%s: %+v names a chunk that was never loaded", d.Name, op)
				}
			case Append, ReadRecord:
				if _, ok := files[op.Path]; !ok {
					t.Fatalf("%s: %+v names a file that was never loaded", d.Name, op)
				}
			}
		}
	}
}

func TestZipf(t *testing.T) {
	cdf := zipf(100, zipfTheta)
	rng := Rand(5, 0)
	counts := make([]int, 100)
	const n = 100_000
	for range n {
		counts[draw(rng, cdf)]++
	}
	for _, rank := range []int{0, 1, 9, 99} {
		want := cdf[rank]
		if rank > 0 {
			want -= cdf[rank-1]
		}
		got := float64(counts[rank]) / n
		if math.Abs(got-want) > 0.1*want+0.001 {
			t.Errorf("rank %d: %.4f of the draws, want %.4f", rank, got, want)
		}
	}
	if ratio := float64(counts[0]) / float64(counts[1]); math.Abs(ratio-math.Pow(2, zipfTheta)) > 0.2 {
		t.Errorf("rank 0 was drawn %.2f times as often as rank 1", ratio)
	}
}

func TestArrivals(t *testing.T) {
	c, err := NewArrival(Closed, 0, 4, Rand(1, 1))
	if err != nil || c.Due(5*time.Second) != 5*time.Second {
		t.Errorf("closed: %v", err)
	}
	// Four threads at 1,000 a second together: 2,500 operations each in 10 s.
	total := 0
	for thread := range 4 {
		o, err := NewArrival(Open, 1000, 4, Rand(1, uint64(thread)))
		if err != nil {
			t.Fatal(err)
		}
		last := time.Duration(0)
		for {
			due := o.Due(time.Hour)
			if due < last {
				t.Fatalf("due times run backwards: %v after %v", due, last)
			}
			if last = due; due > 10*time.Second {
				break
			}
			total++
		}
	}
	if total < 9600 || total > 10400 { // 4 standard deviations
		t.Errorf("%d arrivals in 10 s at 1,000 a second", total)
	}
	for _, bad := range []struct {
		kind    string
		rate    float64
		clients int
	}{{Open, 0, 1}, {Open, math.NaN(), 1}, {Open, -1, 1}, {"burst", 1, 1}, {Closed, 0, 0}} {
		if _, err := NewArrival(bad.kind, bad.rate, bad.clients, Rand(1, 1)); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestUnknownNameListsTheKnown(t *testing.T) {
	_, err := New("appendd", Config{Clients: 1})
	if err == nil || !strings.Contains(err.Error(), "create, append, lease-churn") {
		t.Errorf("error %v", err)
	}
	if _, err := New("create", Config{}); err == nil {
		t.Error("no clients were taken")
	}
}

// TestKindsAreThoseOfTheHistory ties the words here to the words on disk.
func TestKindsAreThoseOfTheHistory(t *testing.T) {
	for here, there := range map[string]string{
		Create: rundir.KindCreate, Mkdir: rundir.KindMkdir, Delete: rundir.KindDelete, Rename: rundir.KindRename,
		Stat: rundir.KindStat, List: rundir.KindList, Allocate: rundir.KindAllocate, FindLease: rundir.KindFindLease,
		Revoke: rundir.KindRevoke, ChunkInfo: rundir.KindChunkInfo, Append: rundir.KindAppend, ReadRecord: rundir.KindReadRecord,
		Undelete: rundir.KindUndelete, Snapshot: rundir.KindSnapshot, SetAttributes: rundir.KindSetAttributes, Usage: rundir.KindUsage,
		Write: rundir.KindWrite, ReadBytes: rundir.KindReadBytes, ReadRecords: rundir.KindReadRecords,
		Get: rundir.KindGet, Put: rundir.KindPut, Remove: rundir.KindRemove, Swap: rundir.KindSwap,
	} {
		if here != there {
			t.Errorf("%q is %q on disk", here, there)
		}
	}
}
