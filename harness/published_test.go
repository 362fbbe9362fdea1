package harness

import (
	"context"
	"path/filepath"
	"testing"

	"gfslab/harness/check"
	"gfslab/results/rundir"
)

// TestPublishedRunsAreJudgedAsPublished judges every run below results/published
// again: what was published must hold under today's checkers.
func TestPublishedRunsAreJudgedAsPublished(t *testing.T) {
	manifests, err := filepath.Glob(filepath.Join("..", "results", "published", "*", "runs", "*", rundir.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	if len(manifests) < 3 {
		t.Fatalf("%d published runs, want one a backend at least", len(manifests))
	}
	backends := map[string]bool{}
	for _, m := range manifests {
		dir := filepath.Dir(m)
		run, err := rundir.Load(dir)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		published, err := rundir.ReadVerdict(dir)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		backends[run.Manifest.Plan.Backend] = true
		run.Dir = "" // the checkers leave nothing in the tree
		if v := check.Run(context.Background(), run); v.Verdict != published.Verdict {
			t.Errorf("%s was published as %s, is judged %s", dir, published.Verdict, v.Verdict)
		}
	}
	if len(backends) < 3 {
		t.Errorf("runs are published of %v alone", backends)
	}
}
