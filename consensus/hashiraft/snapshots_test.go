package hashiraft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
	"gfslab/consensus/storage"
	faultdisk "gfslab/internal/fault/disk"
)

func openSnapshots(t *testing.T, fs *faultdisk.FS) *snapshots {
	return &snapshots{store: openStore(t, fs), taken: func(storage.SnapshotMeta) {}, stop: make(chan struct{})}
}

// summed is a body as a sender would stream it.
func summed(text string) []byte {
	return binary.LittleEndian.AppendUint32([]byte(text), crc32.Checksum([]byte(text), castagnoli))
}

func TestSnapshotStore(t *testing.T) {
	fs := faultdisk.NewMem(1)
	s := openSnapshots(t, fs)
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Fatalf("an empty store lists %v, %v", list, err)
	}
	c := configuration([]consensus.Peer{{ID: 1, Addr: "a:1"}})
	create := func(index uint64, parts ...[]byte) raft.SnapshotSink {
		k, err := s.Create(raft.SnapshotVersionMax, index, 2, c, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			if n, err := k.Write(p); err != nil || n != len(p) {
				t.Fatal(n, err)
			}
		}
		return k
	}
	if err := create(5, []byte("half")).Cancel(); err != nil {
		t.Fatal(err)
	}
	bad := summed("the state")
	bad[3]++
	if err := create(6, bad).Close(); !errors.Is(err, errChecksum) {
		t.Fatalf("a snapshot that was damaged on its way: %v", err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Fatalf("after two that failed the store lists %v, %v", list, err)
	}
	body := summed("the state")
	kept := create(9, body[:3], body[3:8], body[8:])
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
	s = openSnapshots(t, fs.Crash(0))
	list, err := s.List()
	if err != nil || len(list) != 1 {
		t.Fatalf("after a crash the store lists %v, %v", list, err)
	}
	m := list[0]
	if m.ID != kept.ID() || m.Index != 9 || m.Term != 2 || m.Size != int64(len(body)) || m.ConfigurationIndex != 1 || len(m.Configuration.Servers) != 1 {
		t.Fatalf("meta %+v", m)
	}
	_, r, err := s.Open(m.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, body) {
		t.Fatalf("%q, %v", b, err)
	}
	if _, _, err := s.Open("1-5"); err == nil {
		t.Fatal("a snapshot that is not there was opened")
	}
}

// What is received replaces what is being written, and the library forgets that
// one first.
func TestOwnSnapshotYieldsToOneReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openSnapshots(t, faultdisk.NewMem(1))
		sinkOf := func(index uint64) *sink {
			k, err := s.Create(raft.SnapshotVersionMax, index, 2, configuration(nil), 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			return k.(*sink)
		}
		s.begin()
		own, other := sinkOf(10), sinkOf(20)
		if err := s.claim(own); err != nil {
			t.Fatal(err)
		}
		finished := make(chan error, 1)
		go func() {
			_, err := other.Write(summed("theirs"))
			finished <- errors.Join(err, other.Close())
		}()
		synctest.Wait()
		if len(finished) != 0 {
			t.Fatal("it did not wait for the library to be done with its own")
		}
		if _, err := own.Write([]byte("ours")); !errors.Is(err, errYields) {
			t.Fatalf("our own goes on: %v", err)
		}
		if err := own.Cancel(); err != nil {
			t.Fatal(err)
		}
		s.end()
		if err := <-finished; err != nil {
			t.Fatal(err)
		}
		s.begin()
		if err := s.claim(sinkOf(30)); err != nil {
			t.Fatalf("after the reception: %v", err)
		}
		s.end()
	})
}

func TestImage(t *testing.T) {
	m := image{index: 9, term: 3, applied: 7, members: consensus.Members{
		Index: 4, Voters: []consensus.Peer{{ID: 1, Addr: "a"}, {ID: 3, Addr: "c"}}, Learners: []consensus.Peer{{ID: 8, Addr: "h"}}, MaxID: 11,
	}}
	for _, text := range []string{"", "x", strings.Repeat("state ", 50_000)} {
		body := summed(string(append(m.append(nil), text...)))
		for name, r := range map[string]io.Reader{"whole": bytes.NewReader(body), "byte by byte": iotest.OneByteReader(bytes.NewReader(body))} {
			in := newBody(r)
			got, err := readImage(in)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(m) {
				t.Fatalf("%s: %+v, %v", name, got, err)
			}
			if b, err := io.ReadAll(stateReader{in}); err != nil || string(b) != text {
				t.Errorf("%s: %d bytes of state, want %d, %v", name, len(b), len(text), err)
			}
		}
	}
	whole := m.append(nil)
	for n := range whole {
		if _, err := readImage(newBody(bytes.NewReader(whole[:n]))); err == nil {
			t.Errorf("%d of %d bytes of a head were taken for one", n, len(whole))
		}
	}
	if err := iotest.TestReader(stateReader{newBody(bytes.NewReader(summed("some text that is long enough")))}, []byte("some text that is long enough")); err != nil {
		t.Error(err)
	}
}

