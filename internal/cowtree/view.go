package cowtree

import "iter"

// Len is the number of keys.
func (v View) Len() int { return v.n }

// Get returns the value of key. It must not be changed, and is valid only until
// the tree changes; that of a captured View is valid for ever.
func (v View) Get(key []byte) (value []byte, found bool) {
	n := v.root
	if n == nil {
		return nil, false
	}
	for n.inner != nil {
		n = n.inner.kids[n.inner.child(key)]
	}
	e, found, _ := find(n.page, key)
	if !found {
		return nil, false
	}
	return n.page[e.value:e.end:e.end], true
}

// From yields the entries whose keys are not below from, in order. Key and value
// must not be changed; the key is valid only until the next one. The tree must
// not change meanwhile.
func (v View) From(from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		if v.root != nil {
			w := walk{from: from, yield: yield}
			w.node(v.root, true)
		}
	}
}

// walk is one iteration; key is the key of the entry before the next one.
type walk struct {
	from, key []byte
	yield     func(key, value []byte) bool
}

// node yields what is below n; cut says that there may be keys below from.
func (w *walk) node(n *node, cut bool) bool {
	if n.inner == nil {
		return w.page(n.page, cut)
	}
	first := 0
	if cut {
		first = n.inner.child(w.from)
	}
	for i, kid := range n.inner.kids[first:] {
		if !w.node(kid, cut && i == 0) {
			return false
		}
	}
	return true
}

func (w *walk) page(page []byte, cut bool) bool {
	at, e := 0, entry{}
	if cut {
		if e, _, _ = find(page, w.from); e.start == len(page) {
			return true
		}
		// from lies between the entry and the one before it, and so has in common
		// with both what they have in common.
		w.key = append(w.key[:0], w.from[:e.shared]...)
		at = e.start
	}
	for at < len(page) {
		e = parse(page, at)
		w.key = append(w.key[:e.shared], page[e.suffix:e.value]...)
		if !w.yield(w.key, page[e.value:e.end:e.end]) {
			return false
		}
		at = e.end
	}
	return true
}

// Last returns the entry with the highest key below bound. The key is the
// caller's; the value is as Get's.
func (v View) Last(bound []byte) (key, value []byte, found bool) {
	if v.root == nil {
		return nil, nil, false
	}
	return lastBelow(v.root, bound)
}

func lastBelow(n *node, bound []byte) (key, value []byte, found bool) {
	if n.inner != nil {
		for i := n.inner.child(bound); i >= 0 && !found; i-- {
			key, value, found = lastBelow(n.inner.kids[i], bound)
		}
		return key, value, found
	}
	at, _, _ := find(n.page, bound)
	for e := (entry{}); e.end < at.start; {
		e = parse(n.page, e.end)
		key, value, found = append(key[:e.shared], n.page[e.suffix:e.value]...), n.page[e.value:e.end:e.end], true
	}
	return key, value, found
}
