package etcdraft

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
)

func openLog(t *testing.T) *storage.Log {
	t.Helper()
	log, err := storage.Open(storage.Options{FS: disk.FS(faultdisk.NewMem(1)), Dir: "log"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

func testConfig(n consensus.NodeID) consensus.Config {
	cfg := consensus.Config{Cluster: "x", Self: 1, Limits: consensus.Matched2()}.WithDefaults()
	for id := range n {
		cfg.Peers = append(cfg.Peers, consensus.Peer{ID: id + 1, Addr: "x"})
	}
	return cfg
}

func founded(cfg consensus.Config) engine.Start {
	return engine.Start{Founders: consensus.Founders(cfg.Peers)}
}

// TestEntriesFromMemoryAndFromTheLogAgree writes, overwrites, applies and reads
// at random. What the store answers, from its own list or from the log, must be
// what was written last, in any case without a hole and within the size.
func TestEntriesFromMemoryAndFromTheLogAgree(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 3))
		log := openLog(t)
		s, err := newStore(consensus.Founders(testConfig(3).Peers), storage.SnapshotMeta{}, log)
		if err != nil {
			t.Fatal(err)
		}
		var want []string // by index-1
		applied := uint64(0)
		for step := range 100 {
			from := applied + 1 + rng.Uint64N(uint64(len(want))-applied+1)
			want = want[:from-1]
			batch := storage.Batch{TruncateFrom: from}
			var entries []*pb.Entry
			for i := range rng.Uint64N(5) + 1 {
				data := fmt.Sprintf("%d in step %d", from+i, step)
				want = append(want, data)
				entries = append(entries, &pb.Entry{Index: new(from + i), Term: new(uint64(step + 1)), Data: []byte(data)})
				batch.Entries = append(batch.Entries, entry(entries[i]))
			}
			s.keep(entries)
			if err := log.Commit(&batch); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(3) == 0 {
				applied += rng.Uint64N(uint64(len(want)) - applied + 1)
				s.forget(applied)
			}
			lo := 1 + rng.Uint64N(uint64(len(want)))
			hi := lo + 1 + rng.Uint64N(uint64(len(want))-lo+1)
			size := []uint64{0, 60, math.MaxUint64}[rng.IntN(3)]
			got, err := s.Entries(lo, hi, size)
			if err != nil {
				t.Fatalf("seed %d step %d: entries [%d, %d): %v", seed, step, lo, hi, err)
			}
			if len(got) == 0 || size == math.MaxUint64 && uint64(len(got)) != hi-lo || size == 0 && len(got) != 1 {
				t.Fatalf("seed %d step %d: %d entries of [%d, %d) within %d bytes", seed, step, len(got), lo, hi, size)
			}
			for i, e := range got {
				if e.GetIndex() != lo+uint64(i) || string(e.GetData()) != want[e.GetIndex()-1] {
					t.Fatalf("seed %d step %d: entry %d is %q, want %q", seed, step, e.GetIndex(), e.GetData(), want[lo+uint64(i)-1])
				}
				if term, err := s.Term(e.GetIndex()); err != nil || term != e.GetTerm() {
					t.Fatalf("seed %d step %d: term of %d is %d (%v), want %d", seed, step, e.GetIndex(), term, err, e.GetTerm())
				}
			}
		}
		last, err := s.LastIndex()
		if err != nil || last != uint64(len(want)) {
			t.Fatalf("seed %d: the last index is %d (%v), want %d", seed, last, err, len(want))
		}
		if _, err := s.Term(last + 1); !errors.Is(err, raft.ErrUnavailable) {
			t.Fatalf("the term beyond the log: %v", err)
		}
	}
}

