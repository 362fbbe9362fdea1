package check

import (
	"slices"
	"strings"

	"gfslab/master/meta/metapb"
)

// create adds a file or directory.
func (root *inode) create(path string, dir bool) (*inode, codes) {
	parent, name, why := root.place(path)
	if why != nil {
		return nil, why
	}
	n := &inode{dir: dir, parent: parent, name: name}
	if dir {
		n.kids = map[string]*inode{}
	} else {
		n.files = 1
	}
	if parent.full(n.files, 0, nil) {
		return nil, codes{"QUOTA"}
	}
	n.attach(parent, name)
	return n, nil
}

// rename moves a file or a directory; with replace, a file takes another one's place,
// which is hidden in the same step.
func (r *replay) rename(at position, o *metapb.RenameOp) (*inode, codes) {
	from, to := o.GetFrom(), o.GetTo()
	n, _ := r.root.lookup(from)
	there, _ := r.root.lookup(to)
	if !o.GetReplace() || n == nil || there == nil || n.dir || there.dir || n == there {
		return r.root.rename(from, to)
	}
	if there.parent.full(n.files, n.slots, n.parent) {
		return nil, codes{"QUOTA"}
	}
	parent, name := there.parent, there.name
	r.hideAway(at, there)
	n.detach()
	n.attach(parent, name)
	return n, nil
}

// rename moves a file or a directory with all below it to where nothing is.
func (root *inode) rename(from, to string) (*inode, codes) {
	if from == "/" || strings.HasPrefix(to, from+"/") {
		return nil, codes{"INVALID"}
	}
	n, whyFrom := root.lookup(from)
	parent, name, whyTo := root.place(to)
	if whyFrom != nil || whyTo != nil {
		return nil, append(slices.Clone(whyFrom), whyTo...)
	}
	var why codes
	if len(to)-len(from)+n.longest(len(from)) > maxPathBytes {
		why = append(why, "INVALID")
	}
	if parent.full(n.files, n.slots, n.parent) {
		why = append(why, "QUOTA")
	}
	if why != nil {
		return nil, why
	}
	n.detach()
	n.attach(parent, name)
	return n, nil
}

// remove hides what is at a path, or takes away what is hidden under it.
func (r *replay) remove(at position, o *metapb.DeleteOp) (*inode, codes) {
	n, why := r.root.find(o.GetPath(), o.GetId())
	switch {
	case n == nil:
		return nil, why
	case n == r.root:
		return nil, codes{"INVALID"}
	case n.away && n.dir:
		n.expires = min(n.expires, r.now)
		return n, nil
	case n.away:
		r.takeAway(n)
		return n, nil
	case len(n.kids) > 0 && !o.GetRecursive():
		return nil, codes{"NOT_EMPTY"}
	}
	r.hideAway(at, n)
	return n, nil
}

// hideAway hides what is to be seen; a file without retention goes at once.
func (r *replay) hideAway(at position, n *inode) {
	keep := n.retention()
	n.detach()
	if keep == 0 && !n.dir {
		r.release(n)
		return
	}
	n.hide(at, r.now, keep)
	r.hidden = append(r.hidden, n)
}

// takeAway removes one file or directory for good, which holds nothing any more.
func (r *replay) takeAway(n *inode) {
	r.unhide(n)
	n.detach()
	r.release(n)
}

// release forgets a node that is in no directory any more.
func (r *replay) release(n *inode) {
	r.book.drop(n.chunks)
	delete(r.byID, n.id)
	r.removed++
}

// undelete brings back what is hidden under a path: the one with the id, or the
// one that was hidden last.
func (r *replay) undelete(o *metapb.UndeleteOp) (*inode, codes) {
	parts, ok := names(o.GetPath())
	if !ok || len(parts) == 0 {
		return nil, codes{"INVALID", "EXISTS", "NOT_FOUND"}
	}
	parent, why := r.root.walk(parts[:len(parts)-1])
	switch {
	case parent == nil:
		return nil, why
	case !parent.dir:
		return nil, codes{"NOT_DIRECTORY", "NOT_FOUND"}
	}
	name := parts[len(parts)-1]
	var n *inode
	for _, h := range parent.hidden { // the last one is that which was hidden last
		if h.name == name && !h.doomed && (o.GetId() == 0 || h.id == o.GetId()) {
			n = h
		}
	}
	why = nil
	if n == nil {
		why = append(why, "NOT_FOUND")
	}
	if parent.kids[name] != nil {
		why = append(why, "EXISTS")
	}
	if why == nil && n.longest(len(o.GetPath())) > maxPathBytes {
		why = codes{"INVALID"} // a directory above has moved
	}
	if why != nil {
		return nil, why
	}
	r.unhide(n)
	n.detach()
	n.attach(parent, name)
	return n, nil
}

// unhide strikes a node off the list of what is hidden.
func (r *replay) unhide(n *inode) {
	if n.away {
		r.hidden = slices.DeleteFunc(r.hidden, func(x *inode) bool { return x == n })
	}
}

// setAttributes sets and clears attributes. The goal of a file is that of its
// chunks, too.
func (r *replay) setAttributes(o *metapb.SetAttributesOp) (*inode, codes) {
	n, why := r.root.lookup(o.GetPath())
	if n == nil {
		return nil, why
	}
	quota := o.MaxFiles != nil || o.MaxChunks != nil
	if !n.dir && quota {
		return nil, codes{"INVALID", "NOT_DIRECTORY"}
	}
	for _, name := range o.GetClear() {
		switch name {
		case "retention":
			n.own.retention = nil
		case "replicas":
			n.own.replicas = nil
		case "max_files":
			n.own.maxFiles = nil
		case "max_chunks":
			n.own.maxChunks = nil
		}
	}
	setIf(&n.own.retention, o.RetentionNs)
	setIf(&n.own.replicas, o.Replicas)
	setIf(&n.own.maxFiles, o.MaxFiles)
	setIf(&n.own.maxChunks, o.MaxChunks)
	for _, h := range n.chunks {
		if c := r.book.chunks[h]; c != nil {
			c.goal = n.goal()
			r.book.note(c)
		}
	}
	return n, nil
}

func setIf[T any](to **T, from *T) {
	if from != nil {
		v := *from
		*to = &v
	}
}
