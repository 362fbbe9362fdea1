package check

import (
	"cmp"
	"fmt"
	"slices"
)

// purge judges a Purge, given the count of what the reply says it removed: all
// that is due by the state's time, up to the limit. A directory goes after all
// that is in it, whatever the retention of that.
func (r *replay) purge(limit uint32, count uint64) (answer, string) {
	due := r.due()
	want := min(uint64(limit), uint64(len(due)))
	if count != want {
		return answer{}, fmt.Sprintf("a purge of up to %d says that it removed %d entries; %d are due by the log's time %d", limit, count, len(due), r.now)
	}
	for _, n := range due[:want] {
		r.takeAway(n)
	}
	return answer{}, ""
}

// due lists what a purge may remove now, in the order in which it does.
func (r *replay) due() (out []*inode) {
	var tops []*inode
	var find func(n *inode)
	find = func(n *inode) {
		for _, name := range sortedKeys(n.kids) {
			find(n.kids[name])
		}
		for _, h := range n.hidden {
			if h.expires <= r.now {
				tops = append(tops, h)
			} else {
				find(h)
			}
		}
	}
	find(r.root)
	slices.SortStableFunc(tops, func(a, b *inode) int { return cmp.Or(cmp.Compare(a.expires, b.expires), cmp.Compare(a.id, b.id)) })
	for _, top := range tops {
		top.each(func(n *inode) { out = append(out, n) })
	}
	return out
}
