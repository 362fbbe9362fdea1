package check

import (
	"slices"
)

// momentAt is what the log had made of a chunk at a time; nil before it was made,
// and where the time of the log's entries is not known.
func (f *facts) momentAt(handle uint64, at int64) *moment {
	past := f.replay().book.past[handle]
	for i := len(past) - 1; i >= 0; i-- {
		applied, known := f.firstApplied(past[i].at.index)
		if !known {
			return nil
		}
		if applied <= at {
			return &past[i]
		}
	}
	return nil
}

// committed reports whether the log ever committed a version of a chunk.
func (f *facts) committed(handle, version uint64) bool {
	return slices.ContainsFunc(f.replay().book.past[handle], func(m moment) bool { return m.version == version })
}

// lineage lists a chunk and those that it was copied from, the newest first, with
// the time until which each may have been written to.
func (f *facts) lineage(handle uint64, until int64) (out []ancestor) {
	r := f.replay()
	for range 64 {
		out = append(out, ancestor{handle, until})
		from, copied := r.copied[handle]
		if !copied {
			break
		}
		if at, known := f.firstApplied(from.at.index); known {
			until = min(until, at)
		}
		handle = from.handle
	}
	return out
}

type ancestor struct {
	handle uint64
	until  int64
}
