package meta

// usage is what quotas count: files and, in them, chunks, hidden ones too.
type usage struct{ files, chunks int64 }

func (u usage) negative() usage { return usage{-u.files, -u.chunks} }

// charge adds to the counters of every quota on a directory or above it.
func (s *State) charge(dir uint64, u usage) {
	for ; dir != 0 && s.quotas > 0; dir = s.parent(dir) {
		if a, found := s.loadAttributes(dir); found && a.limited() {
			a.used.files += u.files
			a.used.chunks += u.chunks
			s.storeAttributes(dir, &a)
		}
	}
}

// fits reports whether every quota on a directory or above it has room for more.
func (s *State) fits(dir uint64, more usage) bool {
	for ; dir != 0 && s.quotas > 0; dir = s.parent(dir) {
		if !s.hasRoom(dir, more) {
			return false
		}
	}
	return true
}

// hasRoom reports whether the quota of one directory, if it has one, has room for
// more. One that is exceeded already, as it was set late, bears nothing more of
// what it limits, but all else.
func (s *State) hasRoom(dir uint64, more usage) bool {
	a, found := s.loadAttributes(dir)
	if !found {
		return true
	}
	over := func(has bool, limit uint64, used, more int64) bool {
		return has && more > 0 && uint64(used+more) > limit
	}
	return !over(a.has&hasMaxFiles != 0, a.maxFiles, a.used.files, more.files) &&
		!over(a.has&hasMaxChunks != 0, a.maxChunks, a.used.chunks, more.chunks)
}

// quotasAbove lists the directories with a quota from dir on upwards.
func (s *State) quotasAbove(dir uint64) (limited []uint64) {
	for ; dir != 0 && s.quotas > 0; dir = s.parent(dir) {
		if a, found := s.loadAttributes(dir); found && a.limited() {
			limited = append(limited, dir)
		}
	}
	return limited
}

// count counts n and what is below it, if those are no more than limit files and
// directories.
func (s *State) count(n node, limit int) (u usage, all bool) {
	left := limit
	all = s.countInto(&u, n, &left)
	return u, all
}

func (s *State) countInto(u *usage, n node, left *int) bool {
	if *left--; *left < 0 {
		return false
	}
	if !n.dir {
		u.files++
		u.chunks += int64(s.countSlots(n.id))
		return true
	}
	within := true
	s.eachEntry(n.id, 0, func(_ []byte, child node) bool {
		within = s.countInto(u, child, left)
		return within
	})
	return within
}
