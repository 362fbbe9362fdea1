package chunkserver

import (
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var three = []string{"a", "b", "c"}

func TestAppendReachesAllReplicasAtOneOffset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		var last uint64
		for seq := uint64(1); seq <= 5; seq++ {
			reply := c.append(1, seq, payload(seq, 100), three...)
			if seq > 1 && reply.Offset <= last {
				t.Fatalf("offset %d after %d", reply.Offset, last)
			}
			last = reply.Offset
			for _, name := range three {
				c.expectRecord(name, reply.Offset, seq, payload(seq, 100))
			}
		}
		if got := len(c.kinds("a", EventAccept)); got != 5 {
			t.Errorf("the primary accepted %d mutations, want 5", got)
		}
		for _, e := range c.kinds("a", EventAccept) {
			if !e.At.Before(e.Until) {
				t.Errorf("accepted at %v, the lease ended at %v", e.At, e.Until)
			}
		}
	})
}

func TestConcurrentAppendsShareOneOrderAndSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		c.disks["a"].StallSyncs(2e6) // as a real disk: waiting mutations share a sync
		before := c.servers["a"].Counters()
		const n = 40
		offsets := make([]uint64, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				offsets[i] = c.append(1, uint64(i+1), payload(uint64(i+1), 50), three...).Offset
			})
		}
		wg.Wait()
		for i, offset := range offsets {
			for _, name := range three {
				c.expectRecord(name, offset, uint64(i+1), payload(uint64(i+1), 50))
			}
		}
		for _, name := range three {
			events := c.kinds(name, EventMutate)
			if len(events) != n {
				t.Fatalf("%s: %d mutations, want %d", name, len(events), n)
			}
			for i, e := range events {
				if e.Serial != uint64(i+1) {
					t.Fatalf("%s: mutation %d has serial %d", name, i, e.Serial)
				}
			}
		}
		after := c.servers["a"].Counters()
		if syncs := after.Syncs - before.Syncs; syncs >= n {
			t.Errorf("%d syncs for %d concurrent appends: none was shared", syncs, n)
		}
	})
}

func TestReplayedAppendReturnsFirstOffset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		first := c.append(1, 1, payload(1, 100), three...)
		c.append(1, 2, payload(2, 100), three...)
		again := c.append(1, 1, payload(1, 100), three...)
		if again.Offset != first.Offset || again.Serial != first.Serial {
			t.Fatalf("replay got offset %d serial %d, first %d %d", again.Offset, again.Serial, first.Offset, first.Serial)
		}
		if n := len(c.kinds("b", EventMutate)); n != 2 {
			t.Fatalf("%d mutations at a secondary, want 2", n)
		}
	})
}

func TestConcurrentReplaysMakeOneRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		c.push(1, payload(1, 100), three...)
		var wg sync.WaitGroup
		offsets := make([]uint64, 8)
		for i := range offsets {
			wg.Go(func() {
				reply, err := c.tryAppend("a", 1, 1)
				if err != nil || reply.Code != api.Code_OK {
					t.Errorf("replay %d: %v %v", i, reply, err)
					return
				}
				offsets[i] = reply.Offset
			})
		}
		wg.Wait()
		for _, o := range offsets {
			if o != offsets[0] {
				t.Fatalf("offsets %v", offsets)
			}
		}
		if n := len(c.kinds("a", EventMutate)); n != 1 {
			t.Fatalf("%d mutations, want 1", n)
		}
	})
}

func TestOverflowPadsAllReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		const size = 1000
		seq := uint64(1)
		for {
			c.push(seq, payload(seq, size), three...)
			reply, err := c.tryAppend("a", 1, seq)
			c.must(err)
			if reply.Code == api.Code_CHUNK_FULL {
				break
			}
			seq++
		}
		if want := uint64(testChunk/api.FrameSize("client", size) + 1); seq != want {
			t.Fatalf("full at record %d, want %d", seq, want)
		}
		// Even a record that would fit gets no place any more.
		c.push(100, payload(100, 10), three...)
		reply, err := c.tryAppend("a", 1, 100)
		c.must(err)
		if reply.Code != api.Code_CHUNK_FULL {
			t.Fatalf("append to a full chunk: %v", reply.Code)
		}
		for _, name := range three {
			c.must(c.servers[name].Close())
			found, err := Scan(c.disks[name], "/cs")
			c.must(err)
			pad := found[len(found)-1]
			if pad.Kind != KindPad || pad.Offset+api.FrameOverhead+uint64(pad.Length) != testChunk {
				t.Errorf("%s: the last thing found is %+v, not a pad to the end", name, pad)
			}
			if len(found) != int(seq) {
				t.Errorf("%s: found %d things, want %d", name, len(found), seq)
			}
		}
		c.servers = nil
	})
}

// TestOverflowOfAChunkFilledToTheByte: the pad of a chunk that has no room left
// is empty, and no reason for a secondary to end the lease.
func TestOverflowOfAChunkFilledToTheByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		const parts = 8
		size := testChunk/parts - api.FrameSize("client", 0)
		for seq := range uint64(parts) {
			c.append(1, seq+1, payload(seq+1, size), three...)
		}
		for seq := range uint64(2) {
			c.push(100+seq, payload(100+seq, 10), three...)
			reply, err := c.tryAppend("a", 1, 100+seq)
			c.must(err)
			if reply.Code != api.Code_CHUNK_FULL {
				t.Fatalf("append to a chunk without room: %v, want CHUNK_FULL", reply.Code)
			}
		}
		for _, name := range three {
			c.must(c.servers[name].Close())
			found, err := Scan(c.disks[name], "/cs")
			c.must(err)
			if len(found) != parts {
				t.Errorf("%s: found %d things, want %d records and nothing else", name, len(found), parts)
			}
		}
		c.servers = nil
	})
}

