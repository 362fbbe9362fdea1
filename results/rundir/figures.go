package rundir

// Mutates reports whether a completed operation changed the cell: what counts
// as a successful mutation in figures of unavailability.
func (o Op) Mutates() bool {
	if o.Outcome != OutcomeOK || o.Reply == nil {
		return false
	}
	switch o.Kind {
	case KindCreate, KindMkdir, KindDelete, KindRename, KindAllocate, KindRevoke, KindAppend:
		return true
	case KindFindLease:
		return o.Reply.Granted
	}
	return false
}

// Unavailable is the time in nanoseconds from an injection to the completion of
// the first successful mutation that was invoked after it, by any client. ok is
// false when there was none. A mutation that failed in the namespace (a create
// of a name that exists) went through the log, and counts.
func Unavailable(ops []Op, inject int64) (ns int64, ok bool) {
	for _, o := range ops {
		if o.Start > inject && o.Mutates() && (!ok || o.End-inject < ns) {
			ns, ok = o.End-inject, true
		}
	}
	return ns, ok
}
