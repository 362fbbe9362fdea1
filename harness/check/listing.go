package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gfslab/results/rundir"
)

// shown is one entry that a listing may show.
type shown struct {
	name string
	node *inode
}

func (e shown) key() string { return e.name }

func (r *replay) compareList(op *rundir.Op, at position) {
	n, why := r.root.lookup(op.Path)
	if n != nil && !n.dir {
		why = codes{"NOT_DIRECTORY"}
	}
	if !why.allow(op.Reply.Code) {
		r.blameRead(op, at, "code "+op.Reply.Code, why.String())
		return
	}
	if len(why) > 0 {
		return
	}
	want := n.listing(op)
	page, fits := pageOf(op, want)
	if !fits || !slices.EqualFunc(op.Reply.Names, page, func(name string, e shown) bool { return name == e.name }) {
		due := namesOf(want)
		same := 0
		for same < min(len(due), len(op.Reply.Names)) && due[same] == op.Reply.Names[same] {
			same++
		}
		r.blameRead(op, at, fmt.Sprintf("%s, next %q", excerpt(op.Reply.Names, same), op.Reply.Next), excerpt(due, same))
		return
	}
	if op.Long || op.Deleted {
		r.compareEntries(op, at, page)
	}
}

// beyond is how many names of the model are told that a listing lacks.
const beyond = 20

// listing is all that a listing without limit would show, but not many more names
// than the reply has.
func (n *inode) listing(op *rundir.Op) []shown {
	var out []shown
	fits := func(e shown) bool {
		return strings.HasPrefix(e.name, op.Prefix) && (op.After == "" || e.name > op.After)
	}
	if op.Deleted {
		for _, h := range n.hidden {
			if e := (shown{slashed(h.name, h), h}); fits(e) {
				out = append(out, e)
			}
		}
		slices.SortStableFunc(out, func(a, b shown) int { return cmp.Compare(a.name, b.name) })
		return out
	}
	n.show("", max(op.Prefix, op.After), op.Recursive, func(e shown) bool {
		if fits(e) {
			out = append(out, e)
		}
		return strings.HasPrefix(e.name, op.Prefix) && len(out) < len(op.Reply.Names)+beyond
	})
	return out
}

// show walks what is to be seen in a directory in the order of listings, from the
// first name on that is not before the given one; with all, whatever is below too.
// Names begin with prefix, the path from where the listing began. It reports whether
// the visitor wanted to see all.
func (n *inode) show(prefix, from string, all bool, visit func(shown) bool) bool {
	if n.order == nil {
		n.order = inOrder(n.kids)
	}
	start, within := strings.CutPrefix(from, prefix)
	switch i := strings.IndexByte(start, '/'); {
	case !within:
		start = "" // all names here are behind it
	case i >= 0:
		start = start[:i+1] // it is below this one
	}
	for e := range n.order.from(start) {
		e.name = prefix + e.name
		if e.name >= from && !visit(e) || all && e.node.dir && !e.node.show(e.name, from, all, visit) {
			return false
		}
	}
	return true
}

func inOrder(kids map[string]*inode) *table[shown] {
	all := make([]shown, 0, len(kids))
	for name, kid := range kids {
		all = append(all, shown{slashed(name, kid), kid})
	}
	slices.SortFunc(all, func(a, b shown) int { return strings.Compare(a.name, b.name) })
	order := newTable(all)
	return &order
}

func slashed(name string, n *inode) string {
	if n.dir {
		return name + "/"
	}
	return name
}

// pageOf is the part of a listing that the reply must show: all of it, or what
// the limits of the client or of the service let through, with word of more.
func pageOf(op *rundir.Op, all []shown) (page []shown, fits bool) {
	n := len(op.Reply.Names)
	if op.Limit > 0 && n > int(op.Limit) || n > len(all) {
		return nil, false
	}
	if op.Reply.Next == "" {
		return all, op.Limit == 0 || len(all) <= int(op.Limit)
	}
	return all[:n], n > 0 && n < len(all)+1 && op.Reply.Next == op.Reply.Names[n-1]
}

// excerpt writes the names around one of them.
func excerpt(names []string, at int) string {
	lo, hi := max(0, at-beyond), min(len(names), at+beyond)
	if lo == 0 && hi == len(names) {
		return fmt.Sprintf("names %v", names)
	}
	return fmt.Sprintf("names %v, these being number %d to %d", names[lo:hi], lo+1, hi)
}

func namesOf(list []shown) []string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = e.name
	}
	return out
}

// compareEntries holds the entries of a long listing to the model.
func (r *replay) compareEntries(op *rundir.Op, at position, page []shown) {
	if len(op.Reply.Entries) != len(page) {
		r.blameRead(op, at, fmt.Sprintf("%d entries", len(op.Reply.Entries)), fmt.Sprintf("%d", len(page)))
		return
	}
	for i, e := range op.Reply.Entries {
		n := page[i].node
		if op.Deleted { // of those that had one name, any order will do
			n = hiddenAs(page, e.Name, e.ID)
		}
		switch {
		case n == nil:
			r.blameRead(op, at, fmt.Sprintf("%s hidden under id %d", e.Name, e.ID), "that no such thing is hidden there")
			return
		case e.Name != page[i].name, e.Directory != n.dir, int(e.Chunks) != len(n.chunks), n.id != 0 && e.ID != n.id:
			r.blameRead(op, at, fmt.Sprintf("entry %+v", e), fmt.Sprintf("%s with id %d and %d chunks", page[i].name, n.id, len(n.chunks)))
			return
		case n.away && (e.DeletedNS != n.deleted || e.ExpiresNS != n.expires):
			r.blameRead(op, at, fmt.Sprintf("%s deleted at %d, kept until %d", e.Name, e.DeletedNS, e.ExpiresNS), fmt.Sprintf("deleted at %d, kept until %d", n.deleted, n.expires))
			return
		}
		if n.id == 0 && e.ID != 0 {
			if trouble := r.learn(at, n, e.ID); trouble != "" {
				r.blame(op, at, "%s", trouble)
			}
		}
	}
}

func hiddenAs(page []shown, name string, id uint64) *inode {
	for _, e := range page {
		if e.name == name && (e.node.id == id || e.node.id == 0) {
			return e.node
		}
	}
	return nil
}
