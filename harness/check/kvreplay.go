package check

import (
	"fmt"

	"gfslab/kv/store"
	"gfslab/results/rundir"
)

// kvReplay runs the agreed log of the key-value store through a model of it, and
// compares every reply and every read, stale ones too: what a replica answers at
// a position is what the log up to there says.
type kvReplay struct {
	ledger
	keys     map[string]kvItem
	sessions map[string]kvSession
}

type kvItem struct {
	value    string
	revision uint64
}

type kvSession struct {
	seq   uint64
	reply store.Reply
}

func newKVReplay(f *facts) *kvReplay {
	return &kvReplay{ledger: newLedger(f), keys: map[string]kvItem{}, sessions: map[string]kvSession{}}
}

func (r *kvReplay) run() { r.walk(r.apply, r.compareGet) }

func (r *kvReplay) apply(at position, line *rundir.Applied, node string) {
	op := r.f.opOf(line)
	cmd, err := store.ParseCommand(line.Command)
	if err != nil {
		r.blame(op, at, "the command on node %s is no command: %v", node, err)
		return
	}
	got, err := store.ParseReply(line.Reply)
	if err != nil {
		r.blame(op, at, "the reply on node %s is no reply: %v", node, err)
		return
	}
	if cmd.Client != line.Client || cmd.Seq != line.Seq {
		r.blame(op, at, "node %s files the command of %s seq %d under %s seq %d", node, cmd.Client, cmd.Seq, line.Client, line.Seq)
	}
	want := r.due(at, cmd)
	if got != want {
		r.blame(op, at, "node %s answers {%s}; the log up to there says {%s}", node, describeKV(got), describeKV(want))
	}
	if cmd.Client != "" {
		r.note(session{cmd.Client, cmd.Seq}, &logged{
			at: at, text: func() string { return fmt.Sprintf("operation %d on %s", cmd.Op, cmd.Key) }, carries: func(op *rundir.Op) bool { return kvCarries(cmd, op) },
		})
	}
}

// due is the reply that the model gives, once the command is applied to it.
func (r *kvReplay) due(at position, cmd store.Command) store.Reply {
	s, known := r.sessions[cmd.Client]
	if cmd.Client != "" && known && cmd.Seq <= s.seq {
		if cmd.Seq < s.seq {
			return store.Reply{Code: store.Stale, Index: at.index, Offset: at.offset}
		}
		again := s.reply
		again.Replayed = true
		return again
	}
	reply := store.Reply{Code: store.OK, Index: at.index, Offset: at.offset}
	item, exists := r.keys[cmd.Key]
	switch {
	case !exists && (cmd.Op == store.Delete || cmd.Op == store.CompareAndSwap && !cmd.Absent):
		reply.Code = store.NotFound
	case cmd.Op == store.Delete:
		delete(r.keys, cmd.Key)
	case cmd.Op == store.CompareAndSwap && exists && (cmd.Absent || item.value != string(cmd.Expect)):
		reply.Code, reply.Revision = store.Conflict, item.revision
	default:
		reply.Revision = store.Revision(at.index, at.offset)
		r.keys[cmd.Key] = kvItem{string(cmd.Value), reply.Revision}
	}
	if cmd.Client != "" {
		r.sessions[cmd.Client] = kvSession{cmd.Seq, reply}
	}
	return reply
}

func describeKV(r store.Reply) string {
	return fmt.Sprintf("%v revision %d index %d offset %d replayed %v", r.Code, r.Revision, r.Index, r.Offset, r.Replayed)
}

// kvCarries reports whether a command is what an operation asked for.
func kvCarries(cmd store.Command, op *rundir.Op) bool {
	if cmd.Key != op.Path || string(cmd.Value) != op.Value || string(cmd.Expect) != op.Expect || cmd.Absent != op.Absent {
		return false
	}
	switch cmd.Op {
	case store.Put:
		return op.Kind == rundir.KindPut
	case store.Delete:
		return op.Kind == rundir.KindRemove
	case store.CompareAndSwap:
		return op.Kind == rundir.KindSwap
	}
	return false
}

// compareGet compares a read with the model at its position.
func (r *kvReplay) compareGet(op *rundir.Op) {
	if !r.whole(op) {
		return
	}
	at, rep := position{op.Reply.Index, op.Reply.Offset}, op.Reply
	item, exists := r.keys[op.Path]
	switch {
	case exists && (rep.Code != codeOK || rep.Value != item.value || rep.Revision != item.revision):
		r.blameRead(op, at, fmt.Sprintf("%s %q revision %d", rep.Code, rep.Value, rep.Revision), fmt.Sprintf("%q revision %d", item.value, item.revision))
	case !exists && (rep.Code != "NOT_FOUND" || rep.Value != "" || rep.Revision != 0):
		r.blameRead(op, at, fmt.Sprintf("%s %q revision %d", rep.Code, rep.Value, rep.Revision), "that there is no such key")
	}
}

// kvCode is a code's name in the clients' history.
func kvCode(c store.Code) string {
	switch c {
	case store.NotFound:
		return "NOT_FOUND"
	case store.Conflict:
		return "CONFLICT"
	case store.Invalid:
		return "INVALID"
	case store.Stale:
		return "STALE"
	}
	return codeOK
}

// compareKVLogged compares the reply that the client got with the logged one.
func compareKVLogged(op *rundir.Op, line *rundir.Applied, node string, out *findings) {
	reply, err := store.ParseReply(line.Reply)
	if err != nil {
		return // the replay has said so
	}
	if rep := op.Reply; rep.Code != kvCode(reply.Code) || rep.Revision != reply.Revision {
		out.invalid(op, "node %s answered %s revision %d; the reply in the log at index %d offset %d on node %s is %s revision %d",
			rep.Node, rep.Code, rep.Revision, line.Index, line.Offset, node, kvCode(reply.Code), reply.Revision)
	}
}

// checkPinned holds stale reads to what they were pinned by: a client that names
// the highest index it has seen never goes back in time.
func checkPinned(f *facts, out *findings) {
	seen := map[int]*rundir.Op{} // by thread: the operation that showed the highest index
	for _, op := range f.ops {   // a thread has one operation open at a time
		if looksBack(op) && positioned(op) {
			out.stat("stale reads", 1)
			if op.Reply.Index < op.AtLeast {
				out.invalid(op, "a stale read on node %s was pinned to index %d and saw the state at index %d", op.Reply.Node, op.AtLeast, op.Reply.Index)
			}
			if before := seen[op.Thread]; before != nil && op.Reply.Index < before.Reply.Index {
				out.invalid(op, "a stale read on node %s saw the state at index %d; the same client had seen index %d by %s", op.Reply.Node, op.Reply.Index, before.Reply.Index, describe(before))
			}
		}
		if positioned(op) && (seen[op.Thread] == nil || op.Reply.Index > seen[op.Thread].Reply.Index) {
			seen[op.Thread] = op
		}
	}
}
