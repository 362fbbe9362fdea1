package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// apply applies commands as one entry and parses the replies.
func apply(t *testing.T, s *Store, index uint64, commands ...Command) []Reply {
	t.Helper()
	var raws [][]byte
	for _, c := range commands {
		raws = append(raws, c.Append(nil))
	}
	var replies []Reply
	for _, raw := range s.Apply(index, raws) {
		r, err := ParseReply(raw)
		if err != nil {
			t.Fatal(err)
		}
		replies = append(replies, r)
	}
	return replies
}

func encode(t testing.TB, s *Store) []byte {
	t.Helper()
	var buf bytes.Buffer
	n, err := s.Snapshot().WriteTo(&buf)
	if err != nil || n != int64(buf.Len()) {
		t.Fatalf("WriteTo: %d of %d bytes, %v", n, buf.Len(), err)
	}
	return buf.Bytes()
}

func filled(t testing.TB, keys int) *Store {
	t.Helper()
	s := New()
	for i := range keys {
		c := Command{Client: fmt.Sprint("c", i%7), Seq: uint64(i + 1), Op: Put, Key: fmt.Sprintf("k%04d", i), Value: []byte(strings.Repeat("v", i%100))}
		s.Apply(uint64(i+1), [][]byte{c.Append(nil)})
	}
	return s
}

// A captured state stays what it was while the store changes beside the writing.
func TestSnapshotBesideChanges(t *testing.T) {
	s := filled(t, 500)
	want := encode(t, s)
	c := s.Snapshot()
	for i := range 500 {
		op := Command{Op: Delete, Key: fmt.Sprintf("k%04d", i)}
		if i%2 == 0 {
			op = Command{Client: "c0", Seq: uint64(1000 + i), Op: Put, Key: op.Key, Value: []byte("new")}
		}
		s.Apply(uint64(501+i), [][]byte{op.Append(nil)})
	}
	var got bytes.Buffer
	if _, err := c.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("the captured state changed: %v", err)
	}
	if keys, _ := s.Sizes(); keys != 250 {
		t.Fatalf("%d keys, want 250", keys)
	}
}

// Every cut and every flipped byte of a snapshot is refused, and leaves the
// state alone.
func TestRestoreRefusesDamage(t *testing.T) {
	whole := encode(t, filled(t, 20))
	s := filled(t, 3)
	before := s.Hash()
	refused := func(what string, damaged []byte) {
		if err := s.Restore(bytes.NewReader(damaged)); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("%s: got %v", what, err)
		}
		if s.Hash() != before {
			t.Fatalf("%s: the state changed", what)
		}
	}
	for n := range whole {
		refused(fmt.Sprintf("cut at %d", n), whole[:n])
		flipped := bytes.Clone(whole)
		flipped[n] ^= 0x55
		refused(fmt.Sprintf("byte %d flipped", n), flipped)
	}
	if err := s.Restore(bytes.NewReader(whole)); err != nil || s.Hash() == before {
		t.Fatalf("the undamaged snapshot: %v", err)
	}
}

type failingWriter struct{ room int }

func (w *failingWriter) Write(b []byte) (int, error) {
	if len(b) > w.room {
		return 0, io.ErrShortWrite
	}
	w.room -= len(b)
	return len(b), nil
}

func TestWriteToReportsErrors(t *testing.T) {
	if _, err := filled(t, 2000).Snapshot().WriteTo(&failingWriter{room: 70 << 10}); !errors.Is(err, io.ErrShortWrite) {
		t.Fatalf("got %v", err)
	}
}

// A repeated command gets its reply again however often, also from a store that
// was restored, until the client's next command; then it is stale.
func TestExactlyOnce(t *testing.T) {
	s := New()
	cas := Command{Client: "c", Seq: 1, Op: CompareAndSwap, Key: "k", Value: []byte("1"), Absent: true}
	first := apply(t, s, 5, cas)[0]
	if first != (Reply{Revision: Revision(5, 0), Index: 5}) {
		t.Fatalf("first: %+v", first)
	}
	restored := New()
	if err := restored.Restore(bytes.NewReader(encode(t, s))); err != nil {
		t.Fatal(err)
	}
	again := first
	again.Replayed = true
	if got := apply(t, restored, 6, cas, cas); got[0] != again || got[1] != again {
		t.Fatalf("again: %+v", got)
	}
	next := Command{Client: "c", Seq: 2, Op: Delete, Key: "k"}
	if got := apply(t, restored, 7, next, cas); got[0].Code != OK || got[1].Code != Stale {
		t.Fatalf("after the next: %+v", got)
	}
}

func TestRefusesMalformed(t *testing.T) {
	long := strings.Repeat("x", MaxKeyBytes+1)
	for _, c := range []Command{
		{Op: 0, Key: "k"}, {Op: 4, Key: "k"}, {Op: Put}, {Op: Put, Key: long},
		{Op: Put, Key: "k", Value: make([]byte, MaxValueBytes+1)}, {Op: Put, Key: "k", Client: "c"}, {Op: Put, Key: "k", Seq: 1},
		{Op: Delete, Key: "k", Value: []byte("v")}, {Op: Put, Key: "k", Absent: true}, {Op: CompareAndSwap, Key: "k", Absent: true, Expect: []byte("v")},
		{Op: Put, Key: "k", Client: strings.Repeat("c", MaxClientBytes+1), Seq: 1},
	} {
		if err := c.Validate(); !errors.Is(err, ErrCommand) {
			t.Errorf("%+v passes: %v", c, err)
		}
		s := New()
		empty := s.Hash()
		if got := apply(t, s, 1, c)[0]; got.Code != Invalid || s.Hash() != empty {
			t.Errorf("%+v: applied with %+v", c, got)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add(Command{Client: "c", Seq: 3, Op: CompareAndSwap, Key: "k", Value: []byte("v"), Expect: []byte("w")}.Append(nil))
	f.Add(Command{Op: Delete, Key: "k"}.Append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ParseCommand(raw)
		if err != nil {
			return
		}
		if got := c.Append(nil); !bytes.Equal(got, raw) {
			t.Fatalf("%x parses, and encodes as %x", raw, got)
		}
	})
}

func FuzzRestore(f *testing.F) {
	f.Add(encode(f, New()))
	f.Add(encode(f, filled(f, 5)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := New()
		if err := s.Restore(bytes.NewReader(raw)); err != nil {
			return
		}
		if got := encode(t, s); !bytes.HasPrefix(raw, got) {
			t.Fatal("a snapshot was taken that is not its state's own")
		}
	})
}

func BenchmarkApply(b *testing.B) {
	s := New()
	raw := make([][]byte, 1)
	for i := 0; b.Loop(); i++ {
		c := Command{Client: fmt.Sprint("c", i%100), Seq: uint64(i + 1), Op: Put, Key: fmt.Sprint(i % 100000), Value: make([]byte, 256)}
		raw[0] = c.Append(raw[0][:0])
		s.Apply(uint64(i+1), raw)
	}
}
