package chunkserver

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/internal/disk"
)

// rot flips a bit of a chunk's bytes on the disk of a running chunkserver.
func (c *cell) rot(name string, h, offset uint64) {
	c.t.Helper()
	f, err := c.disks[name].OpenReadWrite(ChunkPath(c.disks[name], "/cs", h), disk.WriteCategory("test"))
	c.must(err)
	at := DataStart(c.size) + int64(offset)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	c.must(err)
	b[0] ^= 0x20
	_, err = f.WriteAt(b, at)
	c.must(err)
	c.must(f.Sync())
	c.must(f.Close())
}

func (c *cell) clone(name string, version, term uint64, sources ...string) *api.CloneReply {
	c.t.Helper()
	reply, err := c.clients[name].Clone(c.ctx(), &api.CloneRequest{Handle: handle, Version: version, Term: term, Kind: c.kind, Sources: sources})
	c.must(err)
	return reply
}

// end stops the lease, as a master does before it clones or copies.
func (c *cell) end(primary string, epoch uint64) {
	c.t.Helper()
	reply, err := c.clients[primary].EndLease(c.ctx(), c.request(1, epoch, 5, primary))
	c.must(err)
	if !reply.Ok {
		c.t.Fatal(reply.Reason)
	}
}

func TestCloneFetchesAWholeReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSizedCell(t, 40*blockBytes, "a", "b", "c", "d")
		c.grantBytes(1, 10, "a", "b")
		data := random(rand.New(rand.NewPCG(testSeed, 5)), 2<<20+700)
		for i, seq := 0, uint64(1); i < len(data); seq++ {
			n := min(100_000, len(data)-i)
			c.write(1, seq, uint64(i), data[i:i+n], "a", "b")
			i += n
		}
		if reply := c.clone("a", 1, 5, "b"); reply.Code != api.Code_LEASE_HELD {
			t.Errorf("the primary of a live lease was replaced: %v", reply)
		}
		c.end("a", 10)
		if reply := c.clone("c", 1, 5, "a"); reply.Code != api.Code_OK || reply.Bytes != uint64(len(data)) {
			t.Fatalf("clone: %v", reply)
		}
		c.expectBytes("c", handle, data)
		c.crash("c", 0)
		c.expectBytes("c", handle, data)

		// A damaged source is left where it fails, and so is one that is down.
		c.rot("a", handle, 1<<20+5)
		c.fabric.Cut("d", "b")
		if reply := c.clone("d", 1, 5, "a", "b", "c"); reply.Code != api.Code_OK {
			t.Fatalf("clone from what is left: %v", reply)
		}
		c.expectBytes("d", handle, data)
		// In place of the damaged one.
		if reply := c.clone("a", 1, 5, "d"); reply.Code != api.Code_OK {
			t.Fatalf("clone in place: %v", reply)
		}
		c.expectBytes("a", handle, data)
		// The clone takes part in the next grant.
		c.fabric.HealAll()
		c.grantBytes(2, 20, "c", "d", "a")
		c.write(2, 1000, 5, payload(1000, 50), "c", "d", "a")
		copy(data[5:], payload(1000, 50))
		for _, name := range []string{"a", "c", "d"} {
			c.expectBytes(name, handle, data)
		}
	})
}

func TestClonesThatMustNotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a", "b", "c")
		c.grant(3, 10, 5, "a", "b")
		offset := c.append(3, 1, payload(1, 100), "a", "b").Offset
		c.end("a", 10)
		for what, want := range map[string]struct {
			reply *api.CloneReply
			code  api.Code
		}{
			"lower term":            {c.clone("c", 3, 4, "a"), api.Code_STALE},
			"lower version":         {c.clone("b", 2, 5, "a"), api.Code_STALE},
			"source is behind":      {c.clone("c", 4, 5, "a"), api.Code_STALE},
			"source has no replica": {c.clone("b", 3, 5, "c"), api.Code_NOT_FOUND},
		} {
			if want.reply.Code != want.code {
				t.Errorf("%s: %v, want %v", what, want.reply, want.code)
			}
		}
		c.rot("a", handle, offset+70)
		if reply := c.clone("c", 3, 5, "a"); reply.Code != api.Code_CORRUPT {
			t.Errorf("clone of a damaged replica: %v", reply)
		}
		for what, r := range map[string]*api.CloneRequest{
			"no handle":  {Version: 1, Term: 5, Sources: []string{"a"}},
			"no version": {Handle: 1, Term: 5, Sources: []string{"a"}},
			"no source":  {Handle: 1, Version: 1, Term: 5},
			"no kind":    {Handle: 1, Version: 1, Term: 5, Kind: 7, Sources: []string{"a"}},
		} {
			if reply, err := c.clients["c"].Clone(c.ctx(), r); status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s: %v %v", what, reply, err)
			}
		}
		if names, err := c.disks["c"].List("/cs/chunks"); err != nil || len(names) != 0 {
			t.Errorf("refused clones left %v %v", names, err)
		}
		if report := c.servers["c"].report(); len(report) != 0 || len(c.servers["c"].chunks) != 0 {
			t.Errorf("refused clones are reported: %v", report)
		}
		c.expectRecord("b", offset, 1, payload(1, 100))
	})
}

