package scale

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"gfslab/consensus"
	"gfslab/internal/node"
)

// TestCluster: the measurement of a small cluster is complete on every backend
// that replicates, and a laggard really got the others' snapshot (or it is an
// error).
func TestCluster(t *testing.T) {
	for _, backend := range node.Replicated() {
		t.Run(backend, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 120*time.Second)
			defer cancel()
			f, err := Cluster(ctx, ClusterOptions{
				Backend: backend, Population: Population{Files: 500, FilesPerDir: 50, ChunksPerFile: 1, Names: Numbered},
				Limits: consensus.Matched3(), Trailing: 20, Rate: 300, Window: 300 * time.Millisecond, Repeats: 1,
				Dir: filepath.Join(t.TempDir(), "scale"), Seed: 1, Progress: func(s string) { t.Log(s) },
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(f.During.Repeats) != 1 || f.Before.All.Count == 0 || len(f.DuringLaggard.Repeats) != 1 || f.SnapshotBytes == 0 || len(f.RestartMS.Values) != 1 || len(f.LaggardMS.Values) != 1 || f.LoadCommands != 11+500*5 {
				t.Errorf("figures %+v", f)
			}
			t.Logf("%+v", f)
		})
	}
}
