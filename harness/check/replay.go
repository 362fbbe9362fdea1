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
	byID     map[uint64]*inode   // what is there, as far as its id was told
	copies   map[uint64]copyBegun
	copied   map[uint64]copiedFrom // private copies in use
	slots    map[uint64]uint32     // of each chunk ever, its place in its file
	owners   map[uint64]*inode     // of each chunk ever, the file that it was made for
	cuts     []cutFile
	joined   []joining
	// copyCount numbers what snapshots copied.
	copyCount uint64
	hidden    []*inode // all that is, wherever
	grants    []granted
	now       int64 // the state's time
	removed   int   // files and directories taken away for good
	details   int   // chunks whose references were compared
	counted   int   // quotas compared
}

// seen is the model's memory of a client's last command.
type seen struct {
	seq   uint64
	reply *metapb.Reply
}

func newReplay(f *facts) *replay {
	return &replay{
		ledger: newLedger(f), root: newDirectory(), book: &chunkbook{chunks: map[uint64]*chunkFacts{}, past: map[uint64][]moment{}, reserved: map[reservation]position{}}, sessions: map[string]*seen{},
		ids: map[uint64]position{}, handles: map[uint64]position{}, byID: map[uint64]*inode{}, copies: map[uint64]copyBegun{}, copied: map[uint64]copiedFrom{}, slots: map[uint64]uint32{}, owners: map[uint64]*inode{},
	}
}

// onChunks reports whether a kind of operation is about what is in chunks.
func onChunks(kind string) bool {
	switch kind {
	case rundir.KindAppend, rundir.KindReadRecord, rundir.KindReadRecords, rundir.KindWrite, rundir.KindReadBytes:
		return true
	}
	return false
}

// positioned reports whether an operation's reply stands at a position of the
// log. Appends and reads of records are the chunkservers' business.
func positioned(op *rundir.Op) bool {
	return !onChunks(op.Kind) && ok(op) && op.Reply.Index != 0
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
	r.book.now = at
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
	if !malformed(&cmd) {
		r.now = max(r.now, cmd.GetStampNs())
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
		at: at, aside: allocates, text: func() string { return fmt.Sprint(cmd) },
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
