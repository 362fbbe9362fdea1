package client

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/client/clienttest"
)

// allocate adds a chunk of this kind and returns its handle.
func (c *cell) allocate(cl *Client, path string, index uint32, kind api.ChunkKind) uint64 {
	c.t.Helper()
	r := cl.AllocateChunk(context.Background(), path, index, WithKind(kind))
	if r.Outcome != OK || r.Reply.Code != api.Code_OK {
		c.t.Fatalf("allocate %d of %s: %v %v %v", index, path, r.Outcome, r.Reply.GetCode(), r.Err)
	}
	return r.Reply.Handle
}

func (c *cell) write(cl *Client, path string, index uint32, offset uint64, data string, options ...CallOption) WriteResult {
	c.t.Helper()
	r := cl.Write(context.Background(), path, index, offset, []byte(data), options...)
	if r.Outcome != OK || r.Code != api.Code_OK {
		c.t.Fatalf("write at %d of chunk %d: %v %v %v", offset, index, r.Outcome, r.Code, r.Err)
	}
	return r
}

// holds checks a chunk's bytes on every replica.
func (c *cell) holds(handle uint64, want string) {
	c.t.Helper()
	cl := c.client("holds", 7)
	info := cl.ChunkInfo(context.Background(), handle)
	if info.Outcome != OK || len(info.Reply.Replicas) == 0 {
		c.t.Fatalf("chunk %d: %v %v", handle, info.Reply, info.Err)
	}
	for _, name := range info.Reply.Replicas {
		r := cl.ReadBytes(context.Background(), handle, 0, cellChunk, WithReplica(name))
		if r.Outcome != OK || r.Replica != name || string(r.Data) != want || r.End != uint64(len(want)) {
			c.t.Fatalf("chunk %d on %s (from %s): %q of %d bytes, want %q: %v", handle, name, r.Replica, r.Data, r.End, want, r.Err)
		}
	}
}

func TestWriteAtOffsets(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		c.Leader()
		cl := c.client("c", 1)
		c.create(cl, "/f")
		handle := c.allocate(cl, "/f", 0, api.ChunkKind_BYTES)
		if r := c.write(cl, "/f", 0, 0, "0123456789"); r.Handle != handle || r.Offset != 0 || r.ChunkIndex != 0 || len(r.Replicas) != 3 || r.CRC != api.Checksum([]byte("0123456789")) {
			t.Errorf("%+v", r)
		}
		c.write(cl, "/f", 0, 4, "xy")
		c.write(cl, "/f", 0, 12, "zz") // behind the end: zeros between
		c.holds(handle, "0123xy6789\x00\x00zz")
		for what, x := range map[string]struct {
			path   string
			index  uint32
			offset uint64
			size   int
			want   api.Code
			fail   bool
		}{
			"no file":               {"/none", 0, 0, 1, api.Code_NOT_FOUND, false},
			"no chunk":              {"/f", 1, 0, 1, api.Code_NO_CHUNK, false},
			"a directory":           {"/", 0, 0, 1, api.Code_IS_DIRECTORY, false},
			"over the chunk's end":  {"/f", 0, cellChunk - 1, 2, 0, true},
			"more than can be sent": {"/f", 0, 0, cellChunk, 0, true},
		} {
			r := cl.Write(context.Background(), x.path, x.index, x.offset, make([]byte, x.size))
			if x.fail && (r.Outcome != Fail || r.Err == nil) || !x.fail && (r.Outcome != OK || r.Code != x.want) {
				t.Errorf("%s: %v %v %v", what, r.Outcome, r.Code, r.Err)
			}
			if len(r.Attempts) > 20 {
				t.Errorf("%s was tried %d times: it is hopeless", what, len(r.Attempts))
			}
		}
		c.allocate(cl, "/f", 1, api.ChunkKind_RECORDS)
		if r := cl.Write(context.Background(), "/f", 1, 0, []byte("x")); r.Outcome != OK || r.Code != api.Code_WRONG_KIND {
			t.Errorf("to a chunk of records: %v %v", r.Outcome, r.Code)
		}
		c.holds(handle, "0123xy6789\x00\x00zz")
	})
}

// Several clients push side by side; their turns decide the order.
func TestWritesTakeTurns(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		c.Leader()
		cl := c.client("c", 1)
		c.create(cl, "/f")
		handle := c.allocate(cl, "/f", 0, api.ChunkKind_BYTES)
		first, done := make(chan struct{}), make(chan WriteResult)
		go func() {
			done <- c.client("late", 2).Write(context.Background(), "/f", 0, 0, []byte("second"), WithTurn(first))
		}()
		time.Sleep(time.Second)
		c.write(cl, "/f", 0, 0, "first")
		close(first)
		if r := <-done; r.Outcome != OK || r.Code != api.Code_OK || r.Serial != 2 {
			t.Fatalf("%+v", r)
		}
		c.holds(handle, "second")
		ctx, cancel := within(time.Second)
		defer cancel()
		if r := cl.Write(ctx, "/f", 0, 0, []byte("never"), WithTurn(make(chan struct{}))); r.Outcome != Fail {
			t.Errorf("without its turn: %+v", r)
		}
		c.holds(handle, "second")
	})
}

