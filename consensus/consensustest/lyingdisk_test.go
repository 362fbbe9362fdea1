package consensustest

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/etcdraft"
	"gfslab/consensus/multipaxos"
	"gfslab/consensus/unreplicated"
	"gfslab/internal/disk"
)

// lyingDisk says that it has synced files, and has not: the classic way to
// acknowledge early. Directories it syncs, so that a log still opens.
type lyingDisk struct{ disk.FS }

type lyingFile struct{ disk.File }

func (lyingFile) Sync() error                { return nil }
func (lyingFile) SyncData() error            { return nil }
func (lyingFile) SyncTo(int64) (bool, error) { return true, nil }

func lie(f disk.File, err error) (disk.File, error) {
	if err != nil {
		return nil, err
	}
	return lyingFile{f}, nil
}

func (d lyingDisk) Create(name string, c disk.WriteCategory) (disk.File, error) {
	return lie(d.FS.Create(name, c))
}

func (d lyingDisk) OpenReadWrite(name string, c disk.WriteCategory, opts ...vfs.OpenOption) (disk.File, error) {
	return lie(d.FS.OpenReadWrite(name, c, opts...))
}

func (d lyingDisk) ReuseForWrite(from, to string, c disk.WriteCategory) (disk.File, error) {
	return lie(d.FS.ReuseForWrite(from, to, c))
}

// TestSuiteCatchesLyingDisk: real backends on a disk that does not sync lose
// what they acknowledged, and the suite says so.
func TestSuiteCatchesLyingDisk(t *testing.T) {
	for _, c := range []struct {
		name, scenario string
		open           func(cfg consensus.Config, deps engine.Deps) (consensus.Replica, error)
	}{
		{"unreplicated", "single-crash", unreplicated.Open},
		{"multipaxos", "crash-all-0", multipaxos.Open},
		{"etcdraft", "crash-all-0", etcdraft.Open},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, sc := range scenarios() {
				if sc.name != c.scenario {
					continue
				}
				found := findingsOf(t, Backend{Name: c.name, Open: func(cfg consensus.Config, env Env) (consensus.Replica, error) {
					return c.open(cfg, engine.Deps{FS: lyingDisk{env.FS}, Dir: env.Dir, Network: env.Network, Listener: env.Listener})
				}}, sc)
				all := strings.Join(found, "\n")
				if !strings.Contains(all, "lost write") && !strings.Contains(all, "agreement") && !strings.Contains(all, "open n") {
					t.Errorf("seed %d: nothing lost was found, only %q", sc.seed(), found)
				} else {
					t.Logf("%s says: %s", sc.name, found[0])
				}
			}
		})
	}
}
