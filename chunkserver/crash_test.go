package chunkserver

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"gfslab/api"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
)

// trial is one scenario that a power cut ends somewhere. It calls the chunkserver
// directly: what returns after the cut was never heard by anybody.
type trial struct {
	*cell
	trigger *faultdisk.Trigger
	rng     *rand.Rand
	seq     uint64
	want    model             // acknowledged
	dirty   [2]uint64         // bytes of the write that was cut short
	acked   map[uint64]uint64 // records: seq to offset
	whole   model             // what is cloned or copied
	done    bool              // that was acknowledged
}

// over says that the power was cut.
func (r *trial) over() bool { return r.trigger.Next() != nil }

func (r *trial) push(data []byte) *api.DataId {
	r.seq++
	_, err := r.servers["a"].PushData(r.ctx(), &api.PushRequest{Id: id(r.seq), Data: data, Crc32C: api.Checksum(data)})
	r.must(err)
	return id(r.seq)
}

// put writes and reports whether it was acknowledged.
func (r *trial) put(offset uint64, data []byte) bool {
	reply, err := r.servers["a"].Write(r.ctx(), &api.WriteRequest{Id: r.push(data), Handle: handle, Version: 1, Offset: offset})
	if r.over() {
		r.dirty = [2]uint64{min(offset, uint64(len(r.want))), offset + uint64(len(data))}
		return false
	}
	if r.must(err); reply.Code != api.Code_OK {
		r.t.Fatal(reply)
	}
	r.want.write(offset, data)
	return true
}

func (r *trial) append(n int) bool {
	reply, err := r.servers["a"].RecordAppend(r.ctx(), &api.AppendRequest{Id: r.push(payload(r.seq+1, n)), Handle: handle, Version: 1})
	if r.over() {
		return false
	}
	if r.must(err); reply.Code != api.Code_OK {
		r.t.Fatal(reply)
	}
	r.acked[r.seq] = reply.Offset
	return true
}

// checkBytes: outside of the write that was cut short all is as acknowledged.
func (r *trial) checkBytes() {
	r.t.Helper()
	if len(r.want) == 0 {
		return
	}
	got, code := r.bytesOf("a", handle)
	if code != api.Code_OK || len(got) < len(r.want) {
		r.t.Fatalf("%v, %d bytes of %d", code, len(got), len(r.want))
	}
	for i := range r.want {
		if cut := uint64(i) >= r.dirty[0] && uint64(i) < r.dirty[1]; !cut && got[i] != r.want[i] {
			r.t.Fatalf("byte %d is %x, not %x; the write that was cut short is %v", i, got[i], r.want[i], r.dirty)
		}
	}
}

func (r *trial) checkRecords() {
	r.t.Helper()
	for seq, offset := range r.acked {
		if f, code := r.read("a", 1, offset); code != api.Code_OK || f.Seq != seq {
			r.t.Fatalf("record %d at %d: %v, seq %d", seq, offset, code, f.Seq)
		}
	}
	if _, code := r.bytesOf("a", handle); code != api.Code_OK {
		r.t.Fatalf("reading all: %v", code)
	}
}

// checkWhole: there is no such replica, or all of it.
func (r *trial) checkWhole(h uint64) {
	r.t.Helper()
	if got, code := r.bytesOf("a", h); code != api.Code_NOT_FOUND && (code != api.Code_OK || !bytes.Equal(got, r.whole)) {
		r.t.Fatalf("chunk %d: %v, %d bytes of %d", h, code, len(got), len(r.whole))
	}
	if !r.done {
		return
	}
	if _, code := r.bytesOf("a", h); code != api.Code_OK {
		r.t.Fatalf("chunk %d was acknowledged and is not there: %v", h, code)
	}
}

const to = 99 // the copy's handle

