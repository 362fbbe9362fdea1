package storage_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"gfslab/consensus/storage"
)

// twin is the log as a few maps: the model that the real one is compared with.
type twin struct {
	entries   map[uint64]storage.Entry
	stable    map[string][]byte
	hardState []byte
	compacted uint64
}

func newTwin() *twin {
	return &twin{entries: map[uint64]storage.Entry{}, stable: map[string][]byte{}}
}

// with returns a copy with the batch applied.
func (w *twin) with(b *storage.Batch) *twin {
	n := &twin{entries: maps.Clone(w.entries), stable: maps.Clone(w.stable), hardState: w.hardState,
		compacted: max(w.compacted, b.CompactTo)}
	if b.HardState != nil {
		n.hardState = b.HardState
	}
	maps.DeleteFunc(n.entries, func(i uint64, _ storage.Entry) bool {
		return b.TruncateFrom > 0 && i >= b.TruncateFrom || i <= b.CompactTo
	})
	for _, e := range b.Entries {
		n.entries[e.Index] = e
	}
	for _, kv := range b.Stable {
		if kv.Value == nil {
			delete(n.stable, kv.Key)
		} else {
			n.stable[kv.Key] = kv.Value
		}
	}
	return n
}

func (w *twin) bounds() (first, last uint64) {
	for i := range w.entries {
		if first == 0 || i < first {
			first = i
		}
		last = max(last, i)
	}
	return first, last
}

// differ says how a log differs from the model; "" = not at all.
func (w *twin) differ(l *storage.Log, keys int) string {
	first, last := w.bounds()
	if f, to := l.Bounds(); f != first || to != last {
		return fmt.Sprintf("bounds %d..%d, want %d..%d", f, to, first, last)
	}
	if !bytes.Equal(l.HardState(), w.hardState) || (l.HardState() == nil) != (w.hardState == nil) {
		return fmt.Sprintf("hard state %q, want %q", l.HardState(), w.hardState)
	}
	if l.Compacted() != w.compacted {
		return fmt.Sprintf("compacted %d, want %d", l.Compacted(), w.compacted)
	}
	for k := range keys {
		v, ok := l.Stable(fmt.Sprint(k))
		want, wantOK := w.stable[fmt.Sprint(k)]
		if ok != wantOK || !bytes.Equal(v, want) {
			return fmt.Sprintf("stable %d = %q %v, want %q %v", k, v, ok, want, wantOK)
		}
	}
	es, err := l.Entries(0, last+10, 0, nil)
	if err != nil {
		return err.Error()
	}
	if len(es) != len(w.entries) {
		return fmt.Sprintf("%d entries, want %d", len(es), len(w.entries))
	}
	for i, e := range es {
		want := w.entries[e.Index]
		if i > 0 && es[i-1].Index >= e.Index {
			return fmt.Sprintf("entry %d follows %d", e.Index, es[i-1].Index)
		}
		if e.Stamp != want.Stamp || !bytes.Equal(e.Data, want.Data) {
			return fmt.Sprintf("entry %d: stamp %d, %d bytes, want stamp %d, %d bytes", e.Index, e.Stamp, len(e.Data), want.Stamp, len(want.Data))
		}
		if s, ok := l.Stamp(e.Index); !ok || s != e.Stamp {
			return fmt.Sprintf("stamp of %d = %d %v, want %d", e.Index, s, ok, e.Stamp)
		}
	}
	return ""
}

const twinKeys = 4

// randomBatch draws a legal batch: Raft-like appends and truncations, and
// Paxos-like gaps, late slots and replacements.
func (w *twin) randomBatch(rng *rand.Rand, stamp uint64) *storage.Batch {
	b := &storage.Batch{}
	first, last := w.bounds()
	low, high := w.compacted, max(last, w.compacted)
	if rng.IntN(4) == 0 {
		b.HardState = fmt.Appendf(nil, "hs-%d", stamp)
	}
	if rng.IntN(8) == 0 && last > 0 {
		b.TruncateFrom = last - min(uint64(rng.IntN(6)), last-first)
		high = max(b.TruncateFrom-1, low)
	}
	if rng.IntN(8) == 0 && high > low {
		b.CompactTo = low + uint64(rng.IntN(int(high-low)))
		low = max(low, b.CompactTo)
	}
	at := high + 1
	if rng.IntN(4) == 0 {
		at = low + 1 + uint64(rng.IntN(int(high-low)+3))
	}
	for range rng.IntN(4) {
		size := rng.IntN(120)
		if rng.IntN(30) == 0 {
			size = 20000 + rng.IntN(50000)
		}
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		b.Entries = append(b.Entries, storage.Entry{Index: at, Stamp: stamp, Data: data})
		at += 1 + uint64(rng.IntN(5)/4*rng.IntN(4))
	}
	for range rng.IntN(5) / 3 {
		kv := storage.KV{Key: fmt.Sprint(rng.IntN(twinKeys))}
		if rng.IntN(3) > 0 {
			kv.Value = fmt.Appendf(nil, "v-%d", stamp)
		}
		b.Stable = append(b.Stable, kv)
	}
	b.Stable = slices.CompactFunc(b.Stable, func(a, c storage.KV) bool { return a.Key == c.Key })
	return b
}
