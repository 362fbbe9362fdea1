package hashiraft

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
	"gfslab/consensus/storage"
	faultdisk "gfslab/internal/fault/disk"
)

func openStore(t *testing.T, fs *faultdisk.FS) *store {
	t.Helper()
	log, err := storage.Open(storage.Options{FS: fs, Dir: "data"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return newStore(log, consensus.Matched3())
}

func entries(low, high, term uint64) (logs []*raft.Log) {
	for i := low; i <= high; i++ {
		logs = append(logs, &raft.Log{Index: i, Term: term, Data: []byte{byte(i)}})
	}
	return logs
}

func TestStoreLogsIsOneFsync(t *testing.T) {
	s := openStore(t, faultdisk.NewMem(1))
	before := s.log.Counters().Fsyncs
	if err := s.StoreLogs(entries(1, 100, 1)); err != nil {
		t.Fatal(err)
	}
	if n := s.log.Counters().Fsyncs - before; n != 1 {
		t.Fatalf("100 entries in one call cost %d fsyncs", n)
	}
	if err := s.SetUint64([]byte("term"), 7); err != nil {
		t.Fatal(err)
	}
	if n := s.log.Counters().Fsyncs - before; n != 2 || s.stableWrites.Load() != 1 {
		t.Fatalf("a stable write after it: %d fsyncs in total, %d stable writes counted", n, s.stableWrites.Load())
	}
}

func TestDeleteRange(t *testing.T) {
	for name, c := range map[string]struct {
		low, high          uint64
		snapshot, trailing uint64
		first, last        uint64
		err                error
	}{
		"from the first compacts":            {1, 4, 4, 0, 5, 10, nil},
		"below the first compacts":           {0, 4, 4, 0, 5, 10, nil},
		"below an older snapshot compacts":   {1, 4, 9, 0, 5, 10, nil},
		"all but what trails compacts":       {1, 8, 8, 3, 6, 10, nil},
		"nothing but what trails":            {1, 3, 3, 3, 1, 10, nil},
		"to the last truncates":              {7, 10, 6, 0, 1, 6, nil},
		"beyond the last truncates":          {7, 99, 0, 0, 1, 6, nil},
		"everything":                         {1, 10, 0, 0, 0, 0, nil},
		"everything that is in the snapshot": {1, 10, 10, 0, 0, 0, nil},
		"nothing":                            {11, 20, 0, 0, 1, 10, nil},
		"upside down":                        {5, 4, 0, 0, 1, 10, nil},
		"not in a snapshot is an error":      {1, 5, 4, 0, 1, 10, errRange},
		"in the middle is an error":          {3, 5, 0, 0, 1, 10, errRange},
		"middle, one entry, is also":         {2, 2, 9, 0, 1, 10, errRange},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, faultdisk.NewMem(1))
			s.trailing = c.trailing
			if err := s.StoreLogs(entries(1, 10, 1)); err != nil {
				t.Fatal(err)
			}
			if c.snapshot > 0 {
				s.snapshot.Store(&storage.SnapshotMeta{Index: c.snapshot, Stamp: 1})
			}
			if err := s.DeleteRange(c.low, c.high); !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			first, _ := s.FirstIndex()
			last, _ := s.LastIndex()
			if first != c.first || last != c.last {
				t.Fatalf("left %d..%d, want %d..%d", first, last, c.first, c.last)
			}
			// What the library does next after a truncation.
			last = max(last, c.snapshot)
			if err := s.StoreLogs(entries(last+1, last+3, 2)); err != nil {
				t.Fatalf("appending afterwards: %v", err)
			}
		})
	}
}

func TestNotFound(t *testing.T) {
	s := openStore(t, faultdisk.NewMem(1))
	if _, err := s.GetUint64([]byte("CurrentTerm")); err == nil || err.Error() != "not found" {
		t.Fatalf("a missing stable key: %v; the library compares the text", err)
	}
	if err := s.StoreLogs([]*raft.Log{{Index: 3, Term: 1}, {Index: 8, Term: 1}}); err != nil {
		t.Fatal(err)
	}
	var l raft.Log
	for _, i := range []uint64{0, 2, 4, 7, 9} {
		if err := s.GetLog(i, &l); err != raft.ErrLogNotFound {
			t.Fatalf("index %d: %v; the library compares with ==", i, err)
		}
	}
	if _, ok := any(s).(raft.MonotonicLogStore); ok {
		t.Fatal("the store claims to allow no gaps")
	}
}