// A grant that came to nothing leaves a version above the committed one and changes
// no byte: such a replica can be cloned and copied, at the committed version.
func TestSourceOfAHigherVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a", "b")
		c.grant(3, 10, 5, "a")
		offset := c.append(3, 1, payload(1, 100), "a").Offset
		c.end("a", 10)
		if reply := c.prepare("a", c.request(4, 11, 5, "a")); !reply.Ok {
			t.Fatal(reply)
		}
		if reply := c.clone("b", 3, 5, "a"); reply.Code != api.Code_OK {
			t.Fatalf("clone: %v", reply)
		}
		if report := c.servers["b"].report(); len(report) != 1 || report[0].Version != 3 {
			t.Fatalf("the clone is reported as %v", report)
		}
		c.expectRecord("b", offset, 1, payload(1, 100))
		const to = 77
		reply, err := c.clients["a"].CopyChunk(c.ctx(), &api.CopyChunkRequest{From: handle, Version: 3, Term: 5, To: to})
		c.must(err)
		if reply.Code != api.Code_OK {
			t.Fatalf("copy: %v", reply)
		}
		was, _ := c.bytesOf("a", handle)
		api.RehomeFrames(was, handle, to)
		c.expectBytes("a", to, was)
	})
}

// A version that came to nothing for ever does not keep a replica from being replaced;
// the clone keeps it, so that no chunkserver goes back and nothing that was fenced is
// taken after all. One that may yet be granted does.
func TestCloneOverAVoidVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a", "b", "c")
		c.grant(3, 10, 5, "a", "b", "c")
		c.append(3, 1, payload(1, 100), "a", "b", "c")
		c.end("a", 10)
		// c heard of versions 4 and 5, of which nothing came, and missed a grant.
		for version := range uint64(2) {
			if reply := c.prepare("c", c.request(4+version, 0, 5, "c")); !reply.Ok {
				t.Fatal(reply)
			}
		}
		void := func(name string, version, void, term uint64, sources ...string) *api.CloneReply {
			t.Helper()
			reply, err := c.clients[name].Clone(c.ctx(), &api.CloneRequest{Handle: handle, Version: version, VoidVersion: void, Term: term, Kind: c.kind, Sources: sources})
			c.must(err)
			return reply
		}
		version := func() uint64 {
			t.Helper()
			report := c.servers["c"].report()
			if len(report) != 1 {
				t.Fatalf("c reports %v", report)
			}
			return report[0].Version
		}
		for what, reply := range map[string]*api.CloneReply{
			"a version that may yet be granted": void("c", 3, 0, 5, "a"),
			"one of two":                        void("c", 3, 4, 5, "a"),
			"void below the one asked for":      void("c", 4, 3, 5, "a"),
			"a deposed leader":                  void("c", 3, 5, 4, "a"),
		} {
			if reply.Code != api.Code_STALE || version() != 5 {
				t.Errorf("%s: %v, c is at version %d", what, reply, version())
			}
		}
		if reply := void("c", 3, 5, 5, "a"); reply.Code != api.Code_OK || version() != 5 {
			t.Fatalf("%v, c is at version %d", reply, version())
		}
		was, _ := c.bytesOf("a", handle)
		c.expectBytes("c", handle, was)
		if reply := c.prepare("c", c.request(4, 0, 5, "c")); reply.Ok {
			t.Error("c went back to version 4")
		}
		for v := uint64(3); v <= 5; v++ {
			c.push(7, payload(7, 10), "c")
			reply, err := c.clients["c"].Mutate(c.ctx(), &api.MutateRequest{
				Id: id(7), Handle: handle, Version: v, Term: 5, Serial: 1, Offset: uint64(len(was)), Crc32C: api.Checksum(payload(7, 10)),
			})
			if c.must(err); reply.Code == api.Code_OK {
				t.Errorf("c took a mutation of version %d", v)
			}
		}
		c.crash("c", 0)
		if version() != 5 {
			t.Errorf("c is at version %d after a restart", version())
		}
		c.expectBytes("c", handle, was)
		// It is a replica like any other: source, and member of the next grant.
		if reply := c.clone("b", 3, 5, "c"); reply.Code != api.Code_OK {
			t.Fatalf("clone: %v", reply)
		}
		c.grant(6, 20, 5, "c", "a")
		c.append(6, 2, payload(2, 100), "c", "a")
	})
}

