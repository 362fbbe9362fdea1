package check

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"gfslab/results/rundir"
)

// bounds are what the search for an order of one component's operations may take.
// For every step porcupine keeps a set of all operations, so its memory grows with
// the square of a component.
type bounds struct {
	// whole is up to how many bytes a component is judged in one, most up to how
	// many anything is judged.
	whole, most int64
	// piece is up to how many operations listings join names, few up to how many
	// neighbours are put together.
	piece, few int
	// looks bounds the names of listings that are taken apart, summed up.
	looks int
}

func usualBounds() bounds {
	return bounds{whole: 768 << 20, most: 3 << 30, piece: 1024, few: 64, looks: 50 << 20}
}

// cost is the memory in bytes that a search without a wrong turn takes, about.
func (p *partition) cost() int64 {
	n := int64(len(p.ops))
	switch {
	case p.decide != nil:
		return 0
	case p.names == nil:
		return n * n / 8
	}
	changes, paths := int64(0), map[string]bool{}
	for _, op := range p.ops {
		if mutates(op.Kind) {
			changes++
			paths[op.Path], paths[op.Path2] = true, true
		}
	}
	// Each change makes a table anew: one block, and a list of all blocks.
	const block, header = 48 * tableBlock * 3 / 2, 24
	return n*n/8 + changes*(block+header*int64(len(paths))/tableBlock/2)
}

// cutter cuts a component of the namespace into pieces: sets of entries of its top
// directories, with all that is below them. What acts on one entry stays in one
// piece, and so does what acts on two. Each piece can be judged by itself as long
// as the top directories are always there.
type cutter struct {
	bounds
	p     *partition
	made  map[string]*rundir.Op // the mkdir that surely made a top directory
	lists []listing             // of the top directories, if they were answered
	// Of each entry: its path, the next one towards the root of its piece, and, of
	// roots, the number of operations in the piece.
	entries []string
	next    []int
	weight  []int
	number  map[string]int   // entry to its place in these
	sorted  map[string][]int // by top directory: its entries as listings order them
}

// listing is a listing of a top directory with what it covers: the entries that it
// could have shown. These are sorted[lo:hi] of the directory and some besides;
// rather one too many than one too few.
type listing struct {
	op     *rundir.Op
	lo, hi int
	also   []int
}

// pieces cuts the component. Without any, why tells what is in the way. Listings
// that cover too much to be kept whole are taken apart: each piece judges what they
// show of it, and nobody that they show all pieces at one time.
func (p *partition) pieces(b bounds) (out []partition, apart int, why string) {
	c := &cutter{bounds: b, p: p, made: map[string]*rundir.Op{}, number: map[string]int{}, sorted: map[string][]int{}}
	if op := c.enumerate(); op != nil {
		return nil, 0, fmt.Sprintf("%s acts on more than entries of directories that are always there", describe(op))
	}
	c.sort()
	for i := range c.lists {
		c.cover(&c.lists[i])
	}
	wide := c.joinListed()
	c.joinNeighbours()
	names := 0
	for _, l := range wide {
		names += l.hi - l.lo + len(l.also)
	}
	if names > c.looks {
		return nil, 0, fmt.Sprintf("its listings would have to be looked at %d times, the bound is %d", names, c.looks)
	}
	return c.cut(), len(wide), ""
}

// enumerate numbers the entries that operations name or listings show, and joins the
// two of one operation. It returns the operation that forbids all cutting, if any.
func (c *cutter) enumerate() *rundir.Op {
	for _, op := range c.p.ops {
		top := topOf(op.Path)
		switch {
		case op.Path != top:
		case op.Kind == rundir.KindMkdir && c.made[top] == nil && ok(op) && op.Reply.Code == codeOK:
			c.made[top] = op
		case op.Kind != rundir.KindStat && op.Kind != rundir.KindList:
			return op
		}
		if op.Path2 != "" && (op.Path2 == topOf(op.Path2) || !c.thereBefore(op, topOf(op.Path2))) || !c.thereBefore(op, top) {
			return op
		}
		if op.Kind == rundir.KindList && op.Path == top && op.Reply.Code == codeOK {
			for _, name := range op.Reply.Names {
				c.entry(top + "/" + firstName(name))
			}
			c.lists = append(c.lists, listing{op: op})
			continue
		}
		i := c.entry(op.Path)
		if op.Path2 != "" {
			c.join(i, c.entry(op.Path2))
		}
		c.weight[c.root(i)]++
	}
	return nil
}

// thereBefore reports whether a top directory was there before the operation began,
// unless it is the one that made it. Where one ended and the other began at the same
// moment, an answer that it was there will do, and so will none: whatever it was, it
// can have been done later.
func (c *cutter) thereBefore(op *rundir.Op, top string) bool {
	made := c.made[top]
	return made != nil && (made == op || op.Start > made.End || op.Start == made.End && (!ok(op) || op.Reply.Code == codeOK))
}

