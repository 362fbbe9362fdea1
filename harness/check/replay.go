package check

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"gfslab/api"
	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

// sessionEntries is the age in log indexes beyond which the service may forget a
// client's session.
const sessionEntries = 1 << 20

// replay runs the agreed log through the model and compares every reply in it.
// Reads of the clients are answered on the way, at the positions that they claim.
type replay struct {
	ledger
	root     *inode
	book     *chunkbook
	sessions map[string]*seen
	ids      map[uint64]position // every file id ever told
	handles  map[uint64]position // every chunk handle ever told
	grants   []granted
}

// seen is the model's memory of a client's last command.
type seen struct {
	seq   uint64
	reply *metapb.Reply
}

func newReplay(f *facts) *replay {
	return &replay{
		ledger: newLedger(f), root: newDirectory(), book: &chunkbook{chunks: map[uint64]*chunkFacts{}}, sessions: map[string]*seen{},
		ids: map[uint64]position{}, handles: map[uint64]position{},
	}
}

// positioned reports whether an operation's reply stands at a position of the
// log. Appends and reads of records are the chunkservers' business.
func positioned(op *rundir.Op) bool {
	switch op.Kind {
	case rundir.KindAppend, rundir.KindReadRecord:
		return false
	}
	return ok(op) && op.Reply.Index != 0
}

// sees is the position after which an operation's reply stands. A mutation's
// reply names its own command, so it stands after that; so do the replies of a
// grant and of a revocation that put a command into the log.
func sees(l *agreedLog, op *rundir.Op) position {
	p := position{op.Reply.Index, op.Reply.Offset}
	own := mutates(op.Kind) || op.Kind == rundir.KindFindLease && op.Reply.Granted
	if op.Kind == rundir.KindRevoke {
		// A lookup's offset is the number of the entry's commands, so that no
		// command stands there.
		line, _ := l.command(p)
		own = line != nil
	}
	if own {
		p.offset++
	}
	return p
}

func (r *replay) run() { r.walk(r.apply, r.compareRead) }

func (r *replay) apply(at position, line *rundir.Applied, node string) {
	op := r.f.opOf(line)
	var cmd metapb.Command
	if err := proto.Unmarshal(line.Command, &cmd); err != nil {
		r.blame(op, at, "the command on node %s is no command: %v", node, err)
		return
	}
	var reply metapb.Reply
	if err := proto.Unmarshal(line.Reply, &reply); err != nil {
		r.blame(op, at, "the reply on node %s is no reply: %v", node, err)
		return
	}
	if cmd.GetClient() != line.Client || cmd.GetSeq() != line.Seq {
		r.blame(op, at, "node %s files the command of %s seq %d under %s seq %d", node, cmd.GetClient(), cmd.GetSeq(), line.Client, line.Seq)
	}
	if cmd.GetClient() == "" || malformed(&cmd) {
		r.execute(op, at, &cmd, &reply, node)
		if cmd.GetClient() != "" {
			key := session{cmd.GetClient(), cmd.GetSeq()}
			r.note(key, loggedOf(at, &cmd))
		}
		return
	}
	key := session{cmd.GetClient(), cmd.GetSeq()}
	s := r.sessions[key.client]
	if s != nil && s.reply.GetIndex()+sessionEntries < at.index {
		s = nil
	}
	switch {
	case s != nil && key.seq == s.seq:
		want := proto.Clone(s.reply).(*metapb.Reply)
		want.Replayed = true
		if !proto.Equal(want, &reply) {
			r.blame(op, at, "node %s answers a command applied before with {%v}; its stored reply is {%v}", node, &reply, want)
		}
		return
	case s != nil && key.seq < s.seq:
		if codeName(reply.GetCode()) != "STALE" {
			r.blame(op, at, "node %s answers %s to a command of an earlier seq than the session's; STALE is due", node, codeName(reply.GetCode()))
		}
		return
	}
	r.execute(op, at, &cmd, &reply, node)
	r.sessions[key.client] = &seen{key.seq, &reply}
	r.note(key, loggedOf(at, &cmd))
}

func loggedOf(at position, cmd *metapb.Command) *logged {
	_, allocates := cmd.GetOp().(*metapb.Command_Allocate)
	return &logged{
		at: at, aside: allocates, text: fmt.Sprint(cmd),
		carries: func(op *rundir.Op) bool { return carries(cmd, op) },
	}
}

