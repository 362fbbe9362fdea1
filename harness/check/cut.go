package check

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gfslab/results/rundir"
)

// glimpse is what a listing shows of one piece.
type glimpse struct {
	names []string
	// upTo is the last name of the whole page if there is more after it.
	upTo string
	// crooked: the page is one that no directory can have. Of all the pieces it
	// stands in one, which cannot be judged but as wrong.
	crooked bool
}

// cut makes the pieces, in order of their first operations.
func (c *cutter) cut() []partition {
	var out []partition
	pieceOf := make([]int, len(c.entries)) // from 1 on
	piece := func(entry int) int {
		root := c.root(entry)
		if pieceOf[root] == 0 {
			m := *c.p.names
			m.glimpses = map[*rundir.Op]glimpse{}
			out = append(out, partition{names: &m})
			pieceOf[root] = len(out)
		}
		return pieceOf[root] - 1
	}
	next := 0 // of the listings, which are in order of invocation like all operations
	for _, op := range c.p.ops {
		if next == len(c.lists) || c.lists[next].op != op {
			n := piece(c.number[entryOf(op.Path)])
			out[n].ops = append(out[n].ops, op)
			continue
		}
		roots, seen := c.glimpses(&c.lists[next])
		for i, root := range roots {
			n := piece(root)
			out[n].ops = append(out[n].ops, op)
			out[n].names.glimpses[op] = seen[i]
		}
		next++
	}
	members := make([][]int, len(out))
	for i := range c.entries {
		if pieceOf[i] = pieceOf[c.root(i)]; pieceOf[i] > 0 {
			members[pieceOf[i]-1] = append(members[pieceOf[i]-1], i)
		}
	}
	for n := range out {
		inside := func(path string) bool {
			i, known := c.number[entryOf(path)]
			return known && pieceOf[i] == n+1
		}
		p := namespacePartition(inside, *out[n].names)
		p.key, p.ops = c.title(members[n]), out[n].ops
		out[n] = p
	}
	return out
}

// glimpses is what each piece sees of a listing, beside the pieces' roots.
func (c *cutter) glimpses(l *listing) (roots []int, seen []glimpse) {
	roots, _ = c.pieceRoots(l, math.MaxInt)
	if _, crooked := misplaced(l.op); crooked {
		return roots[:1], []glimpse{{crooked: true}}
	}
	seen = make([]glimpse, len(roots))
	place := make(map[int]int, len(roots))
	for i, r := range roots {
		seen[i].upTo, place[r] = upTo(l.op), i
	}
	for _, name := range l.op.Reply.Names {
		g := &seen[place[c.root(c.number[l.op.Path+"/"+firstName(name)])]]
		g.names = append(g.names, name)
	}
	return roots, seen
}

// misplaced finds the name by which a page is wrong whatever there is: out of order,
// or not asked for.
func misplaced(op *rundir.Op) (name string, is bool) {
	before := op.After
	for i, name := range op.Reply.Names {
		if !strings.HasPrefix(name, op.Prefix) || (i > 0 || before != "") && name <= before {
			return name, true
		}
		before = name
	}
	return "", false
}

// title names a piece by its first and last entry.
func (c *cutter) title(members []int) string {
	first, last := c.entries[members[0]], c.entries[members[0]]
	for _, i := range members {
		first, last = min(first, c.entries[i]), max(last, c.entries[i])
	}
	if len(members) == 1 {
		return first
	}
	return fmt.Sprintf("%s to %s (%d entries)", first, last, len(members))
}

// showsPart reports whether a listing fits a piece's state as far as it shows it.
func (s *nsState) showsPart(op *rundir.Op, g glimpse) bool {
	if g.crooked {
		return false
	}
	want := slices.DeleteFunc(s.listed(op), func(name string) bool { return g.upTo != "" && name > g.upTo })
	return slices.Equal(want, g.names)
}

// describe is describeStep, of a listing that more than one piece sees with what it
// shows of this one.
func (m nsModel) describe(input, output any) string {
	op, rep := input.(*rundir.Op), output.(*rundir.Reply)
	g, part := m.glimpses[op]
	switch {
	case !part || rep == nil:
		return describeStep(op, rep)
	case g.crooked:
		name, _ := misplaced(op)
		return fmt.Sprintf("%s → a page in which %q stands where it cannot", describe(op), name)
	}
	seen := *rep
	seen.Names = g.names
	return describeStep(op, &seen)
}
