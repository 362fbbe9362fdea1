package harness

import (
	"context"
	"fmt"
	"hash/crc32"

	"gfslab/api"
	"gfslab/client"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// call performs an operation by the client's method for it.
func (t *thread) call(ctx context.Context, op workloads.Op, rec rundir.Op, s client.Session) done {
	if t.kv != nil {
		return t.kv.call(ctx, rec, s, t.firstNode())
	}
	c, own := t.client, client.WithSession(s)
	switch op.Kind {
	case workloads.Create:
		return mutation(c.Create(ctx, op.Path, own))
	case workloads.Mkdir:
		return mutation(c.Mkdir(ctx, op.Path, own))
	case workloads.Delete:
		return mutation(c.Delete(ctx, op.Path, own))
	case workloads.Rename:
		return mutation(c.Rename(ctx, op.Path, op.Path2, own))
	case workloads.Allocate:
		d := mutation(c.AllocateChunk(ctx, op.Path, op.Chunk, own))
		if d.reply != nil && d.reply.Handle != 0 {
			t.load.learnChunk(op.Path, op.Chunk, d.reply.Handle)
		}
		return d
	case workloads.Stat:
		return stat(c.Stat(ctx, op.Path, t.first()...))
	case workloads.List:
		r := c.List(ctx, op.Path, t.first()...)
		d := begin(r)
		if r.Outcome == client.OK {
			d.reply = reply(r.Reply, r.Node)
			d.reply.Names = r.Reply.GetNames()
		}
		return d
	case workloads.ChunkInfo:
		if op.ByPath {
			return chunk(c.FindLocation(ctx, op.Path, op.Chunk, t.first()...))
		}
		return chunk(c.ChunkInfo(ctx, rec.Handle, t.first()...))
	case workloads.FindLease:
		return chunk(c.FindLeaseHolder(ctx, rec.Handle))
	case workloads.Revoke:
		return chunk(c.RevokeLease(ctx, rec.Handle))
	case workloads.Append:
		return t.append(ctx, op, own)
	case workloads.ReadRecord:
		return t.readRecord(ctx, op)
	}
	panic(fmt.Sprintf("harness: workload %s draws a %q, which the harness cannot perform", t.load.plan.Workload, op.Kind))
}

// positioned is what every reply of the master has.
type positioned interface {
	GetCode() api.Code
	GetAt() *api.Position
}

func begin[T any](r client.Result[T]) done {
	return done{outcome: r.Outcome.String(), err: r.Err, attempts: r.Attempts}
}

func reply(p positioned, node uint64) *rundir.Reply {
	return &rundir.Reply{
		Code: p.GetCode().String(), Index: p.GetAt().GetIndex(), Offset: p.GetAt().GetOffset(),
		Term: p.GetAt().GetTerm(), Node: client.NodeName(node),
	}
}

func mutation(r client.Result[*api.MutationReply]) done {
	d := begin(r)
	if r.Outcome == client.OK {
		d.reply = mutationReply(r.Reply, r.Node)
	}
	return d
}

func mutationReply(m *api.MutationReply, node uint64) *rundir.Reply {
	out := reply(m, node)
	out.Handle, out.Version = m.GetHandle(), m.GetVersion()
	return out
}

func stat(r client.Result[*api.StatReply]) done {
	d := begin(r)
	if r.Outcome == client.OK {
		d.reply = statReply(r.Reply, r.Node)
	}
	return d
}

func statReply(s *api.StatReply, node uint64) *rundir.Reply {
	out := reply(s, node)
	out.Directory, out.FileID, out.Chunks = s.GetDirectory(), s.GetId(), s.GetChunks()
	return out
}

func chunk(r client.Result[*api.ChunkReply]) done {
	d := begin(r)
	if r.Outcome == client.OK {
		d.reply = chunkReply(r.Reply, r.Node)
	}
	return d
}

func chunkReply(c *api.ChunkReply, node uint64) *rundir.Reply {
	out := reply(c, node)
	out.Handle, out.Version, out.Epoch = c.GetHandle(), c.GetVersion(), c.GetEpoch()
	out.Primary, out.Replicas, out.Granted = c.GetPrimary(), c.GetReplicas(), c.GetGranted()
	return out
}

func (t *thread) append(ctx context.Context, op workloads.Op, own client.CallOption) done {
	r := t.client.RecordAppend(ctx, op.Path, t.payload, own)
	d := done{outcome: r.Outcome.String(), err: r.Err, attempts: r.Attempts, steps: r.Steps}
	if r.Outcome != client.OK {
		return d
	}
	d.reply = &rundir.Reply{
		Code: r.Code.String(), Handle: r.Handle, Version: r.Version, Primary: r.Primary, Replicas: r.Replicas,
		ChunkOffset: r.Offset, CRC: r.CRC, Node: r.Primary,
	}
	if r.Code == api.Code_OK {
		t.load.learnRecord(op.Path, place{handle: r.Handle, offset: r.Offset, chunk: r.ChunkIndex})
	}
	return d
}

func (t *thread) readRecord(ctx context.Context, op workloads.Op) done {
	p, _ := t.load.pickRecord(op.Path, op.Pick)
	r := t.client.ReadRecord(ctx, p.handle, p.offset)
	d := done{outcome: r.Outcome.String(), err: r.Err, attempts: r.Attempts}
	if r.Outcome == client.OK {
		d.reply = &rundir.Reply{
			Code: r.Code.String(), Handle: p.handle, ChunkOffset: p.offset, CRC: r.Record.CRC, Version: r.Version, Node: r.Replica,
		}
	}
	return d
}

// recordSteps puts into the history what an append did at the master on its way:
// an allocation changes what others may see. Steps without a session of their own
// belong to the append's client, which the thread may have given up by now.
func (t *thread) recordSteps(append client.Session, steps []client.Step, phase string) {
	for _, s := range steps {
		op := rundir.Op{
			Kind: s.Kind, Path: s.Path, Handle: s.Handle, Chunk: s.ChunkIndex, Phase: phase,
			Due: t.load.at(s.Start), Start: t.load.at(s.Start), End: t.load.at(s.End),
			Outcome: s.Outcome.String(), Attempts: t.load.attempts(s.Attempts),
			Client: append.Client, Seq: s.Session.Seq,
		}
		if s.Session.Client != "" {
			op.Client = s.Session.Client
		}
		if s.Err != nil {
			op.Error = s.Err.Error()
		}
		switch {
		case s.Stat != nil:
			op.Reply = statReply(s.Stat, s.Node)
		case s.Mutation != nil:
			op.Reply = mutationReply(s.Mutation, s.Node)
		case s.Chunk != nil:
			op.Reply = chunkReply(s.Chunk, s.Node)
		}
		if op.Kind == rundir.KindAllocate && op.Reply != nil && op.Reply.Handle != 0 {
			t.load.learnChunk(s.Path, s.ChunkIndex, op.Reply.Handle)
		}
		if op.Kind != rundir.KindFindLease {
			op.Handle = 0
		}
		t.load.history.Record(t.id, op)
	}
}