// execute applies a command to the model and compares the reply.
func (r *replay) execute(op *rundir.Op, at position, cmd *metapb.Command, reply *metapb.Reply, node string) {
	want, trouble := answer{codes: codes{"INVALID"}}, ""
	if !malformed(cmd) {
		want, trouble = r.step(at, cmd, reply)
	}
	got := codeName(reply.GetCode())
	switch {
	case trouble != "":
		r.blame(op, at, "%s (reply {%v} on node %s)", trouble, reply, node)
	case !want.codes.allow(got):
		r.blame(op, at, "node %s answers %s; the log up to there says %s", node, got, want.codes)
	case reply.GetIndex() != at.index || reply.GetOffset() != at.offset:
		r.blame(op, at, "the reply on node %s says that it stands at index %d offset %d", node, reply.GetIndex(), reply.GetOffset())
	case reply.GetReplayed():
		r.blame(op, at, "node %s says it replayed a command that was never applied before", node)
	}
	for _, x := range []struct {
		name string
		want *uint64
		got  uint64
	}{{"handle", want.handle, reply.GetHandle()}, {"version", want.version, reply.GetVersion()}, {"id", want.id, reply.GetId()}, {"epoch", want.epoch, reply.GetEpoch()}} {
		if x.want != nil && *x.want != x.got {
			r.blame(op, at, "node %s answers %s %d; the log up to there says %d", node, x.name, x.got, *x.want)
		}
	}
}

// step applies one command. What the service is free to choose (ids, handles,
// versions) is taken from the reply and held to be new.
func (r *replay) step(at position, cmd *metapb.Command, reply *metapb.Reply) (want answer, trouble string) {
	switch o := cmd.GetOp().(type) {
	case *metapb.Command_Create:
		return r.make(at, o.Create.GetPath(), false, reply)
	case *metapb.Command_Mkdir:
		return r.make(at, o.Mkdir.GetPath(), true, reply)
	case *metapb.Command_Delete:
		n, why := r.root.remove(o.Delete.GetPath())
		if n == nil {
			return answer{codes: why}, ""
		}
		r.book.drop(n.chunks)
		return answer{id: known(n.id)}, ""
	case *metapb.Command_Rename:
		n, why := r.root.rename(o.Rename.GetFrom(), o.Rename.GetTo())
		if n == nil {
			return answer{codes: why}, ""
		}
		return answer{id: known(n.id)}, ""
	case *metapb.Command_Allocate:
		return r.allocate(at, o.Allocate, reply)
	case *metapb.Command_GrantIntent:
		return r.book.intend(at, o.GrantIntent, reply.GetVersion())
	case *metapb.Command_GrantActive:
		a, g := r.book.activate(at, o.GrantActive)
		if g != nil {
			r.grants = append(r.grants, *g)
		}
		return a, ""
	case *metapb.Command_LeaseEnd:
		return r.book.end(o.LeaseEnd), ""
	}
	return answer{codes: codes{"INVALID"}}, ""
}

func (r *replay) make(at position, path string, dir bool, reply *metapb.Reply) (answer, string) {
	n, why := r.root.create(path, dir)
	if n == nil {
		return answer{codes: why}, ""
	}
	n.id = reply.GetId()
	if before, used := r.ids[n.id]; used && n.id != 0 {
		return answer{}, fmt.Sprintf("id %d was given before, at index %d offset %d", n.id, before.index, before.offset)
	}
	r.ids[n.id] = at
	return answer{}, ""
}

func (r *replay) allocate(at position, o *metapb.AllocateOp, reply *metapb.Reply) (answer, string) {
	n, why := r.root.lookup(o.GetPath())
	index := int(o.GetChunkIndex())
	switch {
	case n == nil:
		return answer{codes: why}, ""
	case n.dir:
		return answer{codes: codes{"IS_DIRECTORY"}}, ""
	case index < len(n.chunks):
		want := answer{codes: codes{"EXISTS"}, handle: fixed(n.chunks[index])}
		// Two files may hold one handle in a log that has been blamed for it.
		if c := r.book.chunks[n.chunks[index]]; c != nil {
			want.version = fixed(c.version)
		}
		return want, ""
	case index > len(n.chunks):
		return answer{codes: codes{"INVALID"}}, ""
	}
	h := reply.GetHandle()
	n.chunks = append(n.chunks, h)
	before, used := r.handles[h]
	r.handles[h] = at
	r.book.chunks[h] = &chunkFacts{handle: h}
	if used || h == 0 {
		return answer{}, fmt.Sprintf("chunk handle %d was given before, at index %d offset %d", h, before.index, before.offset)
	}
	return answer{}, ""
}

// known is a value to compare with once it has been told.
func known(v uint64) *uint64 {
	if v == 0 {
		return nil
	}
	return &v
}

func codeName(code int32) string { return api.Code(code).String() }

func decodeReply(line *rundir.Applied) (*metapb.Reply, error) {
	var reply metapb.Reply
	err := proto.Unmarshal(line.Reply, &reply)
	return &reply, err
}