// A grant that is prepared while the replica is fetched is above what was void then:
// the clone does not take its place.
func TestCloneGivesWayToAGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSizedCell(t, 64*blockBytes, "a", "b")
		c.grantBytes(1, 10, "a", "b")
		for i := range uint64(3) {
			c.write(1, 1+i, i<<20, make([]byte, 1<<20), "a", "b")
		}
		c.end("a", 10)
		if reply := c.prepare("b", c.request(2, 0, 5, "b")); !reply.Ok {
			t.Fatal(reply)
		}
		var reply *api.CloneReply
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			reply, err = c.clients["b"].Clone(c.ctx(), &api.CloneRequest{Handle: handle, Version: 1, VoidVersion: 2, Term: 5, Kind: c.kind,
				Sources: []string{"a"}, BytesPerSecond: 1 << 20})
		}()
		time.Sleep(time.Second)
		if reply := c.prepare("b", c.request(3, 0, 5, "b")); !reply.Ok {
			t.Fatal(reply)
		}
		<-done
		report := c.servers["b"].report()
		if err != nil || reply.Code != api.Code_STALE || len(report) != 1 || report[0].Version != 3 {
			t.Fatalf("clone: %v %v; b reports %v", reply, err, report)
		}
	})
}

func TestCloneIsThrottledAndSharedByThoseWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSizedCell(t, 64*blockBytes, "a", "b")
		c.grantBytes(1, 10, "a")
		c.write(1, 1, 0, make([]byte, 1<<20), "a")
		c.write(1, 2, 1<<20, make([]byte, 1<<20), "a")
		c.write(1, 3, 2<<20, make([]byte, 1<<20), "a")
		c.end("a", 10)
		begin := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				reply, err := c.clients["b"].Clone(c.ctx(), &api.CloneRequest{Handle: handle, Version: 1, Term: 5, Kind: c.kind,
					Sources: []string{"a"}, BytesPerSecond: 1 << 20})
				if err != nil || reply.Code != api.Code_OK {
					t.Errorf("clone: %v %v", reply, err)
				}
			})
		}
		wg.Wait()
		// The first piece is free.
		if took := time.Since(begin); took < 1900*time.Millisecond || took > 2500*time.Millisecond {
			t.Errorf("3 MiB at 1 MiB/s took %v", took)
		}
		if n := c.servers["b"].Counters().Cloned; n != 1 {
			t.Errorf("%d clones were made, want 1", n)
		}
	})
}

func TestCopyOnTheSameDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.grant(2, 10, 5, "a")
		offset := c.append(2, 1, payload(1, 100), "a").Offset
		const to = 77
		ask := func(change func(*api.CopyChunkRequest)) *api.CloneReply {
			t.Helper()
			r := &api.CopyChunkRequest{From: handle, Version: 2, Term: 5, To: to}
			change(r)
			reply, err := c.clients["a"].CopyChunk(c.ctx(), r)
			c.must(err)
			return reply
		}
		same := func(*api.CopyChunkRequest) {}
		if r := ask(same); r.Code != api.Code_LEASE_HELD {
			t.Errorf("copy under a live lease: %v", r)
		}
		c.end("a", 10)
		for what, try := range map[string]struct {
			change func(*api.CopyChunkRequest)
			want   api.Code
		}{
			"lower term":     {func(r *api.CopyChunkRequest) { r.Term = 4 }, api.Code_STALE},
			"higher version": {func(r *api.CopyChunkRequest) { r.Version = 3 }, api.Code_STALE},
			"not here":       {func(r *api.CopyChunkRequest) { r.From = 5 }, api.Code_NOT_FOUND},
		} {
			if r := ask(try.change); r.Code != try.want {
				t.Errorf("%s: %v, want %v", what, r, try.want)
			}
		}
		for range 2 { // and the same once more
			if r := ask(same); r.Code != api.Code_OK || r.Bytes != offset+uint64(api.FrameSize("client", 100)) {
				t.Fatalf("copy: %v", r)
			}
		}
		c.crash("a", 0)
		was, _ := c.bytesOf("a", handle)
		api.RehomeFrames(was, handle, to)
		c.expectBytes("a", to, was)
		read, err := c.clients["a"].ReadChunk(c.ctx(), &api.ReadChunkRequest{Handle: to, Version: 2, Offset: offset})
		c.must(err)
		if f, _, err := api.ParseFrame(read.Data); err != nil || f.Handle != to || f.Seq != 1 || !bytes.Equal(f.Payload, payload(1, 100)) {
			t.Errorf("the record in the copy: %v %+v %v", read.Code, f, err)
		}
		// What is written to one is not seen in the other.
		c.grant(3, 20, 5, "a")
		c.append(3, 2, payload(2, 100), "a")
		c.expectBytes("a", to, was)
		sum := func(h uint64) *api.ChecksumReply {
			r, err := c.clients["a"].ChecksumChunk(c.ctx(), &api.ChecksumRequest{Handle: h, Version: 2})
			c.must(err)
			return r
		}
		if s := sum(to); s.Code != api.Code_OK || s.Crc32C != api.Checksum(was) || s.End != uint64(len(was)) {
			t.Errorf("checksum of the copy: %v", s)
		}
		if sum(to).Crc32C == sum(handle).Crc32C {
			t.Error("the checksums are equal after an append to one")
		}
		c.rot("a", to, 70)
		if s := sum(to); s.Code != api.Code_CORRUPT {
			t.Errorf("checksum of a damaged replica: %v", s)
		}
	})
}
