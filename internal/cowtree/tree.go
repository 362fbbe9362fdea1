package cowtree

import (
	"bytes"
	"slices"
)

const (
	// maxPage is the size in bytes beyond which a page is split, unless it holds a
	// single entry.
	maxPage = 1024
	// maxKids bounds the children of an inner node.
	maxKids = 64
)

// node is a leaf with a page or, if inner is not nil, an inner node. It may be
// changed only in the epoch in which it was made.
type node struct {
	epoch uint64
	page  []byte
	inner *inner
}

// inner holds children and, between each two, a separator: keys[i] is above
// every key below kids[i] and not above any key below kids[i+1].
type inner struct {
	keys [][]byte
	kids []*node
}

// Tree is the map that can be changed. The zero Tree is empty.
type Tree struct {
	View
	epoch uint64
}

// View is a captured map. The zero View is empty.
type View struct {
	root *node
	n    int
}

// Capture returns what the tree holds now. It takes constant time; the tree then
// copies each node before it changes it for the first time.
func (t *Tree) Capture() View {
	t.epoch++
	return t.View
}

// Set makes key mean value and reports whether key is new. It keeps neither.
func (t *Tree) Set(key, value []byte) (added bool) {
	if t.root == nil {
		t.root = &node{epoch: t.epoch}
	}
	root, sep, right, added := t.set(t.root, key, value)
	if right != nil {
		root = &node{epoch: t.epoch, inner: &inner{keys: [][]byte{sep}, kids: []*node{root, right}}}
	}
	t.root = root
	if added {
		t.n++
	}
	return added
}

// own returns n, or a copy of it that may be changed.
func (t *Tree) own(n *node) *node {
	if n.epoch == t.epoch {
		return n
	}
	c := &node{epoch: t.epoch}
	if n.inner == nil {
		c.page = append(make([]byte, 0, (len(n.page)/growth+1)*growth), n.page...)
		return c
	}
	c.inner = &inner{keys: slices.Clone(n.inner.keys), kids: slices.Clone(n.inner.kids)}
	return c
}

func (t *Tree) set(n *node, key, value []byte) (self *node, sep []byte, right *node, added bool) {
	n = t.own(n)
	if n.inner == nil {
		e, found, match := find(n.page, key)
		if found {
			n.page = replace(n.page, e, value)
		} else {
			atEnd := e.start == len(n.page)
			n.page = insert(n.page, e, match, key, value)
			if len(n.page) > maxPage && atEnd { // keys come in order: leave full pages behind
				sep, right = t.split(n, len(n.page))
			}
		}
		if len(n.page) > maxPage && right == nil {
			sep, right = t.split(n, len(n.page)/2)
		}
		return n, sep, right, !found
	}
	in := n.inner
	i := in.child(key)
	kid, kidSep, kidRight, added := t.set(in.kids[i], key, value)
	in.kids[i] = kid
	if kidRight != nil {
		in.keys = slices.Insert(in.keys, i, kidSep)
		in.kids = slices.Insert(in.kids, i+1, kidRight)
	}
	if len(in.kids) <= maxKids {
		return n, nil, nil, added
	}
	at := len(in.kids) / 2
	if i+1 == len(in.kids)-1 {
		at = len(in.kids) - 2
	}
	right = &node{epoch: t.epoch, inner: &inner{keys: slices.Clone(in.keys[at:]), kids: slices.Clone(in.kids[at:])}}
	sep = in.keys[at-1]
	clear(in.kids[at:])
	in.keys, in.kids = in.keys[:at-1], in.kids[:at]
	return n, sep, right, added
}

// split cuts the page of a leaf.
func (t *Tree) split(n *node, at int) (sep []byte, right *node) {
	left, rest, before, after := cut(n.page, at)
	if rest == nil {
		return nil, nil
	}
	n.page = left
	return separator(before, after), &node{epoch: t.epoch, page: rest}
}

// separator is the shortest key that is above before and not above after.
func separator(before, after []byte) []byte {
	return bytes.Clone(after[:common(before, after)+1])
}

// child is the index of the child below which key belongs.
func (in *inner) child(key []byte) int {
	low, high := 0, len(in.keys)
	for low < high {
		mid := (low + high) / 2
		if bytes.Compare(key, in.keys[mid]) < 0 {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// Delete removes key and reports whether it was there.
func (t *Tree) Delete(key []byte) bool {
	if _, found := t.Get(key); !found { // else the path to it would be copied for nothing
		return false
	}
	t.root = t.remove(t.root, key)
	for t.root != nil && t.root.inner != nil && len(t.root.inner.kids) == 1 {
		t.root = t.root.inner.kids[0]
	}
	t.n--
	return true
}

// remove takes key out from below n. It returns nil if nothing is left.
func (t *Tree) remove(n *node, key []byte) *node {
	n = t.own(n)
	if n.inner == nil {
		e, _, _ := find(n.page, key)
		if n.page = remove(n.page, e, key); len(n.page) == 0 {
			return nil
		}
		return n
	}
	in := n.inner
	i := in.child(key)
	kid := t.remove(in.kids[i], key)
	if kid == nil {
		in.kids = slices.Delete(in.kids, i, i+1)
		if len(in.kids) == 0 {
			return nil
		}
		in.keys = slices.Delete(in.keys, max(0, i-1), max(0, i-1)+1)
		return n
	}
	in.kids[i] = kid
	if kid.sparse() && !t.merge(in, i-1) {
		t.merge(in, i)
	}
	return n
}

// sparse reports whether a node holds so little that it should join another.
func (n *node) sparse() bool {
	if n.inner == nil {
		return len(n.page) < maxPage/4
	}
	return len(n.inner.kids) < maxKids/4
}

// merge joins the children i and i+1 if there are two and what comes out has room
// to grow, and reports whether it did.
func (t *Tree) merge(in *inner, i int) bool {
	if i < 0 || i+1 >= len(in.kids) {
		return false
	}
	a, b := in.kids[i], in.kids[i+1]
	one := &node{epoch: t.epoch}
	if a.inner == nil {
		if len(a.page)+len(b.page) > maxPage*3/4 {
			return false
		}
		one.page = join(a.page, b.page)
	} else {
		if len(a.inner.kids)+len(b.inner.kids) > maxKids*3/4 {
			return false
		}
		one.inner = &inner{
			keys: slices.Concat(a.inner.keys, in.keys[i:i+1], b.inner.keys),
			kids: slices.Concat(a.inner.kids, b.inner.kids),
		}
	}
	in.kids[i] = one
	in.keys = slices.Delete(in.keys, i, i+1)
	in.kids = slices.Delete(in.kids, i+1, i+2)
	return true
}
