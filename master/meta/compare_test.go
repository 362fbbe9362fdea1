package meta

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"gfslab/master/meta/metapb"
)

// compare holds everything that can be looked up against the twin.
func compare(rt *rapid.T, s *State, tw *twin) {
	nodes, chunks, sessions := s.Sizes()
	hidden, dirs, quotas := 0, 0, 0
	for _, n := range tw.nodes {
		if n.hidden {
			hidden++
		}
		if n.dir {
			dirs++
		}
		if n.own.MaxFiles != nil || n.own.MaxChunks != nil {
			quotas++
		}
	}
	if nodes != len(tw.nodes) || chunks != len(tw.chunks) || sessions != len(tw.sessions) || s.Time() != tw.time || s.ages.Len() != sessions ||
		s.expiry.Len() != hidden || s.parents.Len() != dirs-1 || s.quotas != quotas || s.copies.Len() != len(tw.copies) || s.NextHandle() != tw.handles+1 {
		rt.Fatalf("%d nodes, %d chunks, %d sessions, %d queued, time %d, %d expire, %d have parents, %d quotas, %d copies, next handle %d; twin has %d, %d, %d, %d, %d, %d, %d, %d, %d, %d",
			nodes, chunks, sessions, s.ages.Len(), s.Time(), s.expiry.Len(), s.parents.Len(), s.quotas, s.copies.Len(), s.NextHandle(),
			len(tw.nodes), len(tw.chunks), len(tw.sessions), len(tw.sessions), tw.time, hidden, dirs-1, quotas, len(tw.copies), tw.handles+1)
	}
	for _, p := range universe {
		comparePath(rt, s, tw, p)
	}
	for _, c := range tw.chunks {
		compareChunk(rt, s, tw, c)
	}
	var paged []uint64
	for next, more := uint64(1), true; more; more = next != 0 {
		var page []Chunk
		page, next = s.ChunksFrom(next, 2)
		for _, c := range page {
			paged = append(paged, c.Handle)
		}
	}
	want := []uint64{}
	for _, c := range tw.chunks {
		if tw.refs(c.handle) > 0 {
			want = append(want, c.handle)
		}
	}
	slices.Sort(want)
	if !slices.Equal(paged, want) {
		rt.Fatalf("chunks in pages: %v, twin has %v", paged, want)
	}
}

func comparePath(rt *rapid.T, s *State, tw *twin, p string) {
	info, code := s.Stat(p)
	f := tw.at(p)
	if (code == OK) != (f != nil) || code != OK && code != NotFound {
		rt.Fatalf("stat %s: %+v code %d; twin has %+v", p, info, code, f)
	}
	if f == nil {
		return
	}
	compareInfo(rt, tw, p, info, f)
	for slot, handle := range f.slots {
		if at, code := s.ChunkAt(p, uint32(slot)); code != OK || at.Handle != handle {
			rt.Fatalf("chunk %d of %s: %+v code %d; twin has %d", slot, p, at, code, handle)
		}
	}
	if n, found := s.lookup(p); found && p != "/" && int(n.below) < s.longest(n.id) {
		rt.Fatalf("%s: paths below it are bounded by %d and one has %d", p, n.below, s.longest(n.id))
	}
	var want Usage
	visited := map[uint64]bool{}
	for _, n := range append(tw.deepest(f), f) {
		lost := false
		for m := n; m != f && m != nil; m = tw.byID(m.parent) {
			lost = lost || m.hidden
		}
		switch {
		case n.dir && n != f && !lost:
			want.Directories++
		case n.dir:
		case lost:
			want.HiddenFiles++
			want.HiddenChunks += uint64(len(n.slots))
		default:
			want.Files++
			want.Chunks += uint64(len(n.slots))
		}
		if !n.dir {
			visited[n.id] = lost
		}
	}
	w, code := s.WalkFrom(p, 0)
	for code == OK && !w.Step(s, 1, func(id uint64, hidden bool, handles []uint64) {
		if lost, known := visited[id]; !known || lost != hidden || !slices.Equal(handles, tw.byID(id).slots) {
			rt.Fatalf("walk from %s: file %d, hidden %v, %v", p, id, hidden, handles)
		}
		delete(visited, id)
	}) {
	}
	if code != OK || w.Usage != want || len(visited) > 0 {
		rt.Fatalf("usage of %s: %+v code %d, twin has %+v; not visited: %v", p, w, code, want, visited)
	}
	if f.dir {
		compareList(rt, s, tw, p, f)
	}
}