// What was acknowledged stays through chunkservers that lose their power.
func TestWritesSurviveCrashes(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		c.Leader()
		cl := c.client("c", 1)
		c.create(cl, "/f")
		handle := c.allocate(cl, "/f", 0, api.ChunkKind_BYTES)
		want := bytes.Repeat([]byte("."), 1000)
		c.write(cl, "/f", 0, 0, string(want))
		for round := range 9 {
			piece := fmt.Sprintf("round %d", round)
			offset := round * 53
			c.write(cl, "/f", 0, uint64(offset), piece)
			copy(want[offset:], piece)
			c.Crash(fmt.Sprintf("cs%d", round%3+1), []int{0, 50, 100}[round%3])
		}
		c.write(cl, "/f", 0, 999, "!")
		want[999] = '!'
		c.holds(handle, string(want))
	})
}

// Data above 64 KiB is pushed in pieces, and arrives whole.
func TestLargeAppendsAreStreamed(t *testing.T) {
	inCellOf(t, clienttest.Config{ChunkBytes: 1 << 20}, func(t *testing.T, c *cell) {
		c.Leader()
		cl := c.client("c", 1)
		c.create(cl, "/f")
		var records []acked
		for _, size := range []int{pushWhole, pushWhole + 1, 3*pushPiece + 17} {
			records = append(records, c.append(cl, "/f", bytes.Repeat([]byte{byte(size)}, size)))
		}
		c.verify("/f", records)
	})
}

// In strict mode a chunk is sealed before the next one is there, so that positions
// rise with time over chunks as well; a sealed chunk takes no more.
func TestAppendsInStrictMode(t *testing.T) {
	inCellOf(t, clienttest.Config{Strict: true}, func(t *testing.T, c *cell) {
		c.Leader()
		cl, other := c.client("c", 1), c.client("other", 2)
		c.create(cl, "/f")
		var records []acked
		for i := range 30 {
			by := cl
			if i%3 == 0 {
				by = other // knows the chunk that is sealed meanwhile
			}
			records = append(records, c.append(by, "/f", []byte(fmt.Sprintf("%d %01000d", i, i))))
			if i > 0 {
				last, this := records[i-1], records[i]
				if this.ChunkIndex < last.ChunkIndex || this.ChunkIndex == last.ChunkIndex && this.Offset <= last.Offset {
					t.Fatalf("record %d is at %d/%d, the one before at %d/%d", i, this.ChunkIndex, this.Offset, last.ChunkIndex, last.Offset)
				}
			}
		}
		c.verify("/f", records)
		st := cl.Stat(context.Background(), "/f")
		if st.Outcome != OK || len(st.Reply.Details) < 3 {
			t.Fatalf("%v %v", st.Reply, st.Err)
		}
		for i, d := range st.Reply.Details {
			if last := i == len(st.Reply.Details)-1; d.Sealed == last {
				t.Errorf("chunk %d of %d: sealed is %v", i, len(st.Reply.Details), d.Sealed)
			}
		}
	})
}

// An append to a file that put has made begins a chunk of records.
func TestAppendsBehindBytes(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		c.Leader()
		cl := c.client("c", 1)
		c.create(cl, "/f")
		handle := c.allocate(cl, "/f", 0, api.ChunkKind_BYTES)
		c.write(cl, "/f", 0, 0, "bytes")
		a := c.append(cl, "/f", []byte("record"))
		if a.ChunkIndex != 1 || a.Handle == handle {
			t.Errorf("the record went to %+v", a.AppendResult)
		}
		// One who believes in a tail of records is told of the bytes behind it.
		c.allocate(c.client("putter", 3), "/f", 2, api.ChunkKind_BYTES)
		c.verify("/f", []acked{a, c.append(cl, "/f", []byte("more")), c.append(c.client("new", 4), "/f", []byte("still more"))})
		c.holds(handle, "bytes")
	})
}

// A client that knows a chunk from before a snapshot never writes to what the
// snapshot alone has now.
func TestAppendAfterASnapshotGoesToTheFile(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		c.Leader()
		ctx := context.Background()
		cl, other := c.client("c", 1), c.client("other", 2)
		c.create(cl, "/f")
		before := c.append(other, "/f", []byte("before"))
		first := c.append(cl, "/f", []byte("first"))
		if r := cl.Snapshot(ctx, "/f", "/snap"); r.Outcome != OK || r.Reply.Code != api.Code_OK {
			t.Fatalf("snapshot: %v %v %v", r.Outcome, r.Reply.GetCode(), r.Err)
		}
		after := c.append(cl, "/f", []byte("after"))
		if after.Handle == first.Handle {
			t.Error("the shared chunk was appended to")
		}
		// The old chunk is the snapshot's alone by now, and could be granted.
		late := c.append(other, "/f", []byte("late"))
		if late.Handle == before.Handle {
			t.Error("the snapshot's chunk was appended to")
		}
		records, err := cl.ReadAll(ctx, "/snap")
		c.must(err)
		if len(records) != 2 || string(records[0].Payload) != "before" || string(records[1].Payload) != "first" {
			t.Errorf("the snapshot has %d records: %v", len(records), records)
		}
		records, err = cl.ReadAll(ctx, "/f")
		c.must(err)
		if len(records) != 4 {
			t.Errorf("the file has %d records: %v", len(records), records)
		}
	})
}