var scenarios = map[string]struct {
	kind  api.ChunkKind
	steps func(*trial) // until the power is cut
	check func(*trial)
}{
	"appends": {api.ChunkKind_RECORDS, func(r *trial) {
		for r.seq < 4 && r.append(20_000+int(r.seq)*9000) {
		}
	}, (*trial).checkRecords},
	"overwrites": {api.ChunkKind_BYTES, func(r *trial) {
		_ = r.put(0, random(r.rng, 40_000)) &&
			r.put(40_000, random(r.rng, 30_000)) && // into the next block
			r.put(60_000, random(r.rng, 30_000)) && // over and beyond
			r.put(100, random(r.rng, 600)) &&
			r.put(150_000, random(r.rng, 10)) && // behind a hole
			r.put(50_000, random(r.rng, 49_000))
	}, (*trial).checkBytes},
	"clone": {api.ChunkKind_BYTES, func(r *trial) {
		reply, err := r.servers["a"].Clone(r.ctx(), &api.CloneRequest{Handle: source, Version: 1, Term: 5, Kind: r.kind, Sources: []string{"b"}})
		r.done = !r.over() && err == nil && reply.Code == api.Code_OK
	}, func(r *trial) { r.checkWhole(source) }},
	"copy": {api.ChunkKind_BYTES, func(r *trial) {
		for at := 0; at < len(r.whole); at += 40_000 {
			if !r.put(uint64(at), r.whole[at:min(at+40_000, len(r.whole))]) {
				return
			}
		}
		_, err := r.servers["a"].EndLease(r.ctx(), r.request(1, 10, 5, "a"))
		r.must(err)
		reply, err := r.servers["a"].CopyChunk(r.ctx(), &api.CopyChunkRequest{From: handle, Version: 1, Term: 5, To: to})
		r.done = !r.over() && err == nil && reply.Code == api.Code_OK
	}, func(r *trial) {
		r.checkBytes()
		r.checkWhole(to)
	}},
}

// The power is cut before and after each single write, sync, rename and removal.
// What was acknowledged is there at the next start, and at the one after a power
// cut in the middle of that; nothing is damaged, and no half of a replica is seen.
func TestPowerCutsAtEveryStep(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			for i, keep := range []int{0, 0, 50, 50, 100} {
				at := 0
				for cut := true; cut; {
					at++
					synctest.Test(t, func(t *testing.T) {
						r := newTrial(t, s.kind, uint64(1000*i+at), i%2 == 1, keep)
						r.trigger.Arm(at)
						s.steps(r)
						cut = r.over()
						r.restart()
						s.check(r)
						// Once more, with a power cut in the middle of the recovery.
						r.interruptRecovery(1+at%5, i%2 == 1, keep)
						s.check(r)
					})
					if t.Failed() {
						t.Fatalf("cut at step %d, after it: %v, keep %d%%", at, i%2 == 1, keep)
					}
				}
				if at < 8 {
					t.Fatalf("only %d steps", at)
				}
				t.Logf("%d steps", at-1)
			}
		})
	}
}

// source is the handle of the chunk that b has, to be cloned.
const source = 55

func newTrial(t *testing.T, kind api.ChunkKind, seed uint64, after bool, keep int) *trial {
	r := &trial{cell: newSizedCell(t, 3*blockBytes, "b"), rng: rand.New(rand.NewPCG(testSeed, seed)), acked: map[uint64]uint64{}}
	r.kind = kind
	r.whole = random(r.rng, 3*blockBytes-5000)
	if kind == api.ChunkKind_BYTES {
		b, err := r.servers["b"].newBuilder(source, 1, 5, kind)
		r.must(err)
		r.must(b.add(r.whole))
		r.must(b.finish(r.ctx(), false))
		r.must(b.takePlace(r.ctx()))
	}
	r.disks["a"] = faultdisk.NewMem(seed)
	r.arm(0, after, keep)
	r.start("a")
	r.grant(1, 10, 5, "a")
	r.eventually("the lease", func() bool { return len(r.kinds("a", EventClaim)) == 1 })
	return r
}

// arm puts a trigger over the disk of the next start.
func (r *trial) arm(at int, after bool, keep int) {
	r.trigger = faultdisk.NewTrigger(r.disks["a"], at, after, keep)
	r.wrapped = map[string]disk.FS{"a": r.trigger}
}

// restart cuts the power, if that has not happened, and starts a again.
func (r *trial) restart() {
	r.t.Helper()
	r.fabric.CloseNode("a")
	next := r.trigger.Crash()
	r.must(r.servers["a"].Close())
	r.disks["a"], r.wrapped = next, nil
	r.fabric.OpenNode("a")
	r.start("a")
	r.eventually("a answers", func() bool {
		_, err := r.clients["a"].PushData(r.ctx(), &api.PushRequest{Id: id(1 << 40)})
		return err == nil
	})
}

// interruptRecovery starts a on a disk that loses power at the step, and then anew.
func (r *trial) interruptRecovery(at int, after bool, keep int) {
	r.t.Helper()
	r.fabric.CloseNode("a")
	r.must(r.servers["a"].Close())
	r.disks["a"] = r.disks["a"].Crash(0)
	r.fabric.OpenNode("a")
	r.arm(at, after, keep)
	r.start("a")
	r.restart()
}