func compareInfo(rt *rapid.T, tw *twin, p string, info Info, f *twinNode) {
	effective := tw.effective(f)
	public := func(a Attributes) *metapb.SetAttributesOp {
		return &metapb.SetAttributesOp{RetentionNs: a.RetentionNs, Replicas: a.Replicas, MaxFiles: a.MaxFiles, MaxChunks: a.MaxChunks}
	}
	var files, chunks uint64
	if f.own.MaxFiles != nil || f.own.MaxChunks != nil {
		files, chunks = tw.usage(f, true)
	}
	if info.ID != f.id || info.Directory != f.dir || !slices.Equal(info.Chunks, f.slots) || !proto.Equal(public(info.Own), &f.own) || !proto.Equal(public(info.Effective), effective) ||
		info.UsedFiles != files || info.UsedChunks != chunks || info.Hidden != f.hidden || info.DeletedNs != f.deleted || info.ExpiresNs != f.expires {
		rt.Fatalf("stat %s: %+v; own %v, effective %v; twin has %+v; effective %v, %d files, %d chunks", p, info, public(info.Own), public(info.Effective), f, effective, files, chunks)
	}
}

// compareList lists a directory in every way, in pages.
func compareList(rt *rapid.T, s *State, tw *twin, p string, f *twinNode) {
	var names, all, gone []string
	for _, n := range tw.deepest(f) {
		name, hidden := n.name, n.hidden
		for m := tw.byID(n.parent); m != f; m = tw.byID(m.parent) {
			name, hidden = m.name+"/"+name, hidden || m.hidden
		}
		if n.dir {
			name += "/"
		}
		switch {
		case n.hidden && n.parent == f.id && !n.doomed:
			gone = append(gone, name)
			path := strings.TrimSuffix(p, "/") + "/" + n.name
			info, code := s.Find(path, n.id)
			if code != OK {
				rt.Fatalf("%s is hidden under id %d: code %d", path, n.id, code)
			}
			compareInfo(rt, tw, path, info, n)
		case !hidden && n.parent == f.id:
			names = append(names, name)
		}
		if !hidden {
			all = append(all, name)
		}
	}
	slices.Sort(names)
	slices.Sort(all)
	prefix := rapid.SampledFrom([]string{"", "", "a", "x", "a-"}).Draw(rt, "prefix")
	matching := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, prefix) })
	}
	if got, code := s.List(p); code != OK || !slices.Equal(got, names) {
		rt.Fatalf("list %s: %v code %d, twin has %v", p, got, code, names)
	}
	for _, c := range []struct {
		o    ListOptions
		want []string
	}{
		{ListOptions{Prefix: prefix}, matching(names)},
		{ListOptions{Prefix: prefix, Recursive: true}, matching(all)},
		{ListOptions{Prefix: prefix, Hidden: true}, matching(gone)},
	} {
		for _, c.o.Limit = range []int{0, 1, 2} {
			got, cursors := pages(rt, s, p, c.o)
			if !slices.Equal(got, c.want) {
				rt.Fatalf("list %s %+v: %q by %q, twin has %q", p, c.o, got, cursors, c.want)
			}
		}
	}
}

func pages(rt *rapid.T, s *State, p string, o ListOptions) (names, cursors []string) {
	for {
		entries, next, code := s.ListPage(p, o)
		if code != OK || o.Limit > 0 && len(entries) > o.Limit || slices.Contains(cursors, next) {
			rt.Fatalf("list %s %+v: %v, then %q, code %d", p, o, entries, next, code)
		}
		for _, e := range entries {
			names = append(names, e.Name)
		}
		if next == "" {
			return names, cursors
		}
		cursors = append(cursors, next)
		o.After = next
	}
}

func compareChunk(rt *rapid.T, s *State, tw *twin, c *twinChunk) {
	got, code := s.Chunk(c.handle)
	refs := tw.refs(c.handle)
	if (code == OK) != (refs > 0) || got.Deleted != (refs == 0) || got.Refs != refs || got.Version != c.version || got.Epoch != c.epoch || got.Primary != c.primary ||
		!slices.Equal(got.Members, c.members) || got.Kind != Kind(c.kind) || got.Goal != c.goal || got.Sealed != c.sealed || got.Length != c.length ||
		got.Reserved != c.reserved || got.Intent != c.intentIndex && refs > 0 {
		rt.Fatalf("chunk %d: %+v code %d, twin has %+v with %d references", c.handle, got, code, c, refs)
	}
}