func TestSecondaryFailureIsAnErrorAndLaterOffsetsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		first := c.append(1, 1, payload(1, 100), three...)
		c.push(2, payload(2, 100), three...)
		c.fabric.Cut("a", "c")
		if _, err := c.tryAppend("a", 1, 2); status.Code(err) != codes.Aborted {
			t.Fatalf("append without a secondary: %v, want Aborted", err)
		}
		c.fabric.HealAll()
		if n := len(c.kinds("a", EventAccept)); n != 1 {
			t.Fatalf("%d acknowledgements, want 1", n)
		}
		// Without the dead replica, under a new version and another primary.
		c.grant(2, 20, 5, "b", "a")
		second := c.append(2, 2, payload(2, 100), "b", "a")
		if second.Offset <= first.Offset {
			t.Fatalf("offset %d after %d", second.Offset, first.Offset)
		}
		c.expectRecord("a", first.Offset, 1, payload(1, 100))
		c.expectRecord("a", second.Offset, 2, payload(2, 100))
		c.expectRecord("b", second.Offset, 2, payload(2, 100))
		// The replica that was left out must not be read at the new version.
		if _, code := c.read("c", 2, first.Offset); code == api.Code_OK {
			t.Fatal("a stale replica was read")
		}
	})
}

func TestHostileInputIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		cs := c.clients["a"]
		data := payload(1, 100)
		push := func(r *api.PushRequest) error { _, err := cs.PushData(c.ctx(), r); return err }
		mutate := func(change func(*api.MutateRequest)) (*api.MutateReply, error) {
			c.push(9, data, "b")
			r := &api.MutateRequest{Id: id(9), Handle: handle, Version: 1, Term: 5, Serial: 1, Offset: 0, Crc32C: api.Checksum(data)}
			change(r)
			return c.clients["b"].Mutate(c.ctx(), r)
		}
		invalid := map[string]error{
			"wrong crc":     push(&api.PushRequest{Id: id(1), Data: data, Crc32C: 1}),
			"oversized":     push(&api.PushRequest{Id: id(1), Data: make([]byte, testChunk/4+1), Crc32C: api.Checksum(make([]byte, testChunk/4+1))}),
			"no client":     push(&api.PushRequest{Id: &api.DataId{Seq: 1}, Data: data, Crc32C: api.Checksum(data)}),
			"long client":   push(&api.PushRequest{Id: &api.DataId{Client: string(make([]byte, 300))}, Data: data, Crc32C: api.Checksum(data)}),
			"endless chain": push(&api.PushRequest{Id: id(1), Data: data, Crc32C: api.Checksum(data), Chain: make([]string, 100)}),
			"append, no id": func() error {
				_, err := cs.RecordAppend(c.ctx(), &api.AppendRequest{Handle: handle, Version: 1})
				return err
			}(),
			"grant of zero":   func() error { _, err := cs.PrepareGrant(c.ctx(), &api.GrantRequest{Term: 5}); return err }(),
			"another's grant": func() error { _, err := cs.ActivateGrant(c.ctx(), c.request(1, 11, 5, "b", "a")); return err }(),
			"serial 0":        func() error { _, err := mutate(func(r *api.MutateRequest) { r.Serial = 0 }); return err }(),
			"settled ahead":   func() error { _, err := mutate(func(r *api.MutateRequest) { r.Settled = 3 }); return err }(),
			"outside":         func() error { _, err := mutate(func(r *api.MutateRequest) { r.Offset = testChunk - 10 }); return err }(),
			"far outside":     func() error { _, err := mutate(func(r *api.MutateRequest) { r.Offset = 1 << 60 }); return err }(),
			"pad beyond":      func() error { _, err := mutate(func(r *api.MutateRequest) { r.PadTo = 1 << 40 }); return err }(),
		}
		for name, err := range invalid {
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s: %v, want InvalidArgument", name, err)
			}
		}
		refused := map[string]struct {
			change func(*api.MutateRequest)
			want   api.Code
		}{
			"lower version":  {func(r *api.MutateRequest) { r.Version = 0 }, api.Code_STALE},
			"higher version": {func(r *api.MutateRequest) { r.Version = 2 }, api.Code_NO_CHUNK},
			"lower term":     {func(r *api.MutateRequest) { r.Term = 4 }, api.Code_STALE},
			"unknown chunk":  {func(r *api.MutateRequest) { r.Handle = 1 }, api.Code_NO_CHUNK},
			"no data":        {func(r *api.MutateRequest) { r.Id = id(1000) }, api.Code_NOT_FOUND},
			"data differs":   {func(r *api.MutateRequest) { r.Serial = 2; r.Settled = 1; r.Crc32C++ }, api.Code_NOT_FOUND},
		}
		for _, name := range []string{"lower version", "higher version", "lower term", "unknown chunk", "no data", "data differs"} {
			reply, err := mutate(refused[name].change)
			if err != nil || reply.Code != refused[name].want {
				t.Errorf("%s: %v %v, want %v", name, reply.GetCode(), err, refused[name].want)
			}
		}
		if n := len(c.kinds("b", EventMutate)); n != 0 {
			t.Errorf("%d hostile mutations were applied", n)
		}
	})
}
