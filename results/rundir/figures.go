package rundir

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
	case KindAppend:
		return o.Reply.Code == "OK"
	case KindCreate, KindMkdir, KindDelete, KindRename, KindAllocate, KindRevoke:
		return o.Reply.Index != 0
	case KindFindLease:
		return o.Reply.Granted
	}
	return false
}

// Unavailable is the time in nanoseconds from an injection to the completion of
// the first successful mutation that was invoked after it, by any client. ok is
// false when there was none.
func Unavailable(ops []Op, inject int64) (ns int64, ok bool) {
	for _, o := range ops {
		if o.Start > inject && o.Mutates() && (!ok || o.End-inject < ns) {
			ns, ok = o.End-inject, true
		}
	}
	return ns, ok
}