// TestAStoreOverACutLog: wherever the log was cut, the library finds the entry
// before the first one, and a hard state that the snapshot does not contradict.
func TestAStoreOverACutLog(t *testing.T) {
	for _, c := range []struct {
		name                       string
		entries, cut, index, stamp uint64 // the log; the snapshot
		floor                      mark
		last                       uint64
	}{
		{"nothing at all", 0, 0, 0, 0, mark{}, 0},
		{"no snapshot", 10, 0, 0, 0, mark{}, 10},
		{"a snapshot beside a whole log", 10, 0, 6, 7, mark{}, 10},
		{"cut below the snapshot", 10, 3, 6, 7, mark{4, 5}, 10},
		{"cut right below the snapshot", 10, 5, 6, 7, mark{6, 7}, 10},
		{"cut at the snapshot", 10, 6, 6, 7, mark{6, 7}, 10},
		{"cut at the snapshot, nothing behind it", 6, 6, 6, 7, mark{6, 7}, 6},
		{"an empty log", 0, 0, 6, 7, mark{6, 7}, 6},
		{"a log that ends before the snapshot", 4, 0, 6, 7, mark{6, 7}, 6},
	} {
		log := openLog(t)
		b := storage.Batch{HardState: encodeHardState(5, 2, min(c.entries, 3))}
		for i := range c.entries {
			b.Entries = append(b.Entries, storage.Entry{Index: i + 1, Stamp: i + 2, Data: []byte("x")})
		}
		for _, b := range []*storage.Batch{&b, {CompactTo: c.cut}} {
			if err := log.Commit(b); err != nil {
				t.Fatal(err)
			}
		}
		m := consensus.Founders(testConfig(3).Peers)
		s, err := newStore(m, storage.SnapshotMeta{Index: c.index, Stamp: c.stamp, Data: appendMembers(nil, m)}, log)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		first, _ := s.FirstIndex()
		last, _ := s.LastIndex()
		if s.floor != c.floor || first != c.floor.index+1 || last != c.last {
			t.Errorf("%s: floor %v, entries %d to %d; want floor %v, the last %d", c.name, s.floor, first, last, c.floor, c.last)
		}
		if term, err := s.Term(first - 1); err != nil || term != c.floor.stamp {
			t.Errorf("%s: before the first entry comes term %d, %v", c.name, term, err)
		}
		if c.floor.index > 1 {
			if _, err := s.Term(c.floor.index - 1); !errors.Is(err, raft.ErrCompacted) {
				t.Errorf("%s: the term of a cut entry: %v", c.name, err)
			}
			if _, err := s.Entries(c.floor.index, c.floor.index+1, 100); !errors.Is(err, raft.ErrCompacted) {
				t.Errorf("%s: a cut entry: %v", c.name, err)
			}
		}
		hard, _, _ := s.InitialState()
		if want := max(c.index, min(c.entries, 3)); hard.GetCommit() != want || hard.GetTerm() != max(5, c.stamp) {
			t.Errorf("%s: term %d, commit %d; want %d, %d", c.name, hard.GetTerm(), hard.GetCommit(), max(5, c.stamp), want)
		}
		if hard.GetTerm() > 5 && hard.GetVote() != 0 {
			t.Errorf("%s: a vote of term 5 counts in term %d", c.name, hard.GetTerm())
		}
		if _, err := s.Snapshot(); (err == nil) != (c.index > 0) {
			t.Errorf("%s: the snapshot to send: %v", c.name, err)
		}
	}
}

