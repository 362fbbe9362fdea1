package mutants

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"gfslab/harness"
	"gfslab/harness/check"
)

const root = "../.."

// Every patch applies to the tree as it is, and about.txt says what is planted.
// (That the bugs are found, and the twins not, runmutants shows.)
func TestEveryPatchApplies(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := Source(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"snapshot-beside-leases", "reference-kept", "ack-before-sync", "handle-used-again", "hidden-name-without-position", "stale-replica-removed-first", "clone-without-version", "garbage-before-barrier", "forward-without-version", "seal-before-padded", "promise-not-persisted", "figure8-rule-dropped", "up-to-date-by-length", "answer-before-write", "hard-state-unwritten", "log-cut-before-snapshot", "read-before-application", "vote-forgotten", "own-vote-before-fsync", "promise-omits-chosen", "lowest-ballot-adopted",
		"gap-skipped-in-apply", "old-record-counted", "notice-on-stale-value", "ack-over-hole", "read-before-barrier"} {
		found := false
		for _, m := range all {
			found = found || m.Name == want
		}
		if !found {
			t.Errorf("the mutant %s is missing", want)
		}
	}
	for _, m := range all {
		if m.Family == GFSFamily {
			if _, err := harness.ParsePlan([]byte(m.Plan)); err != nil || !slices.ContainsFunc(check.All(), func(c check.Checker) bool { return c.Name == m.Killer }) {
				t.Errorf("%s: the plan (%v) or the killer %q is none", m.Name, err, m.Killer)
			}
		}
		if m.Name == "old-record-counted" && m.World == "" || m.Name == "notice-on-stale-value" && m.World == "" {
			t.Errorf("%s names no world for the explorer", m.Name)
		}
		bug, twin := maps.Clone(tree.Files), maps.Clone(tree.Files)
		if err := apply(bug, m.Bug); err != nil {
			t.Errorf("%s: bug.patch: %v", m.Name, err)
		}
		if err := apply(twin, m.Twin); err != nil {
			t.Errorf("%s: twin.patch: %v", m.Name, err)
		}
		if maps.Equal(bug, twin) {
			t.Errorf("%s: bug and twin are the same", m.Name)
		}
		if m.Title() == "" || !strings.Contains(m.About, "The twin ") {
			t.Errorf("%s: about.txt has no title, or does not describe the twin", m.Name)
		}
	}
}

func TestApply(t *testing.T) {
	const text = "one\ntwo\nthree\ntwo\n"
	head := "--- a/f\n+++ b/f\n"
	for name, c := range map[string]struct{ patch, want, fault string }{
		"replace":        {head + "@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n", "one\nTWO\nthree\ntwo\n", ""},
		"line moved":     {head + "@@ -91,2 +91,2 @@\n three\n-two\n", "one\ntwo\nthree\n", ""},
		"two hunks":      {head + "@@ @@\n-one\n+1\n@@ @@\n three\n-two\n+2\n", "1\ntwo\nthree\n2\n", ""},
		"stale":          {head + "@@ @@\n one\n-zwei\n+TWO\n", "", "not there any more"},
		"ambiguous":      {head + "@@ @@\n-two\n+TWO\n", "", "2 times"},
		"no change":      {head + "@@ @@\n one\n", "", "changes nothing"},
		"no hunk":        {head, "", "no hunk"},
		"no such file":   {"--- a/g\n+++ b/g\n@@ @@\n-one\n", "", "no such file"},
		"not a patch":    {head + "@@ @@\nhello\n", "", "unified diff"},
		"second is bad":  {head + "@@ @@\n-one\n+1\n@@ @@\n-four\n", "", "hunk 2"},
		"hunk before":    {"@@ @@\n-one\n", "", "precedes"},
		"without a text": {"", "", "no hunk"},
	} {
		files := map[string]string{"f": text}
		err := apply(files, c.patch)
		switch {
		case c.fault == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.fault == "" && files["f"] != c.want:
			t.Errorf("%s: got %q; want %q", name, files["f"], c.want)
		case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%s: got error %v; want one that says %q", name, err, c.fault)
		case c.fault != "" && files["f"] != text:
			t.Errorf("%s: a failed patch changed the file", name)
		}
	}
}

// One bug all the way: it is found, its twin is not, and a stale patch is an
// error rather than a bug that was missed.
func TestJudge(t *testing.T) {
	tree, err := Source(root)
	if err != nil {
		t.Fatal(err)
	}
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Name != "own-vote-before-fsync" {
			continue
		}
		if r := Judge(context.Background(), tree, m, 10, 10); !r.OK() || r.Bug.Monitor != "chosen-by-quorum" {
			t.Errorf("bug %+v, twin %+v, error %v; want it caught by chosen-by-quorum", r.Bug, r.Twin, r.Err)
		} else if r.Explored.Monitor != "chosen-by-quorum" || r.Explored.Depth < 5 || r.ExploredTwin.States < 10000 {
			t.Errorf("explored %+v, twin %+v; want it caught by chosen-by-quorum too, and the twin walked to the end", r.Explored, r.ExploredTwin)
		}
		swapped := m
		swapped.Bug, swapped.Twin = m.Twin, m.Bug
		if r := Judge(context.Background(), tree, swapped, 10, 10); r.OK() || r.Err != nil || r.Bug.Failed || !r.Twin.Failed {
			t.Errorf("bug and twin exchanged: %+v; want a miss and a blamed twin", r)
		}
		m.Bug = strings.Replace(m.Bug, "l.flight", "l.fright", 1)
		if r := Judge(context.Background(), tree, m, 10, 10); r.OK() || r.Err == nil {
			t.Errorf("a stale patch gives %+v; want an error", r)
		}
	}
}
