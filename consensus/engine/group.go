package engine

import (
	"slices"

	"gfslab/consensus/storage"
)

// group is one or more tokens that become durable by one commit, and what
// waits for that.
type group struct {
	batch  storage.Batch
	tokens []uint64
	after  []Message
	ends   []SnapshotEnd
	// installs: the log's part of an installation is among it.
	installs bool
}

func (g *group) empty() bool { return len(g.tokens) == 0 && len(g.after) == 0 && !g.writes() }

// writes reports whether the group needs the disk at all.
func (g *group) writes() bool {
	return g.batch.HardState != nil || g.batch.TruncateFrom != 0 || g.batch.CompactTo != 0 || len(g.batch.Entries) > 0
}

func (g *group) reset() {
	g.batch = storage.Batch{Entries: clearSlice(g.batch.Entries)}
	g.tokens, g.installs = g.tokens[:0], false
	g.after, g.ends = clearSlice(g.after), clearSlice(g.ends)
}

// compact lets the commit drop everything through index, whatever of it the
// group itself was about to write included.
func (g *group) compact(index uint64) {
	g.batch.CompactTo = index
	at := position(g.batch.Entries, index+1)
	g.batch.Entries = slices.Delete(g.batch.Entries, 0, at)
}

// add merges p behind what the group holds, so that one commit of the whole
// leaves the log as the commits of the parts, one by one, would have. What p
// holds through compacted is within a durable snapshot, and no longer wanted.
func (g *group) add(p *Persist, compacted uint64) {
	if p.HardState != nil {
		g.batch.HardState = p.HardState
	}
	if from := p.TruncateFrom; from != 0 {
		if g.batch.TruncateFrom == 0 || from < g.batch.TruncateFrom {
			g.batch.TruncateFrom = from
		}
		at := position(g.batch.Entries, from)
		clear(g.batch.Entries[at:])
		g.batch.Entries = g.batch.Entries[:at]
	}
	for _, e := range p.Entries {
		if e.Index <= compacted {
			continue
		}
		n := len(g.batch.Entries)
		if n == 0 || g.batch.Entries[n-1].Index < e.Index {
			g.batch.Entries = append(g.batch.Entries, e)
			continue
		}
		at := position(g.batch.Entries, e.Index)
		if g.batch.Entries[at].Index == e.Index {
			g.batch.Entries[at] = e
		} else {
			g.batch.Entries = slices.Insert(g.batch.Entries, at, e)
		}
	}
}

// position is where index is, or belongs, among ascending entries.
func position(entries []storage.Entry, index uint64) int {
	at, _ := slices.BinarySearchFunc(entries, index, func(e storage.Entry, i uint64) int {
		switch {
		case e.Index < i:
			return -1
		case e.Index > i:
			return 1
		}
		return 0
	})
	return at
}
