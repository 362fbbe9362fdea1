package check

import (
	"context"
	"fmt"
	"slices"

	"gfslab/results/rundir"
)

// checkCertificate replays the agreed log and compares everything with it: the
// replies in the log, the clients' replies, which operations are in the log, and
// that real time respects positions.
func checkCertificate(ctx context.Context, f *facts, out *findings) {
	if len(f.agreed().entries) == 0 {
		out.unknown("there is no log to replay")
		return
	}
	r := f.ledger()
	for _, x := range r.faults {
		out.invalid(x.op, "index %d offset %d: %s", x.at.index, x.at.offset, x.text)
	}
	out.stat("commands", r.applied)
	out.stat("lookups", r.compared)
	if !f.isKV() {
		out.stat("grants", len(f.replay().grants))
	}
	for _, op := range f.ops {
		if ctx.Err() != nil {
			return
		}
		if mutates(op.Kind) {
			compareMutation(f, r, op, out)
		}
		compareForm(op, out)
	}
	checkSessions(f, out)
	checkPhantoms(f, r, out)
	checkRealTime(f, out)
	checkPinned(f, out)
}

// compareForm holds a reply to what every reply must have: it comes from a node
// that was asked, and what it says of the state stands at a position.
func compareForm(op *rundir.Op, out *findings) {
	if !ok(op) {
		return
	}
	rep := op.Reply
	asked := func(a rundir.Attempt) bool { return a.Node == rep.Node }
	if len(op.Attempts) > 0 && !slices.ContainsFunc(op.Attempts, asked) {
		out.invalid(op, "its reply at index %d offset %d is node %s's, which it was never sent to", rep.Index, rep.Offset, rep.Node)
	}
	lookup := looks(op) && rep.Code != "INVALID" || (op.Kind == rundir.KindFindLease || op.Kind == rundir.KindRevoke) && rep.Code == codeOK
	if lookup && rep.Index == 0 {
		out.invalid(op, "node %s answered %s without a position in the log", rep.Node, rep.Code)
	}
}

// checkSessions finds operations that share a session: one command, two
// acknowledgements.
func checkSessions(f *facts, out *findings) {
	for _, op := range f.again {
		first := f.bySession[session{op.Client, op.Seq}]
		at := "without a reply"
		if op.Reply != nil {
			at = fmt.Sprintf("answered by node %s at index %d offset %d", op.Reply.Node, op.Reply.Index, op.Reply.Offset)
		}
		out.invalid(op, "%s, under the session of %s", at, describe(first))
	}
}

// compareMutation holds one mutation's outcome and reply to the log.
func compareMutation(f *facts, r *ledger, op *rundir.Op, out *findings) {
	key := session{op.Client, op.Seq}
	c := r.commands[key]
	logged, at := c != nil, position{}
	if logged {
		at = c.at
	}
	switch {
	case op.Outcome == rundir.OutcomeFail && op.Seq != 0 && logged:
		out.invalid(op, "it was reported as surely not done, and the log has it at index %d offset %d", at.index, at.offset)
		return
	case logged && !c.carries(op):
		out.invalid(op, "the log has another command under its session at index %d offset %d: %s", at.index, at.offset, c.text())
		return
	case !ok(op):
		return
	case op.Reply.Index == 0:
		// Refused before the log because of its form.
		if op.Reply.Code != "INVALID" || logged {
			out.invalid(op, "node %s answered %s without a position in the log", op.Reply.Node, op.Reply.Code)
		}
		return
	case !logged:
		out.invalid(op, "node %s acknowledged it at index %d offset %d, and no node's log has it", op.Reply.Node, op.Reply.Index, op.Reply.Offset)
		return
	case at != position{op.Reply.Index, op.Reply.Offset}:
		out.invalid(op, "node %s acknowledged it at index %d offset %d; the log has it at index %d offset %d",
			op.Reply.Node, op.Reply.Index, op.Reply.Offset, at.index, at.offset)
		return
	}
	out.stat("mutations", 1)
	applied, known := f.firstApplied(at.index)
	switch {
	case known && applied < op.Start:
		out.invalid(op, "index %d offset %d was applied at %d ns, before it was invoked at %d ns and answered by node %s", at.index, at.offset, applied, op.Start, op.Reply.Node)
	case known && applied > op.End:
		out.invalid(op, "node %s acknowledged it at index %d offset %d at %d ns, before any node had applied it, at %d ns", op.Reply.Node, at.index, at.offset, op.End, applied)
	}
	compareWithLogged(f, op, at, out)
}

