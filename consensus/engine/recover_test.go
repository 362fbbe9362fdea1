package engine

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"gfslab/consensus"
	"gfslab/consensus/storage"
	faultdisk "gfslab/internal/fault/disk"
)

// text is a state machine that is one string.
type text struct{ state string }

func (m *text) Apply(uint64, [][]byte) [][]byte       { panic("not here") }
func (m *text) Snapshot() (consensus.Snapshot, error) { panic("not here") }
func (m *text) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	m.state = string(b)
	return err
}

func recoverConfig() (consensus.Config, *text) {
	m := &text{}
	return consensus.Config{Cluster: "test", Self: 2, Peers: []consensus.Peer{peer(1), peer(2)}, StateMachine: m}, m
}

// fetchInto puts a snapshot beside the log as if another node had sent it.
func fetchInto(t *testing.T, log *storage.Log, meta storage.SnapshotMeta, state string) {
	t.Helper()
	source := openLog(t, faultdisk.NewMem(9))
	defer source.Close()
	if err := source.SaveSnapshot(meta, func(w io.Writer) error { _, err := io.WriteString(w, state); return err }); err != nil {
		t.Fatal(err)
	}
	file, err := source.OpenSnapshotFile()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	data := make([]byte, file.Info.Size)
	if _, err := file.ReadAt(data, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	r, err := log.ReceiveSnapshot(file.Info)
	if err == nil {
		err = r.Append(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Commit()
	if err == nil {
		err = got.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRecoverMendsAnInstallation: a fetched snapshot is durable, the log is not
// yet cut. Recovery finishes what the crash cut short: a log that is a chain
// keeps nothing that hangs on an entry that the snapshot contradicts; one that
// is a set of votes keeps all above.
func TestRecoverMendsAnInstallation(t *testing.T) {
	cases := []struct {
		name       string
		contiguous bool
		at, stamp  uint64
		own        bool
		want       []uint64
		compacted  uint64
	}{
		{"chain, contradicted", true, 3, 2, false, nil, 3},
		{"chain, same entry", true, 3, 1, false, []uint64{4, 5}, 3},
		{"chain, beyond its end", true, 9, 2, false, nil, 9},
		{"kept slots, contradicted", true, 3, 2, false, nil, 3},
		{"votes, contradicted", false, 3, 2, false, []uint64{4, 5}, 3},
		{"votes, beyond their end", false, 9, 2, false, nil, 9},
		{"chain, own snapshot", true, 3, 1, true, []uint64{1, 2, 3, 4, 5}, 0},
		{"votes, own snapshot of another ballot", false, 3, 2, true, []uint64{1, 2, 3, 4, 5}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			log := openLog(t, faultdisk.NewMem(1))
			defer log.Close()
			if err := log.Commit(&storage.Batch{Entries: entries(1, 5)}); err != nil {
				t.Fatal(err)
			}
			meta := storage.SnapshotMeta{Index: c.at, Stamp: c.stamp, Data: []byte("data")}
			if c.own {
				if err := log.SaveSnapshot(meta, func(w io.Writer) error { _, err := io.WriteString(w, "state"); return err }); err != nil {
					t.Fatal(err)
				}
			} else {
				fetchInto(t, log, meta, "state")
			}
			for range 2 { // the second time nothing is left to do
				cfg, machine := recoverConfig()
				p := Protocol{Name: "p", Contiguous: c.contiguous}
				if c.name == "kept slots, contradicted" {
					p.Contiguous, cfg.Limits.Switches = false, consensus.RaftMode()
				}
				r, err := Recover(cfg, log, p)
				if err != nil {
					t.Fatal(err)
				}
				if machine.state != "state" || r.Start.Snapshot.Index != c.at || string(r.Start.Snapshot.Data) != "data" || r.Compacted != c.compacted {
					t.Fatalf("state %q, %+v", machine.state, r)
				}
				got, err := log.Entries(1, 10, 0, nil)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.EqualFunc(got, c.want, func(e storage.Entry, i uint64) bool { return e.Index == i }) || log.Compacted() != c.compacted {
					t.Fatalf("the log holds %v above %d, want %v above %d", got, log.Compacted(), c.want, c.compacted)
				}
			}
		})
	}
}

// TestRecoverTakesNoOlderState: a newest snapshot that is damaged, or gone, is
// an error that says so.
func TestRecoverTakesNoOlderState(t *testing.T) {
	fs := faultdisk.NewMem(1)
	log := openLog(t, fs)
	defer log.Close()
	for i := uint64(3); i <= 4; i++ {
		if err := log.SaveSnapshot(storage.SnapshotMeta{Index: i, Stamp: 1}, func(w io.Writer) error { _, err := fmt.Fprint(w, i); return err }); err != nil {
			t.Fatal(err)
		}
	}
	const name = "log/0000000000000004-0000000000000001.snap"
	f, err := fs.OpenReadWrite(name, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, 11); err != nil {
		t.Fatal(err)
	}
	cfg, _ := recoverConfig()
	if _, err := Recover(cfg, log, Protocol{Name: "p"}); !errors.Is(err, storage.ErrCorrupt) || !strings.Contains(err.Error(), name[4:]) {
		t.Errorf("a damaged snapshot: %v", err)
	}
	if err := log.Commit(&storage.Batch{CompactTo: 2}); err != nil {
		t.Fatal(err)
	}
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := Recover(cfg, log, Protocol{Name: "p"}); err == nil || !strings.Contains(err.Error(), "above entry 2") {
		t.Errorf("a removed snapshot: %v", err)
	}
}

// TestFoundersAreKept: they come from the log once it has them, whatever the
// configuration says later; who joins has none.
func TestFoundersAreKept(t *testing.T) {
	log := openLog(t, faultdisk.NewMem(1))
	defer log.Close()
	cfg, _ := recoverConfig()
	p := Protocol{Name: "p"}
	for range 2 {
		r, err := Recover(cfg, log, p)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Start.Founders; !slices.Equal(got.Voters, []consensus.Peer{peer(1), peer(2)}) || got.MaxID != 2 {
			t.Fatalf("founders %+v", got)
		}
		cfg.Peers = []consensus.Peer{peer(2), peer(7)}
	}
	cfg.Cluster = "other"
	if _, err := Recover(cfg, log, p); err == nil {
		t.Error("another cluster's log was taken")
	}
	joined := openLog(t, faultdisk.NewMem(2))
	defer joined.Close()
	cfg.Join = true
	for range 2 {
		r, err := Recover(cfg, joined, p)
		if err != nil || len(r.Start.Founders.All()) > 0 {
			t.Fatalf("founders of one that joins: %+v, %v", r.Start.Founders, err)
		}
		cfg.Join = false // as a restart may have it
	}
	for _, bad := range []string{"", "\x01", "\x02\x01\x01a", "\x01\x01\x05a", "\x00x"} {
		if peers, err := decodePeers([]byte(bad)); err == nil {
			t.Errorf("%q was read as %v", bad, peers)
		}
	}
}
