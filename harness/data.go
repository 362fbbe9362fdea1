package harness

import (
	"context"

	"gfslab/api"
	"gfslab/client"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

func (t *thread) append(ctx context.Context, op workloads.Op, own client.CallOption) done {
	r := t.client.RecordAppend(ctx, op.Path, t.payload, own)
	d := done{outcome: r.Outcome.String(), err: r.Err, attempts: r.Attempts, steps: r.Steps}
	if r.Outcome != client.OK {
		return d
	}
	d.reply = placed(r)
	if r.Code == api.Code_OK {
		t.load.learnRecord(op.Path, place{handle: r.Handle, offset: r.Offset, chunk: r.ChunkIndex})
	}
	return d
}

// placed is the reply of an append or write.
func placed(r client.AppendResult) *rundir.Reply {
	return &rundir.Reply{
		Code: r.Code.String(), Handle: r.Handle, Version: r.Version, Serial: r.Serial, Primary: r.Primary, Replicas: r.Replicas,
		ChunkOffset: r.Offset, CRC: r.CRC, Node: r.Primary,
	}
}

func (t *thread) write(ctx context.Context, op workloads.Op, own client.CallOption) done {
	r := t.client.Write(ctx, op.Path, op.Chunk, op.Offset, t.payload, own)
	d := done{outcome: r.Outcome.String(), err: r.Err, attempts: r.Attempts, steps: r.Steps}
	if r.Outcome == client.OK {
		d.reply = placed(r)
		if r.Code == api.Code_OK {
			t.load.learnChunk(op.Path, op.Chunk, r.Handle)
		}
	}
	return d
}

func (t *thread) readBytes(ctx context.Context, op workloads.Op, handle uint64) done {
	r := t.client.ReadBytes(ctx, handle, op.Offset, op.Size)
	d := done{outcome: r.Outcome.String(), err: r.Err, attempts: r.Attempts}
	if r.Outcome == client.OK {
		d.reply = &rundir.Reply{
			Code: r.Code.String(), Handle: handle, ChunkOffset: op.Offset, CRC: checksum(r.Data), Length: uint32(len(r.Data)),
			Version: r.Version, ChunkKind: kindName(r.Kind), Node: r.Replica,
		}
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

// recordSteps puts into the history what an operation did at the master on its way:
// an allocation changes what others may see. Steps without a session of their own
// belong to the operation's client, which the thread may have given up by now.
func (t *thread) recordSteps(name string, steps []client.Step, phase string) {
	for _, s := range steps {
		op := rundir.Op{
			Kind: s.Kind, Path: s.Path, Handle: s.Handle, Chunk: s.ChunkIndex, Phase: phase,
			Due: t.load.at(s.Start), Start: t.load.at(s.Start), End: t.load.at(s.End),
			Outcome: s.Outcome.String(), Attempts: t.load.attempts(s.Attempts),
			Client: name, Seq: s.Session.Seq,
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
		// A step of an append names its chunk by path.
		op.Handle = 0
		t.load.history.Record(t.id, op)
	}
}
