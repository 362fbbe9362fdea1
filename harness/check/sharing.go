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
	if entries > maxTouched {
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
	return twin, nil, entries
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
		return 1, uint64(len(n.chunks)), entries + uint64(len(n.chunks))
	}
	for _, kid := range n.kids {
		f, s, e := r.visible(kid, why)
		files, slots, entries = files+f, slots+s, entries+e
	}
	return files, slots, entries
}

// copyTree copies a subtree without what is hidden in it. The ids of the copies
// are not known until some reply tells them.
func (r *replay) copyTree(n *inode) *inode {
	twin := &inode{dir: n.dir, own: n.own, chunks: slices.Clone(n.chunks)}
	if !n.dir {
		twin.files, twin.slots = 1, uint64(len(n.chunks))
		for _, h := range n.chunks {
			if c := r.book.chunks[h]; c != nil {
				c.refs++
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

// fileOf finds a file by its id. A copy's id may be told here for the first time:
// then it is the only one without an id that has the chunk in that slot.
func (r *replay) fileOf(id uint64, slot uint32, handle uint64) *inode {
	if n := r.byID[id]; n != nil || id == 0 {
		return n
	}
	var only *inode
	count := 0
	r.root.each(func(n *inode) {
		if n.id == 0 && int(slot) < len(n.chunks) && n.chunks[slot] == handle {
			only = n
			count++
		}
	})
	if count != 1 {
		return nil
	}
	return only
}

// copyBegin judges a CopyBegin, given the handle that the reply says it took.
func (r *replay) copyBegin(at position, o *metapb.CopyBeginOp, handle uint64) (answer, string) {
	n := r.fileOf(o.GetFile(), o.GetSlot(), o.GetHandle())
	c := r.book.chunks[o.GetHandle()]
	if n == nil || c == nil || int(o.GetSlot()) >= len(n.chunks) || n.chunks[o.GetSlot()] != o.GetHandle() || c.refs < 2 {
		return answer{codes: codes{"STALE", "NOT_FOUND", "NO_CHUNK"}}, ""
	}
	if trouble := r.newHandle(at, handle); trouble != "" {
		return answer{}, trouble
	}
	r.copies[handle] = copyBegun{o.GetFile(), o.GetHandle(), o.GetSlot()}
	return answer{}, ""
}

// copyCommit judges a CopyCommit.
func (r *replay) copyCommit(o *metapb.CopyCommitOp) answer {
	n := r.fileOf(o.GetFile(), o.GetSlot(), o.GetHandle())
	c := r.book.chunks[o.GetHandle()]
	begun, was := r.copies[o.GetCopy()]
	if n == nil || c == nil || int(o.GetSlot()) >= len(n.chunks) || n.chunks[o.GetSlot()] != o.GetHandle() || c.refs < 2 ||
		c.version != o.GetVersion() || !was || begun != (copyBegun{o.GetFile(), o.GetHandle(), o.GetSlot()}) {
		return answer{codes: codes{"STALE", "NOT_FOUND", "NO_CHUNK"}}
	}
	if !subsetOf(o.GetMembers(), c.members) {
		return answer{codes: codes{"STALE", "INVALID"}}
	}
	delete(r.copies, o.GetCopy())
	n.chunks[o.GetSlot()] = o.GetCopy()
	c.refs--
	r.book.chunks[o.GetCopy()] = &chunkFacts{
		handle: o.GetCopy(), version: c.version, reserved: c.version, members: slices.Clone(o.GetMembers()),
		refs: 1, kind: c.kind, sealed: c.sealed, length: c.length,
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