// compareWithLogged compares the reply that the client got with the logged one.
func compareWithLogged(f *facts, op *rundir.Op, at position, out *findings) {
	line, node := f.agreed().command(at)
	if line == nil {
		return
	}
	if f.isKV() {
		compareKVLogged(op, line, node, out)
		return
	}
	reply, err := decodeReply(line)
	if err != nil {
		return // the replay has said so
	}
	rep := op.Reply
	switch {
	case rep.Code != codeName(reply.GetCode()):
		out.invalid(op, "node %s answered %s; the reply in the log at index %d offset %d on node %s is %s",
			rep.Node, rep.Code, at.index, at.offset, node, codeName(reply.GetCode()))
	case op.Kind == rundir.KindAllocate && (rep.Handle != reply.GetHandle() || rep.Version != reply.GetVersion()):
		out.invalid(op, "node %s answered chunk %d version %d; the reply in the log at index %d offset %d on node %s is chunk %d version %d",
			rep.Node, rep.Handle, rep.Version, at.index, at.offset, node, reply.GetHandle(), reply.GetVersion())
	case rep.FileID != 0 && rep.FileID != reply.GetId():
		out.invalid(op, "node %s answered id %d; the reply in the log at index %d offset %d on node %s is id %d",
			rep.Node, rep.FileID, at.index, at.offset, node, reply.GetId())
	}
}

// checkPhantoms finds commands under a client's name that no operation asked
// for. An append may have allocated chunks on its own; an operation whose outcome
// is unknown may not have been told its sequence number.
func checkPhantoms(f *facts, r *ledger, out *findings) {
	appends, unnumbered := map[string]bool{}, map[string][]*rundir.Op{}
	for _, op := range f.ops {
		if op.Kind == rundir.KindAppend || op.Kind == rundir.KindWrite {
			appends[op.Client] = true
		}
		if op.Outcome == rundir.OutcomeUnknown && op.Seq == 0 {
			unnumbered[op.Client] = append(unnumbered[op.Client], op)
		}
	}
	for _, key := range r.order {
		c := r.commands[key]
		if op := f.bySession[key]; op != nil && mutates(op.Kind) {
			continue
		}
		if c.aside && appends[key.client] || slices.ContainsFunc(unnumbered[key.client], c.carries) {
			continue
		}
		out.invalid(f.bySession[key], "the log has a command of client %s seq %d at index %d offset %d that no operation asked for: %s",
			key.client, key.seq, c.at.index, c.at.offset, c.text())
	}
}

// checkRealTime holds positions to real time: when one operation had completed
// before another was invoked, it does not stand after it in the log.
func checkRealTime(f *facts, out *findings) {
	l := f.agreed()
	var ended []*rundir.Op
	for _, op := range f.ops {
		if positioned(op) && !looksBack(op) {
			ended = append(ended, op)
		}
	}
	started := slices.Clone(ended) // f.ops is in order of invocation
	slices.SortStableFunc(ended, func(a, b *rundir.Op) int { return compareInt(a.End, b.End) })
	out.stat("positions", len(ended))
	var latest *rundir.Op // of those completed so far, the one furthest on
	i := 0
	for _, op := range started {
		for ; i < len(ended) && ended[i].End < op.Start; i++ {
			if latest == nil || sees(l, ended[i]).compare(sees(l, latest)) > 0 {
				latest = ended[i]
			}
		}
		if latest == nil {
			continue
		}
		c := sees(l, op).compare(sees(l, latest))
		if c < 0 || c == 0 && mutates(op.Kind) {
			out.invalid(op, "node %s answered it from index %d offset %d, though %s had completed at index %d offset %d on node %s before it was invoked",
				op.Reply.Node, op.Reply.Index, op.Reply.Offset, describe(latest), latest.Reply.Index, latest.Reply.Offset, latest.Reply.Node)
		}
	}
}