func snapshotsEvery(n, trailing uint64) func(consensus.NodeID, *consensus.Limits) {
	return func(_ consensus.NodeID, l *consensus.Limits) { l.SnapshotEvery, l.TrailingEntries = n, trailing }
}

func TestSnapshotsAreTakenAndTheLogIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, snapshotsEvery(50, 40))
		for _, d := range w.disks { // so that nobody lags behind for want of a processor
			d.StallSyncs(100 * time.Microsecond)
		}
		leader := w.leader()
		for i := range 250 {
			w.propose(leader, fmt.Sprint(i))
		}
		time.Sleep(time.Second)
		for _, r := range w.replicas {
			s := r.Status()
			if s.Snapshot < 200 || s.First != s.Snapshot-40+1 || s.Counters["snapshots"] < 3 || s.Counters["snapshots_fetched"] > 0 {
				t.Errorf("node %d: snapshot %d, log from %d, %d snapshots of its own, %d received", s.ID, s.Snapshot, s.First, s.Counters["snapshots"], s.Counters["snapshots_fetched"])
			}
		}
	})
}

// A follower that wrote a long tail as the leader, and was cut off, is sent a
// snapshot that ends within that tail. It must come to what the others have;
// the library alone sends it the snapshot for ever.
func TestInstallBelowAConflictingTail(t *testing.T) {
	for _, trailing := range []uint64{0, 1000} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("trailing %d, restart %v", trailing, restart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { conflictingTail(t, trailing, restart) })
			})
		}
	}
}

func conflictingTail(t *testing.T, trailing uint64, restart bool) {
	w := newWorld(t, 3, func(id consensus.NodeID, l *consensus.Limits) {
		l.BatchMode, l.TrailingEntries = consensus.BatchNative, trailing
	})
	old := w.leader()
	w.propose(old, "common")
	w.isolate(old)
	for i := range 60 { // never committed
		w.write(old, fmt.Sprintf("lost%d", i))
	}
	synctest.Wait()
	fresh := w.leader(old)
	for i := range 20 {
		w.propose(fresh, fmt.Sprintf("kept%d", i))
	}
	for _, r := range w.replicas {
		if r == old {
			continue
		}
		r.store.trailing = 0 // they keep nothing for a laggard
		if _, err := r.SnapshotNow(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.propose(fresh, "after the snapshot")
	_, last := old.log.Bounds()
	if snapshot := fresh.Status().Snapshot; snapshot >= last {
		t.Fatalf("the scenario says nothing: the snapshot ends at %d, the tail at %d", snapshot, last)
	}
	time.Sleep(20 * time.Second) // what was sent before the snapshot is given up
	if restart {
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
		w.open(old.cfg.Self, old.cfg.Limits)
		old = w.replicas[old.cfg.Self-1]
	}
	w.fabric.HealAll()
	want := w.journals[fresh.cfg.Self-1].text()
	for end := time.Now().Add(20 * time.Second); w.journals[old.cfg.Self-1].text() != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 20 s it has %q, and %d snapshots", w.journals[old.cfg.Self-1].text(), old.snapshots.fetched.Load())
		}
	}
	if n := old.snapshots.fetched.Load(); n != 1 {
		t.Errorf("it took %d snapshots", n)
	}
	w.propose(w.leader(), "and on")
}

func TestSnapshotNowOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		leader := w.leader()
		w.propose(leader, "a")
		first, err := leader.SnapshotNow(t.Context())
		if err != nil || first.Index == 0 || first.Bytes == 0 || first.Term == 0 {
			t.Fatalf("%+v, %v", first, err)
		}
		if err := leader.Close(); err != nil {
			t.Fatal(err)
		}
		w.open(1, leader.cfg.Limits)
		leader = w.replicas[0]
		c := leader.Status().Counters
		if w.journals[0].text() != "a" || c["restart_snapshot_bytes"] != uint64(first.Bytes) {
			t.Errorf("after the restart it has %q; counters %v", w.journals[0].text(), c)
		}
		again, err := leader.SnapshotNow(t.Context())
		if err != nil || again.Index < first.Index {
			t.Errorf("with nothing new: %+v, %v", again, err)
		}
	})
}
