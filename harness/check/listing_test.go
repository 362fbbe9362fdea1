package check

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gfslab/results/rundir"
)

// everything lists what is below a directory in the plain way.
func everything(n *inode, prefix string, all bool) (out []string) {
	for name, kid := range n.kids {
		out = append(out, prefix+slashed(name, kid))
		if all && kid.dir {
			out = append(out, everything(kid, prefix+name+"/", all)...)
		}
	}
	return out
}

// TestListingInOrder compares listings of a tree that changes between them with what
// is there, looked at in the plain way.
func TestListingInOrder(t *testing.T) {
	const seed = 3
	rng := rand.New(rand.NewPCG(seed, 1))
	root := newDirectory()
	name := func() string { return fmt.Sprint([]string{"a", "a+", "b", "a0"}[rng.IntN(4)], rng.IntN(160)) }
	path := func() string { return []string{"/", "/a/", "/a+/", "/a/x/", "/b/"}[rng.IntN(5)] + name() }
	for _, p := range []string{"/a", "/a+", "/a/x", "/b"} {
		root.create(p, true)
	}
	shownNames := 0
	for step := range 20_000 {
		switch rng.IntN(5) {
		case 0, 1:
			root.create(path(), rng.IntN(8) == 0)
		case 2:
			root.rename(path(), path())
		case 3:
			if n, _ := root.lookup(path()); n != nil {
				n.detach()
			}
		case 4:
			op := &rundir.Op{Kind: rundir.KindList, Path: "/" + []string{"", "a", "a/x"}[rng.IntN(3)], Recursive: rng.IntN(2) == 0, Reply: &rundir.Reply{}}
			if rng.IntN(2) == 0 {
				op.Prefix = []string{"a", "a+", "a/", "a/x", "a1", "x/a", "zz"}[rng.IntN(7)]
			}
			if rng.IntN(2) == 0 {
				op.After = []string{"a", "a/", "a+", "a/x/", "x/a1", "a12/", "b"}[rng.IntN(7)] + []string{"", name()}[rng.IntN(2)]
			}
			op.Reply.Names = make([]string, rng.IntN(300))
			n, _ := root.lookup(op.Path)
			if n == nil || !n.dir {
				continue
			}
			want := slices.DeleteFunc(everything(n, "", op.Recursive), func(s string) bool {
				return !strings.HasPrefix(s, op.Prefix) || op.After != "" && s <= op.After
			})
			slices.Sort(want)
			want = want[:min(len(want), len(op.Reply.Names)+beyond)]
			if got := namesOf(n.listing(op)); !slices.Equal(got, want) {
				t.Fatalf("seed %d step %d: %+v lists\n%v, want\n%v", seed, step, op, got, want)
			}
			shownNames += len(want)
		}
	}
	if shownNames < 10_000 {
		t.Errorf("%d names were listed", shownNames)
	}
}

// TestCertificateOfBigDirectory: a scan of a few names costs what they cost, however
// many there are in the directory.
func TestCertificateOfBigDirectory(t *testing.T) {
	const files, scans = 20_000, 1500
	s := newScript(t)
	s.run.Ops = make([]rundir.Op, 0, files+3*scans+1) // what points into it stays
	s.mkdir("/big")
	var names []string
	for i := range files {
		names = append(names, fmt.Sprintf("f%06d", i))
		s.create("/big/" + names[i])
	}
	var last *rundir.Op
	for i := range scans {
		first := i * 7919 % (files / 100) * 100
		s.remove("/big/" + names[first])
		last = s.look(rundir.Op{Kind: rundir.KindList, Path: "/big", Prefix: names[first][:5]}, rundir.Reply{Names: names[first+1 : first+100]})
		s.create("/big/" + names[first])
	}
	began := time.Now()
	s.wants("certificate", rundir.Valid, "")
	if took := time.Since(began); took > 5*time.Second { // 0.2 s on a quiet machine
		t.Errorf("it took %v", took)
	}
	last.Reply.Names = slices.Concat(last.Reply.Names[:50], last.Reply.Names[51:])
	s.wants("certificate", rundir.Invalid, fmt.Sprintf("operation %d ", last.ID))
}