func TestLastCommandSkipsWhatIsNotApplied(t *testing.T) {
	s := openStore(t, faultdisk.NewMem(1))
	logs := entries(1, 6, 1)
	logs[3].Type, logs[4].Type, logs[5].Type = raft.LogNoop, raft.LogBarrier, raft.LogConfiguration
	logs[5].Data = raft.EncodeConfiguration(configuration(nil))
	if err := s.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	for upTo, want := range map[uint64]uint64{6: 3, 4: 3, 3: 3, 2: 2} {
		if got, err := s.lastCommand(1, upTo); err != nil || got != want {
			t.Errorf("in (1, %d]: %d, %v; want %d", upTo, got, err, want)
		}
	}
	if got, err := s.lastCommand(3, 6); err != nil || got != 3 {
		t.Errorf("in (3, 6]: %d, %v; want 3", got, err)
	}
	s.snapshot.Store(&storage.SnapshotMeta{Index: 4, Stamp: 1})
	if err := s.DeleteRange(1, 4); err != nil {
		t.Fatal(err)
	}
	if got, err := s.lastCommand(3, 6); err != nil || got != 3 {
		t.Errorf("in (3, 6], compacted to 4: %d, %v; want 3", got, err)
	}
}

func TestLogSurvivesEncoding(t *testing.T) {
	const seed = 5
	rng := rand.New(rand.NewPCG(seed, 0))
	random := func(n int) []byte {
		if n == 0 {
			return nil
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	for range 500 {
		in := raft.Log{
			Index: rng.Uint64(), Term: rng.Uint64(), Type: raft.LogType(rng.IntN(6)),
			Data: random(rng.IntN(50)), Extensions: random(rng.IntN(5)),
		}
		if rng.IntN(4) > 0 {
			in.AppendedAt = time.Unix(0, rng.Int64())
		}
		var out raft.Log
		if err := decodeLog(encodeLog(&in), &out); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if out.Index != in.Index || out.Term != in.Term || out.Type != in.Type ||
			!bytes.Equal(out.Data, in.Data) || !bytes.Equal(out.Extensions, in.Extensions) || !out.AppendedAt.Equal(in.AppendedAt) {
			t.Fatalf("seed %d: %+v became %+v", seed, in, out)
		}
	}
}

func FuzzDecodeLog(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeLog(&raft.Log{Data: []byte("x"), Extensions: []byte("y"), AppendedAt: time.Unix(1, 2)}).Data)
	f.Add([]byte{0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var l raft.Log
		if err := decodeLog(storage.Entry{Index: 1, Stamp: 1, Data: b}, &l); err != nil {
			return
		}
		if len(l.Data)+len(l.Extensions) > len(b) {
			t.Fatal("more came out than went in")
		}
		var again raft.Log
		if err := decodeLog(encodeLog(&l), &again); err != nil || !bytes.Equal(again.Data, l.Data) || !bytes.Equal(again.Extensions, l.Extensions) {
			t.Fatalf("%+v does not survive its own encoding: %v", l, err)
		}
	})
}

// TestPrepareIsTheLibrarysBootstrap compares what prepare writes with what
// raft.BootstrapCluster writes, and takes the power away right after it.
func TestPrepareIsTheLibrarysBootstrap(t *testing.T) {
	c := configuration([]consensus.Peer{{ID: 2, Addr: "b:1"}, {ID: 1, Addr: "a:1"}})
	fs := faultdisk.NewMem(1)
	if err := openStore(t, fs).prepare("me", &c); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, fs.Crash(0))
	theirs := raft.NewInmemStore()
	conf := raft.DefaultConfig()
	conf.LocalID = "1"
	if err := raft.BootstrapCluster(conf, theirs, theirs, raft.NewDiscardSnapshotStore(), nil, c); err != nil {
		t.Fatal(err)
	}
	var want, got raft.Log
	if err := errors.Join(theirs.GetLog(1, &want), s.GetLog(1, &got)); err != nil {
		t.Fatal(err)
	}
	if got.Type != want.Type || got.Term != want.Term || !bytes.Equal(got.Data, want.Data) {
		t.Fatalf("first entry %+v, the library's is %+v", got, want)
	}
	wantTerm, _ := theirs.GetUint64([]byte("CurrentTerm"))
	if term, err := s.GetUint64([]byte("CurrentTerm")); err != nil || term != wantTerm {
		t.Fatalf("term %d, %v; the library's is %d", term, err, wantTerm)
	}
	before := s.log.Counters().Commits
	if err := s.prepare("me", &c); err != nil || s.log.Counters().Commits != before {
		t.Fatalf("preparing again: %v, %d commits", err, s.log.Counters().Commits-before)
	}
	if err := s.prepare("someone else", &c); err == nil {
		t.Fatal("a log of another owner was accepted")
	}
}
