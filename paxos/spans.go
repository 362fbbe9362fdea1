package paxos

import "slices"

// span is the slots lo to hi, both included.
type span struct{ lo, hi uint64 }

// spans is a set of slots, kept as ascending ranges that neither touch nor
// overlap. It is short: one range, plus one for each hole.
type spans []span

// find returns the range that holds slot.
func (s spans) find(slot uint64) (span, bool) {
	// Almost always it is the last one.
	for i := len(s) - 1; i >= 0; i-- {
		if s[i].lo <= slot {
			return s[i], slot <= s[i].hi
		}
	}
	return span{}, false
}

// last returns the highest range, zero when there is none.
func (s spans) last() span {
	if len(s) == 0 {
		return span{}
	}
	return s[len(s)-1]
}

// truncate removes every slot from the given one on.
func (s *spans) truncate(from uint64) {
	for len(*s) > 0 && (*s)[len(*s)-1].lo >= from {
		*s = (*s)[:len(*s)-1]
	}
	if last := len(*s) - 1; last >= 0 {
		(*s)[last].hi = min((*s)[last].hi, from-1)
	}
}

// cut removes every slot through to.
func (s *spans) cut(to uint64) {
	for len(*s) > 0 && (*s)[0].hi <= to {
		*s = slices.Delete(*s, 0, 1)
	}
	if len(*s) > 0 && (*s)[0].lo <= to {
		(*s)[0].lo = to + 1
	}
}

// add puts slot into the set.
func (s *spans) add(slot uint64) {
	i := len(*s)
	for i > 0 && (*s)[i-1].lo > slot {
		i--
	}
	// The ranges before i start at or below slot.
	below := i > 0 && (*s)[i-1].hi+1 >= slot
	above := i < len(*s) && (*s)[i].lo == slot+1
	switch {
	case below && (*s)[i-1].hi >= slot:
	case below && above:
		(*s)[i-1].hi = (*s)[i].hi
		*s = slices.Delete(*s, i, i+1)
	case below:
		(*s)[i-1].hi = slot
	case above:
		(*s)[i].lo = slot
	default:
		*s = slices.Insert(*s, i, span{slot, slot})
	}
}
