package chunkserver

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	faultdisk "gfslab/internal/fault/disk"
)

// heard returns what a chunkserver sent since the n-th heartbeat.
func (c *cell) heard(name string, n int) []*api.HeartbeatRequest {
	c.master.mu.Lock()
	defer c.master.mu.Unlock()
	return append([]*api.HeartbeatRequest(nil), c.master.beats[name][n:]...)
}

// report describes all replicas, by handle.
func (s *Server) report() []*api.ChunkReport {
	all := s.allChunks()
	out := make([]*api.ChunkReport, 0, len(all))
	for _, c := range all {
		if r := c.report(); r != nil {
			out = append(out, r)
		}
	}
	return out
}

// nextBeats lets virtual time pass for some heartbeats, and returns them. One that is
// on its way is none of them.
func (c *cell) nextBeats(name string) []*api.HeartbeatRequest {
	synctest.Wait()
	n := len(c.heard(name, 0))
	time.Sleep(350 * time.Millisecond)
	return c.heard(name, n)
}

func (c *cell) masterDoes(change func(*fakeMaster)) { c.master.set(change) }

func TestReportsTellWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.grant(1, 10, 5, "a")
		c.append(1, 1, payload(1, 100), "a")
		beats := c.nextBeats("a")
		all := c.heard("a", 0)
		if !all[0].Full || all[0].Sequence != 1 || !strings.HasPrefix(all[0].Boot, "a.1.") || all[0].Address != "a" {
			t.Errorf("the first report: %v", all[0])
		}
		for i, b := range all {
			if b.Sequence != uint64(i+1) || i > 0 && b.Full {
				t.Errorf("report %d: %v", i, b)
			}
		}
		for _, b := range beats[1:] {
			if len(b.Chunks)+len(b.Gone) != 0 {
				t.Errorf("nothing has changed: %v", b)
			}
		}
		c.append(1, 2, payload(2, 100), "a")
		told := 0 // a heartbeat may have been on its way already
		for _, b := range c.nextBeats("a") {
			told += len(b.Chunks)
			if r := b.Chunks; len(r) == 1 && (r[0].Handle != handle || r[0].Version != 1 || r[0].Length != 2*uint64(api.FrameSize("client", 100))) {
				t.Errorf("after an append: %v", b)
			}
		}
		if told != 1 {
			t.Errorf("an append was told %d times", told)
		}
		// What was sent into the void is sent again.
		c.masterDoes(func(m *fakeMaster) { m.lose = true })
		c.append(1, 3, payload(3, 100), "a")
		for i, b := range c.nextBeats("a") {
			if len(b.Chunks) != 1 && i > 0 {
				t.Errorf("not answered, and not repeated: %v", b)
			}
		}
		c.masterDoes(func(m *fakeMaster) { m.lose, m.wantFull = false, true })
		beats = c.nextBeats("a")
		if b := beats[0]; b.Full || len(b.Chunks) != 1 {
			t.Errorf("the first that was answered again: %v", b)
		}
		if b := beats[1]; !b.Full || len(b.Chunks) != 1 || b.UsedBytes < b.Chunks[0].Length {
			t.Errorf("asked for everything: %v", b)
		}
		if b := beats[2]; b.Full || len(b.Chunks) != 0 {
			t.Errorf("everything was told: %v", b)
		}
		c.crash("a", 0)
		c.eventually("the report after the restart", func() bool {
			all := c.heard("a", 0)
			b := all[len(all)-1]
			return strings.HasPrefix(b.Boot, "a.2.")
		})
		for _, b := range c.heard("a", 0) {
			if strings.HasPrefix(b.Boot, "a.2.") && b.Sequence == 1 && (!b.Full || len(b.Chunks) != 1) {
				t.Errorf("the first report after the restart: %v", b)
			}
		}
	})
}

// A chunkserver that lost its disk counts its boots anew; the masters must hear all
// the same that it has restarted, as it holds no lease any more.
func TestBootIsAnotherAfterTheDiskWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		first := c.servers["a"].Boot()
		time.Sleep(time.Millisecond)
		c.disks["a"] = faultdisk.NewMem(testSeed)
		c.crash("a", 100)
		if second := c.servers["a"].Boot(); second == first {
			t.Fatalf("both boots are %q", first)
		}
	})
}

func TestRemovalObeysVersionAndTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.grant(3, 10, 5, "a")
		offset := c.append(3, 1, payload(1, 100), "a").Offset
		named := func(version uint64) func(*fakeMaster) {
			return func(m *fakeMaster) {
				m.remove = []*api.ChunkReport{{Handle: handle, Version: version}, {Handle: 1, Version: 1}}
			}
		}
		stays := func(what string) {
			t.Helper()
			time.Sleep(300 * time.Millisecond)
			if _, code := c.read("a", 3, offset); code != api.Code_OK {
				t.Errorf("%s: the replica is gone: %v", what, code)
			}
		}
		c.masterDoes(named(3))
		stays("under a live lease")
		c.end("a", 10)
		c.masterDoes(named(2))
		stays("a lower version was named")
		c.masterDoes(func(m *fakeMaster) { m.follows = true; named(3)(m) })
		stays("named by one who does not lead")
		c.masterDoes(func(m *fakeMaster) { m.follows, m.term = false, 4; named(3)(m) })
		stays("named by a leader of a lower term")
		c.masterDoes(func(m *fakeMaster) { m.term = 5; named(3)(m) })
		c.eventually("the replica goes", func() bool { _, code := c.read("a", 3, offset); return code == api.Code_NOT_FOUND })
		c.eventually("it is noted", func() bool { return len(c.kinds("a", EventDelete)) == 1 })
		gone := false
		for _, b := range c.nextBeats("a") {
			gone = gone || len(b.Gone) == 1 && b.Gone[0] == handle
		}
		if !gone {
			t.Error("the masters do not hear that it is gone")
		}
		c.crash("a", 0)
		if _, code := c.read("a", 0, offset); code != api.Code_NOT_FOUND {
			t.Errorf("back after a power cut: %v", code)
		}
		r := c.request(4, 0, 5, "a")
		r.Existing = true
		if reply := c.prepare("a", r); reply.Ok {
			t.Error("an empty replica was made of a chunk that has others")
		}
		if n := len(c.servers["a"].allChunks()); n != 0 {
			t.Errorf("the refused grant left %d chunks", n)
		}
		r.Existing = false
		if reply := c.prepare("a", r); !reply.Ok {
			t.Errorf("a new chunk: %v", reply)
		}
	})
}

// Removing takes long, and the master may have the chunk cloned here again before its
// turn comes: what it named is not what is there then.
func TestRemovalSparesWhatWasClonedSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a", "b")
		c.grant(1, 10, 5, "a", "b")
		offset := c.append(1, 1, payload(1, 100), "a", "b").Offset
		c.end("a", 10)
		s := c.servers["a"]
		named := s.removals(5, []*api.ChunkReport{{Handle: handle, Version: 1}})
		if r := c.clone("a", 1, 5, "b"); r.Code != api.Code_OK {
			t.Fatal(r)
		}
		s.remove(5, named)
		if _, code := c.read("a", 1, offset); code != api.Code_OK {
			t.Errorf("the clone is gone: %v", code)
		}
		s.remove(5, s.removals(5, []*api.ChunkReport{{Handle: handle, Version: 1}}))
		if _, code := c.read("a", 1, offset); code != api.Code_NOT_FOUND {
			t.Errorf("named again, the clone stays: %v", code)
		}
	})
}

// With a lease far from its end, a dead secondary stalls writes only until the
// primary has noticed: it asks the master to revoke.
func TestPrimaryAsksToRevokeWhenASecondaryIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		c.append(1, 1, payload(1, 100), three...)
		// Missing data is the client's fault, and no reason.
		c.push(2, payload(2, 100), "a", "b")
		if _, err := c.tryAppend("a", 1, 2); status.Code(err) != codes.Aborted {
			t.Fatalf("append without the data at c: %v", err)
		}
		c.append(1, 3, payload(3, 100), three...)
		c.push(4, payload(4, 100), three...)
		c.fabric.Cut("a", "c")
		begin := time.Now()
		if _, err := c.tryAppend("a", 1, 4); status.Code(err) != codes.Aborted {
			t.Fatalf("append without c: %v", err)
		}
		c.eventually("the master is asked", func() bool {
			c.master.mu.Lock()
			defer c.master.mu.Unlock()
			return len(c.master.revoked) == 1 && c.master.revoked[0].Handle == handle && c.master.revoked[0].Epoch == 10
		})
		if d := time.Since(begin); d > 500*time.Millisecond {
			t.Errorf("the master was asked after %v", d)
		}
		if _, err := c.tryAppend("a", 1, 4); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("the primary goes on: %v", err)
		}
		c.fabric.HealAll()
	})
}

// A secondary that knows a higher version may have it from a grant that came to
// nothing, and one that gave a serial up knows none: the master sends clients here
// until it hears that the lease is over.
func TestPrimaryAsksToRevokeWhenASecondaryCallsItStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		c.append(1, 1, payload(1, 100), three...)
		if r := c.prepare("b", c.request(2, 0, 5, "b", "c")); !r.Ok { // and its leader dies
			t.Fatal(r.Reason)
		}
		c.push(2, payload(2, 100), three...)
		if _, err := c.tryAppend("a", 1, 2); status.Code(err) != codes.Aborted {
			t.Fatalf("append: %v, want Aborted", err)
		}
		c.eventually("the master is asked", func() bool {
			c.master.mu.Lock()
			defer c.master.mu.Unlock()
			return len(c.master.revoked) == 1 && c.master.revoked[0].Handle == handle && c.master.revoked[0].Epoch == 10
		})
	})
}

func TestStrictModeSealsBeforeItSaysFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a", "b")
		c.strict = true
		c.grant(1, 10, 5, "a", "b")
		c.masterDoes(func(m *fakeMaster) { m.sealCode = api.Code_STALE })
		seq := uint64(1)
		var err error
		for ; err == nil; seq++ {
			c.push(seq, payload(seq, 1500), "a", "b")
			var reply *api.AppendReply
			if reply, err = c.tryAppend("a", 1, seq); err == nil && reply.Code != api.Code_OK {
				t.Fatalf("append %d: %v though the master did not seal", seq, reply.Code)
			}
		}
		if status.Code(err) != codes.Aborted {
			t.Fatal(err)
		}
		c.masterDoes(func(m *fakeMaster) { m.sealCode = api.Code_OK })
		for range 2 {
			c.push(seq, payload(seq, 10), "a", "b")
			if reply, err := c.tryAppend("a", 1, seq); err != nil || reply.Code != api.Code_CHUNK_FULL {
				t.Fatalf("append to a full chunk: %v %v", reply, err)
			}
		}
		c.master.mu.Lock()
		defer c.master.mu.Unlock()
		if n := len(c.master.seals); n != 2 {
			t.Fatalf("%d seals, want the refused one and one more", n)
		}
		if s := c.master.seals[1]; s.Handle != handle || s.Version != 1 || s.Epoch != 10 || s.Length != testChunk || s.Chunkserver != "a" {
			t.Errorf("the seal: %v", s)
		}
	})
}

// A used lease lives on by heartbeats alone, and ends when one refuses.
func TestHeartbeatsExtendLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.beat = 20 * time.Millisecond
		c.crash("a", 0)
		c.masterDoes(func(m *fakeMaster) { m.extends = true })
		c.grant(1, 10, 5, "a")
		for seq := uint64(1); seq <= 20; seq++ {
			c.append(1, seq, payload(seq, 50), "a")
			time.Sleep(leaseTerm / 3)
		}
		if n := c.master.claimed(); n != 1 {
			t.Errorf("%d claims by themselves, want the first one only", n)
		}
		c.master.mu.Lock()
		extended := c.master.extended
		c.master.mu.Unlock()
		if extended < 10 || extended > 30 {
			t.Errorf("%d extensions in 7 terms", extended)
		}
		for _, e := range c.kinds("a", EventClaim) {
			if e.Until.Sub(e.At) > leaseTerm*99/100 {
				t.Errorf("%v after the claim was sent: longer than D(1-rho)", e.Until.Sub(e.At))
			}
		}
		c.masterDoes(func(m *fakeMaster) { m.refuse = true })
		c.eventually("the lease ends", func() bool { return len(c.kinds("a", EventStop)) == 1 })
	})
}

func TestScrubberFindsRot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSizedCell(t, 4*blockBytes, "a", "b")
		c.grantBytes(1, 10, "a", "b")
		for i := range uint64(4) {
			c.write(1, 1+i, i*blockBytes, payload(i, blockBytes), "a", "b")
		}
		scrubbed := func(name string) uint64 { return c.servers[name].Counters().Scrubbed }
		c.eventually("a walk through both", func() bool { return scrubbed("a") >= 4*blockBytes && scrubbed("b") >= 4*blockBytes })
		c.rot("b", handle, 2*blockBytes+77)
		c.eventually("the damage is reported", func() bool {
			for _, h := range c.heard("b", 0) {
				if len(h.Chunks) == 1 && h.Chunks[0].Corrupt {
					return true
				}
			}
			return false
		})
		if e := c.kinds("b", EventCorrupt); len(e) != 1 || e[0].Offset != 2*blockBytes {
			t.Errorf("events: %v", e)
		}
		if c.servers["a"].Counters().Corrupt != 0 {
			t.Error("the good replica was found corrupt")
		}
		if reply := c.prepare("b", c.request(2, 0, 5, "b")); reply.Ok {
			t.Error("a damaged replica was granted")
		}
	})
}

// Damage to the last batch is not taken for a torn write once the chunkserver
// was closed in peace, or had time to note that it was durable.
func TestRotOfTheLastWriteIsNotTakenForATornOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, scrubs := range []bool{false, true} {
			c := newCell(t, "a")
			c.grant(1, 10, 5, "a")
			offset := c.append(1, 1, payload(1, 100), "a").Offset
			if scrubs {
				c.eventually("a walk", func() bool { return c.servers["a"].Counters().ScrubRounds > 1 })
				c.rot("a", handle, offset+80)
				c.crash("a", 0)
			} else {
				c.must(c.servers["a"].Close())
				c.rot("a", handle, offset+80)
				c.fabric.CloseNode("a")
				c.fabric.OpenNode("a")
				c.start("a")
			}
			var code api.Code
			c.eventually("an answer", func() bool {
				reply, err := c.clients["a"].ReadChunk(c.ctx(), &api.ReadChunkRequest{Handle: handle, Offset: offset})
				code = reply.GetCode()
				return err == nil
			})
			if code != api.Code_CORRUPT {
				t.Errorf("scrubbed %v: %v, want CORRUPT", scrubs, code)
			}
		}
	})
}
