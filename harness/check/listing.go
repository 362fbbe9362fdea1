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
		r.blameRead(op, at, fmt.Sprintf("names %v, next %q", op.Reply.Names, op.Reply.Next), fmt.Sprintf("names %v", namesOf(want)))
		return
	}
	if op.Long || op.Deleted {
		r.compareEntries(op, at, page)
	}
}

// listing is all that a listing without limit would show.
func (n *inode) listing(op *rundir.Op) []shown {
	var out []shown
	switch {
	case op.Deleted:
		for _, h := range n.hidden {
			out = append(out, shown{slashed(h.name, h), h})
		}
		slices.SortStableFunc(out, func(a, b shown) int { return cmp.Compare(a.name, b.name) })
	case op.Recursive:
		n.gather("", &out)
	default:
		for name, kid := range n.kids {
			out = append(out, shown{slashed(name, kid), kid})
		}
	}
	if !op.Deleted {
		slices.SortFunc(out, func(a, b shown) int { return cmp.Compare(a.name, b.name) })
	}
	return slices.DeleteFunc(out, func(e shown) bool {
		return !strings.HasPrefix(e.name, op.Prefix) || op.After != "" && e.name <= op.After
	})
}

func slashed(name string, n *inode) string {
	if n.dir {
		return name + "/"
	}
	return name
}

// gather lists all that is below a directory, as paths relative to its top.
func (n *inode) gather(prefix string, out *[]shown) {
	for name, kid := range n.kids {
		*out = append(*out, shown{prefix + slashed(name, kid), kid})
		if kid.dir {
			kid.gather(prefix+name+"/", out)
		}
	}
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
