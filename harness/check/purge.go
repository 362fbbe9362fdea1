package check

import (
	"cmp"
	"fmt"
	"slices"
)

// purge judges a Purge, given the count of what the reply says it removed: all
// that is due by the state's time, up to the limit, the earliest first. What is
// in a directory goes with it, whatever its own retention, and before it. Nothing
// whose retention is not over goes, unless by such a directory.
func (r *replay) purge(limit uint32, count uint64) (answer, string) {
	left, removed := min(int(limit), maxTouched), 0
	for removed < left {
		top := r.earliest()
		if top == nil || top.expires > r.now {
			break
		}
		var all []*inode
		top.each(func(n *inode) { all = append(all, n) })
		for _, n := range all[:min(len(all), left-removed)] {
			r.takeAway(n)
			removed++
			top.doomed = true
		}
	}
	if count != uint64(removed) {
		return answer{}, fmt.Sprintf("a purge of up to %d says that it removed %d entries; %d are due by the log's time %d", limit, count, removed, r.now)
	}
	return answer{}, ""
}

// earliest is what is hidden and due before all others.
func (r *replay) earliest() *inode {
	if len(r.hidden) == 0 {
		return nil
	}
	return slices.MinFunc(r.hidden, func(a, b *inode) int {
		return cmp.Or(cmp.Compare(a.expires, b.expires), a.hiddenAt.compare(b.hiddenAt))
	})
}
