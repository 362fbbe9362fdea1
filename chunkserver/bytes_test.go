package chunkserver

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// grantBytes is grant for a chunk of bytes.
func (c *cell) grantBytes(version, epoch uint64, replicas ...string) {
	c.t.Helper()
	c.kind = api.ChunkKind_BYTES
	c.grant(version, epoch, 5, replicas...)
}

func (c *cell) tryWrite(primary string, version, seq, offset uint64) (*api.AppendReply, error) {
	return c.clients[primary].Write(c.ctx(), &api.WriteRequest{Id: id(seq), Handle: handle, Version: version, Offset: offset})
}

// write pushes to all replicas and writes; it must succeed.
func (c *cell) write(version, seq, offset uint64, data []byte, replicas ...string) {
	c.t.Helper()
	c.push(seq, data, replicas...)
	reply, err := c.tryWrite(replicas[0], version, seq, offset)
	c.must(err)
	if reply.Code != api.Code_OK || reply.Offset != offset {
		c.t.Fatalf("write %d at %d: %v at %d", seq, offset, reply.Code, reply.Offset)
	}
}

// bytesOf reads all of a replica.
func (c *cell) bytesOf(name string, h uint64) ([]byte, api.Code) {
	c.t.Helper()
	var all []byte
	for {
		reply, err := c.clients[name].ReadChunk(c.ctx(), &api.ReadChunkRequest{Handle: h, Offset: uint64(len(all)), Length: 1 << 20})
		c.must(err)
		if reply.Code != api.Code_OK {
			return nil, reply.Code
		}
		if reply.Crc32C != api.Checksum(reply.Data) {
			c.t.Fatalf("the reply's crc32c is not its data's")
		}
		all = append(all, reply.Data...)
		if uint64(len(all)) >= reply.End {
			return all, api.Code_OK
		}
	}
}

func (c *cell) expectBytes(name string, h uint64, want []byte) {
	c.t.Helper()
	got, code := c.bytesOf(name, h)
	if code != api.Code_OK || !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		c.t.Fatalf("%s: %v, %d bytes, want %d; they differ from %d on", name, code, len(got), len(want), at)
	}
}

// model is what a chunk of bytes should hold.
type model []byte

func (m *model) write(offset uint64, data []byte) {
	if end := offset + uint64(len(data)); end > uint64(len(*m)) {
		*m = append(*m, make([]byte, end-uint64(len(*m)))...)
	}
	copy((*m)[offset:], data)
}

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// Writes at random offsets, over several blocks, with holes and over each other,
// read back on every replica as a plain array of bytes says, before and after
// power cuts of all.
func TestWritesAreLikeAnArrayOfBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, keep := range []int{0, 50, 100} {
			c := newSizedCell(t, 4*blockBytes+1000, three...)
			rng := rand.New(rand.NewPCG(testSeed, uint64(keep)))
			var want model
			seq := uint64(0)
			for round := uint64(1); round <= 4; round++ {
				c.grantBytes(round, 10*round, three...)
				for range 12 {
					seq++
					offset := rng.Uint64N(4*blockBytes + 500)
					n := 1 + rng.IntN(min(blockBytes, int(4*blockBytes+1000-offset)))
					if rng.IntN(3) == 0 {
						offset, n = uint64(len(want)), 1+rng.IntN(300)
					}
					if offset+uint64(n) > 4*blockBytes+1000 {
						continue
					}
					data := random(rng, n)
					c.write(round, seq, offset, data, three...)
					want.write(offset, data)
				}
				for _, name := range three {
					c.expectBytes(name, handle, want)
					c.crash(name, keep)
					c.expectBytes(name, handle, want)
				}
			}
		}
	})
}

func TestConcurrentWritesLeaveReplicasEqual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSizedCell(t, 3*blockBytes, three...)
		c.grantBytes(1, 10, three...)
		for _, name := range three {
			c.disks[name].StallSyncs(1e6)
		}
		rng := rand.New(rand.NewPCG(testSeed, 3))
		var wg sync.WaitGroup
		for seq := uint64(1); seq <= 60; seq++ {
			offset, data := rng.Uint64N(2*blockBytes), random(rng, 1+rng.IntN(9000))
			wg.Go(func() { c.write(1, seq, offset, data, three...) })
		}
		wg.Wait()
		want, _ := c.bytesOf("a", handle)
		if len(want) < blockBytes {
			t.Fatalf("only %d bytes were written", len(want))
		}
		for _, name := range three {
			c.expectBytes(name, handle, want)
		}
	})
}

// A request that comes again, late, must not undo what was written after it.
func TestReplayedWriteChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grantBytes(1, 10, three...)
		first, second := payload(1, 500), payload(2, 500)
		c.write(1, 1, 0, first, three...)
		c.write(1, 2, 0, second, three...)
		c.write(1, 1, 0, first, three...) // pushed and asked for once more
		for _, name := range three {
			c.expectBytes(name, handle, second)
		}
		if n := len(c.kinds("b", EventMutate)); n != 2 {
			t.Errorf("%d mutations at a secondary, want 2", n)
		}
	})
}

func TestKindsAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		c.push(1, payload(1, 50), three...)
		if reply, err := c.tryWrite("a", 1, 1, 0); err != nil || reply.Code != api.Code_WRONG_KIND {
			t.Errorf("a write to a chunk of records: %v %v", reply, err)
		}
		r := c.mutation(1, 0, payload(1, 50))
		r.Write = true
		if reply, err := c.clients["b"].Mutate(c.ctx(), r); err != nil || reply.Code != api.Code_WRONG_KIND {
			t.Errorf("a write forwarded to a chunk of records: %v %v", reply, err)
		}
		c.kind = api.ChunkKind_BYTES
		if reply := c.prepare("a", c.request(2, 0, 5, three...)); reply.Ok {
			t.Error("a chunk of records was granted as one of bytes")
		}
		c.crash("a", 0)
		if reply := c.prepare("a", c.request(2, 0, 5, three...)); reply.Ok {
			t.Error("a restart made the chunk forget its kind")
		}
	})
}

func TestHostileWritesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grantBytes(1, 10, three...)
		c.push(1, payload(1, 100), three...)
		c.push(2, nil, three...)
		for what, r := range map[string]*api.WriteRequest{
			"beyond the chunk":   {Id: id(1), Handle: handle, Version: 1, Offset: testChunk},
			"across its end":     {Id: id(1), Handle: handle, Version: 1, Offset: testChunk - 99},
			"offset wraps round": {Id: id(1), Handle: handle, Version: 1, Offset: ^uint64(0) - 10},
			"nothing":            {Id: id(2), Handle: handle, Version: 1},
			"no id":              {Handle: handle, Version: 1},
		} {
			if reply, err := c.clients["a"].Write(c.ctx(), r); status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s: %v %v, want InvalidArgument", what, reply, err)
			}
		}
		for what, r := range map[string]*api.WriteRequest{
			"no data":   {Id: id(9), Handle: handle, Version: 1},
			"no chunk":  {Id: id(1), Handle: 5, Version: 1},
			"old grant": {Id: id(1), Handle: handle, Version: 0},
		} {
			want := map[string]api.Code{"no data": api.Code_NOT_FOUND, "no chunk": api.Code_NO_CHUNK, "old grant": api.Code_STALE}[what]
			if reply, err := c.clients["a"].Write(c.ctx(), r); err != nil || reply.Code != want {
				t.Errorf("%s: %v %v, want %v", what, reply.GetCode(), err, want)
			}
		}
		if n := len(c.kinds("a", EventMutate)); n != 0 {
			t.Errorf("%d hostile writes were applied", n)
		}
	})
}

func TestPushStreamReachesTheWholeChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSizedCell(t, 4*blockBytes, three...)
		c.grantBytes(1, 10, three...)
		data := random(rand.New(rand.NewPCG(testSeed, 4)), blockBytes)
		if err := c.pushStream(1, data, uint64(len(data)), api.Checksum(data), 5000, three...); err != nil {
			t.Fatal(err)
		}
		reply, err := c.tryWrite("a", 1, 1, 0)
		c.must(err)
		if reply.Code != api.Code_OK {
			t.Fatalf("write of streamed data: %v", reply.Code)
		}
		for _, name := range three {
			c.expectBytes(name, handle, data)
		}
		for what, err := range map[string]error{
			"wrong crc":   c.pushStream(2, data, uint64(len(data)), 1, 5000, three...),
			"too much":    c.pushStream(2, data, 100, api.Checksum(data), 5000, three...),
			"too little":  c.pushStream(2, data[:100], uint64(len(data)), api.Checksum(data), 5000, three...),
			"oversized":   c.pushStream(2, data, 1<<40, api.Checksum(data), 5000, three...),
			"no pieces":   c.pushStream(2, nil, 0, 0, 0, three...),
			"wrong chain": c.pushStream(2, data, uint64(len(data)), api.Checksum(data), 5000, append([]string{"a"}, make([]string, 20)...)...),
		} {
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s: %v, want InvalidArgument", what, err)
			}
		}
		for _, name := range three {
			c.eventually("the buffer of "+name+" is empty", func() bool { return c.servers[name].Levels().BufferBytes == 0 })
		}
	})
}

// pushStream sends data in pieces; with piece 0 it sends none at all.
func (c *cell) pushStream(seq uint64, data []byte, size uint64, crc uint32, piece int, chain ...string) error {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.ctx())
	defer cancel()
	stream, err := c.clients[chain[0]].PushStream(ctx)
	c.must(err)
	for first := true; len(data) > 0; first = false {
		p := &api.PushPiece{Data: data[:min(piece, len(data))]}
		if first {
			p.Id, p.Size, p.Crc32C, p.Chain = id(seq), size, crc, chain[1:]
		}
		data = data[len(p.Data):]
		if stream.Send(p) != nil {
			break // the answer says why
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

// A block is verified before it is changed in part: a new checksum must not bless
// damaged bytes. One that is replaced as a whole needs no look.
func TestPartlyOverwrittenBlockIsVerifiedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, victim := range []string{"a", "b"} { // primary, secondary
			c := newSizedCell(t, 4*blockBytes, "a", "b")
			c.grantBytes(1, 10, "a", "b")
			c.write(1, 1, 0, payload(1, 50_000), "a", "b")
			c.rot(victim, handle, 30_000)
			// What lies over the whole block mends it.
			c.write(1, 2, 0, payload(2, blockBytes), "a", "b")
			c.expectBytes(victim, handle, payload(2, blockBytes))
			c.rot(victim, handle, 30_000)
			c.push(3, payload(3, 100), "a", "b")
			if reply, err := c.tryWrite("a", 1, 3, 200); status.Code(err) != codes.Aborted {
				t.Fatalf("%s is damaged, and the write was answered with %v %v", victim, reply, err)
			}
			if _, code := c.bytesOf(victim, handle); code != api.Code_CORRUPT {
				t.Errorf("the damaged block of %s is read: %v", victim, code)
			}
			if report := c.servers[victim].report(); len(report) != 1 || !report[0].Corrupt {
				t.Errorf("%s reports %v", victim, report)
			}
			if e := c.kinds(victim, EventCorrupt); len(e) != 1 || e[0].Offset != 0 {
				t.Errorf("%s: %v", victim, e)
			}
		}
	})
}
