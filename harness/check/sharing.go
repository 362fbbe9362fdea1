package check

import (
	"fmt"
	"slices"
	"strings"

	"gfslab/master/meta/metapb"
)

// maxTouched bounds the entries that one command may touch.
const maxTouched = 200_000

// copyBegun is a handle that was taken for a private copy of a shared chunk.
type copyBegun struct {
	file, handle uint64
	slot         uint32
}

// copiedFrom is where a private copy came from, and when it took the place of it.
type copiedFrom struct {
	handle uint64
	at     position
}

// snapshot copies a file or a tree; both sides share the chunks from then on.
func (r *replay) snapshot(o *metapb.RenameOp) (*inode, codes, uint64) {
	from, to := o.GetFrom(), o.GetTo()
	n, whyFrom := r.root.lookup(from)
	parent, name, whyTo := r.root.place(to)
	if whyFrom != nil || whyTo != nil {
		return nil, append(slices.Clone(whyFrom), whyTo...), 0
	}
	if strings.HasPrefix(to, from+"/") {
		return nil, codes{"INVALID"}, 0
	}
	var why codes
	files, slots, entries := r.visible(n, &why)
	if entries+slots > maxTouched {
		why = append(why, "TOO_LARGE")
	}
	if parent.full(files, slots, nil) {
		why = append(why, "QUOTA")
	}
	if len(to)-len(from)+n.longest(len(from)) > maxPathBytes {
		why = append(why, "INVALID")
	}
	if why != nil {
		return nil, why, 0
	}
	twin := r.copyTree(n)
	twin.attach(parent, name)
	r.cut(to, n)
	r.number(r.book.now, twin)
	return twin, nil, entries
}

// cutFile is one file as a snapshot copied it.
type cutFile struct {
	at     position
	path   string // of the copy
	chunks []uint64
}

// cut remembers the files that a snapshot copied.
func (r *replay) cut(to string, n *inode) {
	if !n.dir {
		r.cuts = append(r.cuts, cutFile{r.book.now, to, slices.Clone(n.chunks)})
		return
	}
	for _, name := range sortedKeys(n.kids) {
		r.cut(to+"/"+name, n.kids[name])
	}
}

// visible counts what a snapshot of n copies, and tells why it cannot.
func (r *replay) visible(n *inode, why *codes) (files, slots, entries uint64) {
	entries = 1
	if !n.dir {
		for _, h := range n.chunks {
			if c := r.book.chunks[h]; c != nil && (c.epoch != 0 || c.intentIndex != 0) && !slices.Contains(*why, "LEASE_HELD") {
				*why = append(*why, "LEASE_HELD")
			}
		}
		return 1, uint64(len(n.chunks)), entries
	}
	for _, kid := range n.kids {
		f, s, e := r.visible(kid, why)
		files, slots, entries = files+f, slots+s, entries+e
	}
	return files, slots, entries
}

// copyTree copies a subtree without what is hidden in it.
func (r *replay) copyTree(n *inode) *inode {
	twin := &inode{dir: n.dir, own: n.own, chunks: slices.Clone(n.chunks)}
	if !n.dir {
		twin.files, twin.slots = 1, uint64(len(n.chunks))
		for _, h := range n.chunks {
			if c := r.book.chunks[h]; c != nil {
				c.refs++
				r.book.note(c)
			}
		}
		return twin
	}
	twin.kids = map[string]*inode{}
	for _, name := range sortedKeys(n.kids) {
		r.copyTree(n.kids[name]).attach(twin, name)
	}
	return twin
}

// number gives the copies below the top of a snapshot their ids: those of a
// counter that goes on from snapshot to snapshot, level by level, in each
// directory in order of names.
func (r *replay) number(at position, top *inode) {
	for level := []*inode{top}; len(level) > 0; level = level[1:] {
		n := level[0]
		for _, name := range sortedKeys(n.kids) {
			level = append(level, n.kids[name])
		}
		if n != top {
			n.id = copyIDs | r.copyCount
			r.copyCount++
			r.ids[n.id], r.byID[n.id] = at, n
		}
	}
}

// copyIDs begins the ids of what a snapshot copies below its top; the ids that
// positions in the log make stay below.
const copyIDs = 1 << 63

// notShared tells why a file's chunk cannot be copied.
func notShared(n *inode, c *chunkFacts, slot uint32) (why codes) {
	if n == nil || c == nil || int(slot) >= len(n.chunks) || n.chunks[slot] != c.handle {
		return codes{"STALE", "NO_CHUNK"}
	}
	if c.refs < 2 {
		why = append(why, "STALE")
	}
	if c.sealed {
		why = append(why, "SEALED")
	}
	return why
}

// copyBegin judges a CopyBegin, given the handle that the reply says it took.
func (r *replay) copyBegin(at position, o *metapb.CopyBeginOp, handle uint64) (answer, string) {
	n := r.byID[o.GetFile()]
	c := r.book.chunks[o.GetHandle()]
	if why := notShared(n, c, o.GetSlot()); why != nil {
		return answer{codes: why}, ""
	}
	if trouble := r.newHandle(at, handle); trouble != "" {
		return answer{}, trouble
	}
	r.copies[handle] = copyBegun{o.GetFile(), o.GetHandle(), o.GetSlot()}
	return answer{}, ""
}

// copyCommit judges a CopyCommit.
func (r *replay) copyCommit(o *metapb.CopyCommitOp) answer {
	n := r.byID[o.GetFile()]
	c := r.book.chunks[o.GetHandle()]
	begun, was := r.copies[o.GetCopy()]
	if why := notShared(n, c, o.GetSlot()); why != nil {
		return answer{codes: why}
	}
	if c.version != o.GetVersion() || !was || begun != (copyBegun{o.GetFile(), o.GetHandle(), o.GetSlot()}) ||
		!subsetOf(o.GetMembers(), c.members) || len(o.GetMembers()) == 0 && len(c.members) > 0 {
		return answer{codes: codes{"STALE"}}
	}
	delete(r.copies, o.GetCopy())
	n.chunks[o.GetSlot()] = o.GetCopy()
	c.refs--
	r.book.note(c)
	own := &chunkFacts{
		handle: o.GetCopy(), version: c.version, reserved: c.version, members: slices.Clone(o.GetMembers()),
		refs: 1, kind: c.kind, goal: c.goal,
	}
	r.book.chunks[own.handle] = own
	r.book.note(own)
	r.copied[own.handle] = copiedFrom{c.handle, r.book.now}
	r.slots[own.handle] = o.GetSlot()
	for _, node := range own.members {
		r.joined = append(r.joined, joining{r.book.now, own.handle, own.version, node})
	}
	return answer{handle: fixed(o.GetCopy())}
}

// newHandle holds a chunk handle to be new.
func (r *replay) newHandle(at position, h uint64) string {
	before, used := r.handles[h]
	r.handles[h] = at
	if used || h == 0 {
		return fmt.Sprintf("chunk handle %d was given before, at index %d offset %d", h, before.index, before.offset)
	}
	return ""
}
