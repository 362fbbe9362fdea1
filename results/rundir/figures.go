package rundir

import "slices"

// Mutates reports whether an operation was served as a mutation: what counts as
// successful in figures of unavailability. A mutation that was refused by the
// namespace (a create of a name that exists) went through the log, and counts; a
// malformed one that a master refused by itself did not, and any master can do
// that while none leads. (A revocation that found no lease counts: its answer took a
// leader that proved its lead.)
func (o Op) Mutates() bool {
	if o.Outcome != OutcomeOK || o.Reply == nil {
		return false
	}
	switch o.Kind {
	case KindAppend, KindWrite:
		return o.Reply.Code == "OK"
	case KindCreate, KindMkdir, KindDelete, KindUndelete, KindRename, KindSnapshot, KindSetAttributes, KindAllocate, KindRevoke, KindPut, KindRemove, KindSwap:
		return o.Reply.Index != 0
	case KindFindLease:
		return o.Reply.Granted
	}
	return false
}

// Unavailable is the time in nanoseconds from a fault's injection to the
// completion of the first successful mutation that was invoked after the fault
// was in force, by any client. ok is false when there was none. (An injection
// takes a moment; a mutation invoked within it may still be served by the victim.)
func Unavailable(ops []Op, f Fault) (ns int64, ok bool) {
	from := max(f.Inject, f.InForce)
	for _, o := range ops {
		if o.Start > from && o.Mutates() && (!ok || o.End-f.Inject < ns) {
			ns, ok = o.End-f.Inject, true
		}
	}
	return ns, ok
}

// LongestGap is the longest time in nanoseconds within [from, to] in which no
// operation that was served as a mutation was completed, by any client.
func LongestGap(ops []Op, from, to int64) int64 {
	var ends []int64
	for _, o := range ops {
		if o.Mutates() && o.End > from && o.End < to {
			ends = append(ends, o.End)
		}
	}
	slices.Sort(ends)
	longest, before := int64(0), from
	for _, end := range append(ends, to) {
		longest, before = max(longest, end-before), end
	}
	return longest
}
