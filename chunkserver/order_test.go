package chunkserver

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// deliver sends mutations as a primary would: frames of equal size in a row.
func (c *cell) deliver(serial, settled uint64) *api.MutateReply {
	c.t.Helper()
	data := payload(serial, 30)
	c.push(serial, data, "b")
	reply, err := c.clients["b"].Mutate(c.ctx(), c.mutation(serial, settled, data))
	c.must(err)
	return reply
}

func (c *cell) mutation(serial, settled uint64, data []byte) *api.MutateRequest {
	size := uint64(api.FrameSize("client", len(data)))
	return &api.MutateRequest{Id: id(serial), Handle: handle, Version: 1, Term: 5, Serial: serial, Settled: settled,
		Offset: (serial - 1) * size, Crc32C: api.Checksum(data)}
}

func TestSecondaryAppliesInSerialOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "b")
		c.prepare("b", c.request(1, 0, 5, "b"))
		rng := rand.New(rand.NewPCG(testSeed, 2))
		const n = 30
		var wg sync.WaitGroup
		for _, i := range rng.Perm(n) {
			wg.Go(func() {
				if r := c.deliver(uint64(i+1), 0); r.Code != api.Code_OK {
					t.Errorf("serial %d: %v %s", i+1, r.Code, r.Reason)
				}
			})
		}
		wg.Wait()
		for i, e := range c.kinds("b", EventMutate) {
			if e.Serial != uint64(i+1) {
				t.Fatalf("mutation %d has serial %d", i, e.Serial)
			}
		}
	})
}

func TestRedeliveryIsIdempotentAndLateSerialsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "b")
		c.prepare("b", c.request(1, 0, 5, "b"))
		expect := func(what string, r *api.MutateReply, want api.Code) {
			t.Helper()
			if r.Code != want {
				t.Errorf("%s: %v (%s), want %v", what, r.Code, r.Reason, want)
			}
		}
		expect("first", c.deliver(1, 0), api.Code_OK)
		expect("again", c.deliver(1, 0), api.Code_OK)
		if n := len(c.kinds("b", EventMutate)); n != 1 {
			t.Errorf("%d mutations, want 1", n)
		}
		other := payload(77, 30)
		c.push(1, other, "b")
		r, err := c.clients["b"].Mutate(c.ctx(), c.mutation(1, 0, other))
		c.must(err)
		expect("another record with the same serial", r, api.Code_INVALID)
		expect("third, the second was given up", c.deliver(3, 2), api.Code_OK)
		expect("the second, late", c.deliver(2, 0), api.Code_STALE)
		// Without word that 4 was given up, 5 waits a little, then goes on.
		expect("fifth", c.deliver(5, 3), api.Code_OK)
		expect("the fourth, late", c.deliver(4, 3), api.Code_STALE)
		// A restart forgets what was given up: nothing of this version is taken any
		// more, of the next one it is.
		c.crash("b", 0)
		expect("fifth again, after a crash", c.deliver(5, 3), api.Code_NO_CHUNK)
		expect("sixth", c.deliver(6, 5), api.Code_NO_CHUNK)
	})
}

// The primary's next place is beyond a failed mutation, and secondaries do not
// wait for the one that never came.
func TestAppendsGoOnAfterAFailedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		first := c.append(1, 1, payload(1, 100), three...)
		c.push(2, payload(2, 100), "a", "b") // c never gets the data
		if _, err := c.tryAppend("a", 1, 2); status.Code(err) != codes.Aborted {
			t.Fatalf("append without the data at c: %v, want Aborted", err)
		}
		third := c.append(1, 3, payload(3, 100), three...)
		if third.Offset <= first.Offset+uint64(api.FrameSize("client", 100)) {
			t.Fatalf("offset %d does not lie beyond the failed region", third.Offset)
		}
		again := c.append(1, 2, payload(2, 100), three...)
		if again.Offset <= third.Offset {
			t.Fatalf("the retry got offset %d", again.Offset)
		}
		for _, name := range three {
			c.expectRecord(name, third.Offset, 3, payload(3, 100))
			c.expectRecord(name, again.Offset, 2, payload(2, 100))
		}
	})
}

func TestBufferIsBoundedAndForgetsTheOldest(t *testing.T) {
	b := newBuffer(1000)
	for i := range uint64(20) {
		if !b.put(dataKey{"c", i}, make([]byte, 100), 0) {
			t.Fatal("refused")
		}
		b.get(dataKey{"c", 0}) // keep the first one in use
	}
	if b.bytes > 1000 || len(b.items) != 10 {
		t.Fatalf("%d bytes in %d items", b.bytes, len(b.items))
	}
	if _, _, ok := b.get(dataKey{"c", 0}); !ok {
		t.Error("the most recently used was evicted")
	}
	if _, _, ok := b.get(dataKey{"c", 5}); ok {
		t.Error("an old one was kept")
	}
	if b.put(dataKey{"c", 99}, make([]byte, 1001), 0) {
		t.Error("took more than the limit")
	}
	b.drop(dataKey{"c", 0})
	b.drop(dataKey{"c", 0})
	if b.bytes != 900 {
		t.Errorf("%d bytes after a drop, want 900", b.bytes)
	}
}
