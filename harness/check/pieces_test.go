package check

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gfslab/results/rundir"
	"gfslab/workloads"
)

// crowd is workload bigdir with directories, renames and listings of all kinds
// between the files.
type crowd struct {
	workloads.Workload
	files int
}

func newCrowd(t *testing.T, files int) crowd {
	w, err := workloads.New("bigdir", workloads.Config{Clients: 8, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	return crowd{w, files}
}

func (c crowd) Next(rng *rand.Rand, client int) workloads.Op {
	name := func() string { return fmt.Sprintf("/big/f%06d", rng.IntN(c.files)) }
	dir := func() string { return fmt.Sprintf("/big/f%06d+", 100+rng.IntN(5)) }
	switch rng.IntN(12) {
	case 0:
		return workloads.Op{Kind: workloads.Mkdir, Path: dir()}
	case 1:
		return workloads.Op{Kind: workloads.Create, Path: dir() + "/a"}
	case 2:
		return workloads.Op{Kind: workloads.Delete, Path: dir(), Recursive: rng.IntN(2) == 0}
	case 3:
		return workloads.Op{Kind: workloads.Rename, Path: dir(), Path2: name() + "+"}
	case 4:
		return workloads.Op{Kind: workloads.List, Path: dir()}
	case 5:
		return workloads.Op{Kind: workloads.List, Path: "/big", Recursive: rng.IntN(2) == 0}
	case 6:
		return workloads.Op{Kind: workloads.List, Path: "/big", Prefix: name()[5:10], Recursive: true}
	}
	return c.Workload.Next(rng, client)
}

// linearizableWithin judges a history by checkLinearizable with these bounds.
func linearizableWithin(run *rundir.Run, b bounds) *findings {
	f := newFacts(run)
	f.bounds = b
	out := newFindings("linearizable")
	checkLinearizable(context.Background(), f, out)
	return out
}

var (
	inOne   = bounds{whole: math.MaxInt64, most: math.MaxInt64}
	inExact = bounds{whole: -1, most: math.MaxInt64, piece: math.MaxInt, looks: math.MaxInt}
	inParts = bounds{whole: -1, most: math.MaxInt64, piece: 60, few: 20, looks: math.MaxInt}
)

// TestPiecesAgree judges histories, right ones and wrong ones, in one and in
// pieces. Where no listing is taken apart, nothing is lost by that; where some are,
// nothing that is right is called wrong.
func TestPiecesAgree(t *testing.T) {
	wrong, found := 0, 0
	for seed := uint64(1); seed <= 24; seed++ {
		run := simulateLoad(t, newCrowd(t, 130), "bigdir", seed, 4, 240)
		rng := rand.New(rand.NewPCG(seed, 7))
		if seed%4 > 0 {
			disturb(rng, run)
		}
		one, exact, parts := linearizableWithin(run, inOne), linearizableWithin(run, inExact), linearizableWithin(run, inParts)
		if exact.verdict != one.verdict || exact.stats["components in pieces"] != 1 || exact.stats["listings taken apart"] != 0 {
			t.Fatalf("seed %d: in one %s %v, in pieces %s %v %v", seed, one.verdict, one.details, exact.verdict, exact.details, exact.stats)
		}
		if parts.verdict != one.verdict && parts.verdict != rundir.Valid || seed%4 == 0 && one.verdict != rundir.Valid {
			t.Fatalf("seed %d: in one %s %v, in parts %s %v", seed, one.verdict, one.details, parts.verdict, parts.details)
		}
		if parts.stats["pieces"] < 10 || parts.stats["listings taken apart"] == 0 {
			t.Fatalf("seed %d: %v", seed, parts.stats)
		}
		if one.verdict == rundir.Invalid {
			wrong++
			if parts.verdict == rundir.Invalid {
				found++
			}
		}
	}
	t.Logf("%d histories are wrong, %d of them also with listings taken apart", wrong, found)
	if wrong < 12 || found < wrong*3/4 {
		t.Errorf("of %d wrong histories %d were found with listings taken apart", wrong, found)
	}
}

// disturb changes one answer.
func disturb(rng *rand.Rand, run *rundir.Run) {
	for {
		op := &run.Ops[rng.IntN(len(run.Ops))]
		if op.Phase != rundir.PhaseRun || !ok(op) {
			continue
		}
		switch n := len(op.Reply.Names); {
		case op.Kind == rundir.KindList && n > 1:
			names := slices.Clone(op.Reply.Names)
			switch i := rng.IntN(n); rng.IntN(4) {
			case 0:
				names = slices.Delete(names, i, i+1)
			case 1:
				names[i] = strings.TrimSuffix(names[i], "/") + "+"
			case 2:
				names[i] += "/"
			case 3:
				names[i], names[0] = names[0], names[i]
			}
			op.Reply.Names = names
		case op.Kind == rundir.KindCreate || op.Kind == rundir.KindDelete:
			op.Reply.Code = map[bool]string{true: codeOK, false: map[string]string{rundir.KindCreate: "EXISTS", rundir.KindDelete: "NOT_FOUND"}[op.Kind]}[op.Reply.Code != codeOK]
		default:
			continue
		}
		return
	}
}

// bigRun makes creates and scans of one directory, with few operations at a time.
func bigRun(files, scans int) *rundir.Run {
	run := &rundir.Run{}
	now := int64(1000)
	do := func(op rundir.Op, reply rundir.Reply) {
		op.ID, op.Start, op.End = int64(len(run.Ops)+1), now, now+150
		op.Client, op.Thread, op.Outcome, op.Phase = "c", len(run.Ops)%2, rundir.OutcomeOK, rundir.PhaseRun
		reply.Code, reply.Index, reply.Node = codeOK, uint64(len(run.Ops)+1), "m1"
		op.Reply = &reply
		run.Ops = append(run.Ops, op)
		now += 100
	}
	do(rundir.Op{Kind: rundir.KindMkdir, Path: "/big"}, rundir.Reply{})
	now += 1000
	var names []string
	for i := range files {
		names = append(names, fmt.Sprintf("f%06d", i))
		do(rundir.Op{Kind: rundir.KindCreate, Path: "/big/" + names[i]}, rundir.Reply{FileID: uint64(i + 100)})
	}
	now += 1000
	for i := range scans {
		first := i * 7919 % (files / 100) * 100
		do(rundir.Op{Kind: rundir.KindList, Path: "/big", Prefix: names[first][:5]}, rundir.Reply{Names: names[first : first+100]})
		gone := files - 1 - i
		now += 1000
		do(rundir.Op{Kind: rundir.KindDelete, Path: "/big/" + names[gone]}, rundir.Reply{})
		now += 1000
		do(rundir.Op{Kind: rundir.KindCreate, Path: "/big/" + names[gone]}, rundir.Reply{FileID: uint64(1_000_000 + i)})
		now += 1000
	}
	do(rundir.Op{Kind: rundir.KindList, Path: "/big"}, rundir.Reply{Names: names})
	return run
}

// TestBigDirectory: what a directory of very many files costs to judge grows with
// their number, not with its square, and its scans are kept whole.
func TestBigDirectory(t *testing.T) {
	run := bigRun(120_000, 500)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out := linearizableWithin(run, usualBounds())
	runtime.ReadMemStats(&after)
	made := (after.TotalAlloc - before.TotalAlloc) >> 20
	t.Logf("%s, %d MiB allocated: %v", out.verdict, made, out.stats)
	if out.verdict != rundir.Valid || out.stats["pieces"] < 100 || out.stats["listings taken apart"] != 1 {
		t.Errorf("%s %v %v", out.verdict, out.details, out.stats)
	}
	if made > 1500 { // a set of 120,000 operations for each of them would be 1,800 by itself
		t.Errorf("%d MiB were allocated", made)
	}
}

// TestTamperedPieces wants what is wrong in one piece found there, with the
// operation named.
func TestTamperedPieces(t *testing.T) {
	const files, scans = 3000, 60
	last := fmt.Sprintf("f%06d", files-1)
	without := func(names []string, name string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(x string) bool { return x == name })
	}
	find := func(run *rundir.Run, kind, path string, fits func(*rundir.Op) bool) *rundir.Op {
		for i := range run.Ops {
			if op := &run.Ops[i]; op.Kind == kind && op.Path == path && (fits == nil || fits(op)) {
				return op
			}
		}
		t.Fatalf("no %s of %s", kind, path)
		return nil
	}
	shows := func(name string) func(*rundir.Op) bool {
		return func(op *rundir.Op) bool { return op.Prefix != "" && slices.Contains(op.Reply.Names, name) }
	}
	for name, do := range map[string]func(run *rundir.Run) (bad *rundir.Op, says string){
		"a create that was lost": func(run *rundir.Run) (bad *rundir.Op, says string) {
			for i := range run.Ops { // nobody finds the file any more
				if op := &run.Ops[i]; op.Kind == rundir.KindList && slices.Contains(op.Reply.Names, "f000150") {
					op.Reply.Names = without(op.Reply.Names, "f000150")
					if bad == nil {
						bad = op
					}
				}
			}
			return bad, "/big/f000100 to /big/f000199"
		},
		"a name in a scan after its delete": func(run *rundir.Run) (*rundir.Op, string) {
			gone := find(run, rundir.KindDelete, "/big/"+last, nil)
			op := &run.Ops[gone.ID] // the one after it creates the name again
			op.Kind, op.Path, op.Prefix = rundir.KindList, "/big", last[:5]
			op.Reply.Names = find(run, rundir.KindList, "/big", shows(last)).Reply.Names
			return op, "f002900 to /big/f002999"
		},
		"a name missing in a scan": func(run *rundir.Run) (*rundir.Op, string) {
			op := find(run, rundir.KindList, "/big", shows("f001777"))
			op.Reply.Names = without(op.Reply.Names, "f001777")
			return op, "f001776 f001778"
		},
		"a name missing in a listing that is taken apart": func(run *rundir.Run) (*rundir.Op, string) {
			op := &run.Ops[len(run.Ops)-1]
			op.Reply.Names = without(op.Reply.Names, "f001777")
			return op, "OK [f001700 f001701"
		},
		"a name in a listing that is taken apart, which nobody made": func(run *rundir.Run) (*rundir.Op, string) {
			op := &run.Ops[len(run.Ops)-1]
			op.Reply.Names = append(slices.Clone(op.Reply.Names), "g")
			return op, "/big/g"
		},
		"two names of a listing that is taken apart in the wrong order": func(run *rundir.Run) (*rundir.Op, string) {
			op := &run.Ops[len(run.Ops)-1]
			op.Reply.Names = slices.Clone(op.Reply.Names)
			op.Reply.Names[100], op.Reply.Names[2000] = op.Reply.Names[2000], op.Reply.Names[100]
			return op, `"f000101" stands where it cannot`
		},
		"a create that was answered twice": func(run *rundir.Run) (*rundir.Op, string) {
			op := find(run, rundir.KindDelete, "/big/"+last, nil)
			op.Kind, op.Reply.FileID = rundir.KindCreate, 77
			return op, last
		},
	} {
		run := bigRun(files, scans)
		b := usualBounds()
		b.whole = 0
		if out := linearizableWithin(run, b); out.verdict != rundir.Valid || out.stats["pieces"] < 20 || out.stats["listings taken apart"] != 1 {
			t.Fatalf("before %s: %s %v %v", name, out.verdict, out.details, out.stats)
		}
		bad, says := do(run)
		out := linearizableWithin(run, b)
		if out.verdict != rundir.Invalid || out.first == nil || out.first.ID != bad.ID || !strings.Contains(out.firstText, says) {
			t.Errorf("%s: %s, first %q, want operation %d with %q", name, out.verdict, cut(out.firstText, 300), bad.ID, says)
		}
	}
}

func cut(s string, n int) string { return s[:min(n, len(s))] }

// TestTooLargeIsUnknown: what cannot be judged in the memory that there may be is
// never valid, and why is said.
func TestTooLargeIsUnknown(t *testing.T) {
	b := bounds{whole: 1 << 10, most: 64 << 10, piece: 1024, few: 64, looks: 50 << 20}
	for _, c := range []struct {
		name, says string
		do         func(run *rundir.Run, b *bounds)
	}{
		{"the directory is renamed", "acts on more than entries", func(run *rundir.Run, _ *bounds) {
			op := &run.Ops[len(run.Ops)-1]
			op.Kind, op.Path2, op.Reply.Code = rundir.KindRename, "/big/x/y", "INVALID"
		}},
		{"nobody made the directory", "acts on more than entries", func(run *rundir.Run, _ *bounds) { run.Ops = run.Ops[1:] }},
		{"its pieces are too large", "it is a piece already", func(*rundir.Run, *bounds) {}},
		{"too many listings", "looked at 400 times, the bound is 399", func(_ *rundir.Run, b *bounds) { b.piece, b.looks = 250, 399 }},
	} {
		run := bigRun(400, 4)
		bounds := b
		c.do(run, &bounds)
		out := linearizableWithin(run, bounds)
		if text := strings.Join(out.details[rundir.Unknown], "\n"); out.verdict != rundir.Unknown || !strings.Contains(text, c.says) || !strings.Contains(text, "operations was not judged") {
			t.Errorf("%s: %s %s", c.name, out.verdict, text)
		}
	}
}

// TestCover: what a listing could have shown in any state belongs to what it covers.
func TestCover(t *testing.T) {
	const seed = 9
	rng := rand.New(rand.NewPCG(seed, 4))
	word := func() string {
		b := make([]byte, 1+rng.IntN(3))
		for i := range b {
			b[i] = "a+0"[rng.IntN(3)]
		}
		return string(b)
	}
	path := func() string { return word() + []string{"", "", "/", "/" + word()}[rng.IntN(4)] }
	covered, left := 0, 0
	for range 3000 {
		op := &rundir.Op{Kind: rundir.KindList, Path: "/d", Recursive: rng.IntN(2) == 0, Reply: &rundir.Reply{Code: codeOK}}
		if rng.IntN(2) == 0 {
			op.Prefix = path()
		}
		if rng.IntN(2) == 0 {
			op.After = path()
		}
		if last := path(); rng.IntN(2) == 0 && strings.HasPrefix(last, op.Prefix) && last > op.After {
			op.Reply.Names, op.Reply.Next = []string{last}, last
		}
		c := &cutter{number: map[string]int{}, sorted: map[string][]int{}}
		for range 20 {
			c.entry("/d/" + word())
		}
		for _, name := range op.Reply.Names {
			c.entry("/d/" + firstName(name))
		}
		c.sort()
		l := listing{op: op}
		c.cover(&l)
		in := slices.Concat(l.also, c.sorted["/d"][l.lo:l.hi])
		fits := func(name string) bool {
			last := upTo(op)
			return strings.HasPrefix(name, op.Prefix) && name > op.After && (last == "" || name <= last)
		}
		for i, entry := range c.entries {
			name := entry[len("/d/"):]
			could := fits(name) || fits(name+"/")
			for n := 0; n < 30 && op.Recursive; n++ {
				could = could || fits(name+"/"+word())
			}
			switch is := slices.Contains(in, i); {
			case could && !is:
				t.Fatalf("seed %d: %+v does not cover %q", seed, op, name)
			case is:
				covered++
			default:
				left++
			}
		}
	}
	if covered < 5000 || left < 5000 {
		t.Errorf("%d entries were covered, %d were not", covered, left)
	}
}

// TestSameMoment: what began when the directory's mkdir ended may have come first, if
// its answer says so.
func TestSameMoment(t *testing.T) {
	run := bigRun(400, 4)
	made, op := &run.Ops[0], &run.Ops[1]
	op.Start = made.End
	run.Ops = slices.DeleteFunc(run.Ops, func(o rundir.Op) bool { return o.Kind == rundir.KindList && slices.Contains(o.Reply.Names, "f000000") })
	if out := linearizableWithin(run, inExact); out.verdict != rundir.Valid || out.stats["pieces"] == 0 {
		t.Errorf("%s %v %v", out.verdict, out.details, out.stats)
	}
	run.Ops[1].Reply.Code = "NOT_FOUND"
	if out := linearizableWithin(run, inExact); out.verdict != rundir.Valid || out.stats["pieces"] != 0 {
		t.Errorf("%s %v %v", out.verdict, out.details, out.stats)
	}
}