// entry is the number of the entry of a top directory that a path leads to or
// through; a top directory itself is one, too.
func (c *cutter) entry(path string) int {
	path = entryOf(path)
	i, known := c.number[path]
	if !known {
		i = len(c.entries)
		c.number[path] = i
		c.entries, c.next, c.weight = append(c.entries, path), append(c.next, i), append(c.weight, 0)
		if top := topOf(path); top != path {
			c.sorted[top] = append(c.sorted[top], i)
		}
	}
	return i
}

// entryOf is a path's first two names.
func entryOf(path string) string {
	top := topOf(path)
	if rest := path[len(top):]; len(rest) > 1 {
		return top + "/" + firstName(rest[1:])
	}
	return path
}

func firstName(path string) string {
	name, _, _ := strings.Cut(path, "/")
	return name
}

func (c *cutter) root(i int) int {
	for c.next[i] != i {
		c.next[i] = c.next[c.next[i]]
		i = c.next[i]
	}
	return i
}

func (c *cutter) join(i, j int) {
	i, j = c.root(i), c.root(j)
	if i != j {
		c.next[j] = i
		c.weight[i] += c.weight[j]
	}
}

// asDirectory is an entry's name in a listing if it is a directory, by which the
// entries are sorted.
func (c *cutter) asDirectory(top string, i int) string { return c.entries[i][len(top)+1:] + "/" }

func (c *cutter) sort() {
	for top, list := range c.sorted {
		slices.SortFunc(list, func(a, b int) int { return strings.Compare(c.asDirectory(top, a), c.asDirectory(top, b)) })
	}
}

// cover works out what a listing could have shown.
func (c *cutter) cover(l *listing) {
	op, top := l.op, l.op.Path
	list := c.sorted[top]
	add := func(name string) {
		if i, known := c.number[top+"/"+name]; known {
			l.also = append(l.also, i)
		}
	}
	from := func(start string) int {
		return sort.Search(len(list), func(i int) bool { return c.asDirectory(top, list[i]) >= start })
	}
	l.lo = max(from(op.Prefix), from(op.After))
	if op.After != "" { // what is below it comes after it
		add(firstName(op.After))
	}
	l.hi = len(list)
	if op.Prefix != "" {
		within := list[l.lo:]
		l.hi = l.lo + sort.Search(len(within), func(i int) bool { return !strings.HasPrefix(c.asDirectory(top, within[i]), op.Prefix) })
		if strings.Contains(op.Prefix, "/") {
			add(firstName(op.Prefix))
		}
	}
	if last := upTo(op); last != "" {
		l.hi = min(l.hi, max(l.lo, from(last+"\x00")))
		for n := range len(last) { // a file whose name begins the last one's stands before that, whatever follows
			add(last[:n+1])
		}
	}
	for _, name := range op.Reply.Names {
		if d := firstName(name) + "/"; l.lo == l.hi || d < c.asDirectory(top, list[l.lo]) || d > c.asDirectory(top, list[l.hi-1]) {
			add(firstName(name)) // nowhere else, if the page is right
		}
	}
	slices.Sort(l.also)
	l.also = slices.Compact(l.also)
}

// upTo is the last name of a page after which there is more; "" if the listing goes
// to the end.
func upTo(op *rundir.Op) string {
	if n := len(op.Reply.Names); op.Reply.Next != "" && n > 0 {
		return op.Reply.Names[n-1]
	}
	return ""
}

// pieceRoots lists the roots of what a listing covers, but gives up beyond most
// operations in all.
func (c *cutter) pieceRoots(l *listing, most int) (roots []int, all bool) {
	seen := map[int]bool{}
	sum := 0
	visit := func(i int) bool {
		if r := c.root(i); !seen[r] {
			seen[r] = true
			roots = append(roots, r)
			sum += c.weight[r] + 1
		}
		return sum <= most
	}
	for _, i := range l.also {
		if !visit(i) {
			return nil, false
		}
	}
	for _, i := range c.sorted[l.op.Path][l.lo:l.hi] {
		if !visit(i) {
			return nil, false
		}
	}
	return roots, true
}

// joinListed joins what listings cover, the narrowest first, and returns those that
// cover too much.
func (c *cutter) joinListed() (wide []*listing) {
	var order []*listing
	for i := range c.lists {
		order = append(order, &c.lists[i])
	}
	slices.SortStableFunc(order, func(a, b *listing) int { return (a.hi - a.lo + len(a.also)) - (b.hi - b.lo + len(b.also)) })
	for _, l := range order {
		roots, all := c.pieceRoots(l, c.piece)
		if !all {
			wide = append(wide, l)
			continue
		}
		for _, r := range roots {
			c.join(roots[0], r)
		}
		if len(roots) > 0 {
			c.weight[c.root(roots[0])]++
		}
	}
	return wide
}

// joinNeighbours puts small pieces together, so that a wide listing is taken apart
// into fewer.
func (c *cutter) joinNeighbours() {
	for _, list := range c.sorted {
		for n := 1; n < len(list); n++ {
			if a, b := c.root(list[n-1]), c.root(list[n]); a != b && c.weight[a]+c.weight[b] <= c.few {
				c.join(a, b)
			}
		}
	}
}
