package scale

import (
	"context"
	"testing"
)

// TestMachine: the measurement of a small population is complete, and its
// commands are accepted (a refusal is an error).
func TestMachine(t *testing.T) {
	for _, names := range []string{Numbered, Random} {
		p := Population{Files: 1500, FilesPerDir: 100, ChunksPerFile: 2, Names: names}
		seen := map[string]bool{}
		for i := range p.Files {
			seen[p.path(i)] = true
		}
		if len(seen) != p.Files {
			t.Fatalf("%d files have %d paths", p.Files, len(seen))
		}
		f, err := Machine(context.Background(), p, 2, t.TempDir(), func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Quiet) != 2 || len(f.Beside) != 2 || len(f.Restore.Values) != 2 || len(f.Sizes) != 1 || f.SnapshotPerChunk <= 0 || f.HeapPerFile <= 0 {
			t.Errorf("figures %+v", f)
		}
		t.Logf("%+v", f)
	}
}
