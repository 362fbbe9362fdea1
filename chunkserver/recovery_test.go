package chunkserver

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/internal/disk"
)

// Acknowledged records survive power cuts of all replicas at once, whatever
// share of the unsynced bytes does.
func TestAcknowledgedRecordsSurviveCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(testSeed, 1))
		for _, keep := range []int{0, 50, 100} {
			c := newCell(t, three...)
			acked := map[uint64]uint64{} // seq to offset
			seq := uint64(0)
			for round := uint64(1); round <= 4; round++ {
				first := rng.IntN(3)
				order := []string{three[first], three[(first+1)%3], three[(first+2)%3]}
				c.grant(round, 10*round, 5, order...)
				for range 1 + rng.IntN(4) {
					seq++
					acked[seq] = c.append(round, seq, payload(seq, 1+rng.IntN(150)), order...).Offset
				}
				// One more that is cut short: a secondary never answers.
				seq++
				c.push(seq, payload(seq, 80), order...)
				c.fabric.Cut(order[0], order[1])
				if _, err := c.tryAppend(order[0], round, seq); status.Code(err) != codes.Aborted {
					t.Fatalf("append with a cut link: %v", err)
				}
				c.fabric.HealAll()
				for _, name := range three {
					c.crash(name, keep)
					c.crash(name, keep)
				}
				for s, offset := range acked {
					for _, name := range three {
						f, code := c.read(name, round, offset)
						if code != api.Code_OK || f.Seq != s {
							t.Fatalf("keep %d%%, round %d: record %d at %d of %s: %v, seq %d", keep, round, s, offset, name, code, f.Seq)
						}
					}
				}
			}
			checkDisjoint(t, c, acked)
		}
	})
}

// checkDisjoint scans the disks: acknowledged records are there, in one piece.
func checkDisjoint(t *testing.T, c *cell, acked map[uint64]uint64) {
	t.Helper()
	for _, name := range three {
		found, err := Scan(c.disks[name], "/cs")
		c.must(err)
		at := map[uint64]FoundRecord{}
		end := uint64(0)
		for _, r := range found {
			if r.Offset < end {
				t.Errorf("%s: %+v overlaps what ends at %d", name, r, end)
			}
			end = r.Offset + uint64(r.Length)
			if r.Kind == KindRecord {
				end += uint64(api.FrameSize(r.Client, 0))
				at[r.Offset] = r
			}
		}
		for seq, offset := range acked {
			if r := at[offset]; r.Seq != seq || r.Handle != handle {
				t.Errorf("%s: record %d is not at %d: %+v", name, seq, offset, r)
			}
		}
	}
}

func TestScanTellsRecordsFromFragments(t *testing.T) {
	frame := func(offset uint64, seq uint64, n int) []byte {
		return encodeFrame(handle, 3, seq, offset, id(seq), payload(seq, n), 0)
	}
	data := frame(0, 1, 50)
	data = append(data, frame(uint64(len(data)), 2, 40)[:60]...) // torn
	data = append(data, make([]byte, 33)...)                     // a hole
	data = append(data, frame(7, 9, 20)...)                      // whole, but it belongs elsewhere
	third := uint64(len(data))
	data = append(data, frame(third, 3, 10)...)
	found := scanChunk(data, handle, 4)
	if len(found) != 3 || found[0].Kind != KindRecord || found[1].Kind != KindFragment || found[2].Kind != KindRecord {
		t.Fatalf("found %+v", found)
	}
	if r := found[2]; r.Offset != third || r.Seq != 3 || r.Length != 10 || r.Version != 4 || r.Grant != 3 || r.CRC != api.Checksum(payload(3, 10)) {
		t.Fatalf("third: %+v", r)
	}
	// Each flipped byte of a record is noticed.
	whole := frame(0, 1, 50)
	for i := range whole {
		bad := append([]byte(nil), whole...)
		bad[i] ^= 0x10
		for _, r := range scanChunk(bad, handle, 4) {
			if r.Kind != KindFragment {
				t.Fatalf("byte %d flipped: found %+v", i, r)
			}
		}
	}
}

func TestCorruptPayloadIsNeverServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.grant(1, 10, 5, "a")
		offset := c.append(1, 1, payload(1, 100), "a").Offset
		f, err := c.disks["a"].OpenReadWrite("/cs/chunks/"+chunkFile(handle), disk.WriteCategory("test"))
		c.must(err)
		_, err = f.WriteAt([]byte{0xff}, DataStart(testChunk)+int64(offset)+int64(api.FrameSize("client", 50)))
		c.must(err)
		c.must(f.Close())
		for _, length := range []uint32{0, 10, 1 << 20} {
			reply, err := c.clients["a"].ReadChunk(c.ctx(), &api.ReadChunkRequest{Handle: handle, Version: 1, Offset: offset, Length: length})
			c.must(err)
			if reply.Code != api.Code_CORRUPT || len(reply.Data) != 0 {
				t.Fatalf("read of %d bytes of a corrupt record: %v, %d bytes, want CORRUPT", length, reply.Code, len(reply.Data))
			}
		}
		if report := c.servers["a"].report(); len(report) != 1 || !report[0].Corrupt {
			t.Errorf("the report does not say that the replica is corrupt: %v", report)
		}
	})
}

func TestReadRefusesAStaleReplicaAndUnsyncedBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.grant(1, 10, 5, "a")
		offset := c.append(1, 1, payload(1, 100), "a").Offset
		if _, code := c.read("a", 2, offset); code != api.Code_STALE {
			t.Errorf("read at a higher version: %v, want STALE", code)
		}
		if _, code := c.read("a", 1, offset+1); code != api.Code_NOT_FOUND {
			t.Errorf("read between records: %v, want NOT_FOUND", code)
		}
		reply, err := c.clients["a"].ReadChunk(c.ctx(), &api.ReadChunkRequest{Handle: handle, Version: 1, Offset: 0, Length: 1 << 31})
		c.must(err)
		if uint64(len(reply.Data)) != reply.End || reply.End != uint64(api.FrameSize("client", 100)) {
			t.Errorf("range read: %d bytes, end %d", len(reply.Data), reply.End)
		}
	})
}

// Slots are written in turn: whichever write is torn, one header stands.
func TestTornHeaderLeavesTheOlderOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, keep := range []int{0, 30, 70, 100} {
			c := newCell(t, "a")
			c.prepare("a", c.request(1, 0, 5, "a"))
			for version := uint64(2); version < 12; version++ {
				c.disks["a"].StallSyncs(0)
				s := c.servers["a"]
				// Written, never synced: the answer was never given.
				head := slot{handle: handle, version: version + 100, term: 5, generation: s.chunk(handle).head.generation + 1}
				c.must(head.write(s.chunk(handle).file.handle))
				c.crash("a", keep)
				got := c.servers["a"].chunk(handle).head.version
				if got != version-1 && got != version+100 {
					t.Fatalf("keep %d%%: version %d, want %d or %d", keep, got, version-1, version+100)
				}
				if got == version+100 {
					break
				}
				c.prepare("a", c.request(version, 0, 5, "a"))
			}
		}
	})
}

// A torn write of one header must leave the other readable.
func TestEitherHeaderMayBeSpoilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		for version := uint64(1); version <= 4; version++ {
			c.prepare("a", c.request(version, 0, 5, "a"))
			file := c.servers["a"].chunk(handle).file.handle
			if version == 1 {
				continue // there is one header yet
			}
			for place := int64(0); place < 2; place++ {
				was := make([]byte, slotBytes)
				_, err := file.ReadAt(was, place*slotStride)
				c.must(err)
				_, err = file.WriteAt([]byte{^was[20]}, place*slotStride+20)
				c.must(err)
				if got, _, err := readSlot(file); err != nil || got.version+1 < version || got.version > version {
					t.Errorf("version %d, header %d spoilt: %+v, %v", version, place, got, err)
				}
				_, err = file.WriteAt(was, place*slotStride)
				c.must(err)
			}
		}
	})
}