func TestHardStateBeyondTheLogIsRefused(t *testing.T) {
	log := openLog(t)
	if err := log.Commit(&storage.Batch{HardState: encodeHardState(3, 2, 1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := newStore(consensus.Founders(testConfig(3).Peers), storage.SnapshotMeta{}, log); err == nil {
		t.Fatal("entry 1 is committed but not there, and nobody minds")
	}
	if err := log.Commit(&storage.Batch{HardState: encodeHardState(3, 2, 0)}); err != nil {
		t.Fatal(err)
	}
	s, err := newStore(consensus.Founders(testConfig(3).Peers), storage.SnapshotMeta{}, log)
	if err != nil {
		t.Fatal(err)
	}
	hard, conf, err := s.InitialState()
	if err != nil || hard.GetTerm() != 3 || hard.GetVote() != 2 || len(conf.GetVoters()) != 3 {
		t.Fatalf("got %v, %v, %v", hard, conf, err)
	}
}

// TestACommitIndexAloneIsNotWritten feeds a follower an entry, then the news
// that it is committed: one write, and the news rides on the next one.
func TestACommitIndexAloneIsNotWritten(t *testing.T) {
	log := openLog(t)
	c, err := NewCore(testConfig(3), log, founded(testConfig(3)))
	if err != nil {
		t.Fatal(err)
	}
	send := func(m *pb.Message) (writes []engine.Persist, tokens, after int) {
		t.Helper()
		m.From, m.To, m.Term = new(uint64(2)), new(uint64(1)), new(uint64(1))
		b := (*body)(m)
		b.Size()
		if err := c.Step(2, b.Append(nil)); err != nil {
			t.Fatal(err)
		}
		for c.HasReady() {
			var rd engine.Ready
			c.Ready(&rd)
			after += len(rd.SendAfterPersist)
			if rd.Token != 0 {
				tokens++
				if rd.Persist.HardState != nil || len(rd.Persist.Entries) > 0 {
					writes = append(writes, rd.Persist)
					if err := log.Commit(&storage.Batch{HardState: rd.Persist.HardState, Entries: rd.Persist.Entries}); err != nil {
						t.Fatal(err)
					}
				}
				c.Persisted(rd.Token)
			}
			if n := len(rd.Apply); n > 0 {
				c.Applied(rd.Apply[n-1].Index)
			}
		}
		return writes, tokens, after
	}
	app := func(index, commit uint64) *pb.Message {
		prev := uint64(1)
		if index == 1 {
			prev = 0
		}
		return &pb.Message{
			Type: pb.MsgApp.Enum(), Index: new(index - 1), LogTerm: new(prev), Commit: new(commit),
			Entries: []*pb.Entry{{Index: new(index), Term: new(uint64(1)), Data: []byte("x")}},
		}
	}
	if writes, _, after := send(app(1, 0)); len(writes) != 1 || after != 1 {
		t.Fatalf("an entry: %d writes and %d answers, want one of each", len(writes), after)
	}
	news := &pb.Message{Type: pb.MsgApp.Enum(), Index: new(uint64(1)), LogTerm: new(uint64(1)), Commit: new(uint64(1))}
	writes, tokens, after := send(news)
	if len(writes) != 0 || tokens == 0 || after != 1 {
		t.Fatalf("the news of a commit: %d writes, %d tokens, %d answers; want no write and an answer", len(writes), tokens, after)
	}
	if got := c.Status().Committed; got != 1 {
		t.Fatalf("committed is %d, want 1", got)
	}
	writes, _, _ = send(app(2, 1))
	if len(writes) != 1 {
		t.Fatalf("the next entry: %d writes, want 1", len(writes))
	}
	hard, err := decodeHardState(writes[0].HardState)
	if err != nil || hard.GetCommit() != 1 {
		t.Fatalf("the commit index did not ride along: %v, %v", hard, err)
	}
}

func TestStepRefusesWhatNoPeerSends(t *testing.T) {
	c, err := NewCore(testConfig(3), openLog(t), founded(testConfig(3)))
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*pb.Message{
		"an empty snapshot":      {Type: pb.MsgSnap.Enum(), From: new(uint64(2)), To: new(uint64(1))},
		"a forwarded proposal":   {Type: pb.MsgProp.Enum(), From: new(uint64(2)), To: new(uint64(1))},
		"a forwarded read":       {Type: pb.MsgReadIndex.Enum(), From: new(uint64(2)), To: new(uint64(1))},
		"a local message":        {Type: pb.MsgHup.Enum(), From: new(uint64(2)), To: new(uint64(1))},
		"a message of another":   {Type: pb.MsgHeartbeat.Enum(), From: new(uint64(3)), To: new(uint64(1))},
		"a message for another":  {Type: pb.MsgHeartbeat.Enum(), From: new(uint64(2)), To: new(uint64(3))},
		"a disk's own answer":    {Type: pb.MsgStorageAppendResp.Enum(), From: new(uint64(2)), To: new(uint64(1))},
		"an application's reply": {Type: pb.MsgStorageApplyResp.Enum(), From: new(uint64(2)), To: new(uint64(1))},
	} {
		b := (*body)(m)
		b.Size()
		if err := c.Step(2, b.Append(nil)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if err := c.Step(2, []byte{0xff}); err == nil {
		t.Error("noise was accepted")
	}
}
