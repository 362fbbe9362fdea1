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
		return t.delete(ctx, rec, own)
	case workloads.Undelete:
		return mutation(c.Undelete(ctx, op.Path, rec.DeletedID, own))
	case workloads.Rename:
		return mutation(c.Rename(ctx, op.Path, op.Path2, own))
	case workloads.Snapshot:
		return mutation(c.Snapshot(ctx, op.Path, op.Path2, own))
	case workloads.SetAttributes:
		return mutation(c.SetAttributes(ctx, op.Path, setOf(rec.Set), rec.Clear, own))
	case workloads.Allocate:
		return t.allocate(ctx, op, own)
	case workloads.Stat:
		return stat(c.Stat(ctx, op.Path, t.first()...))
	case workloads.List:
		return list(c.ListPage(ctx, &api.ListRequest{Path: op.Path, Recursive: op.Recursive, Long: op.Long, Prefix: op.Prefix}, t.first()...))
	case workloads.Usage:
		return usage(c.Usage(ctx, op.Path, t.first()...))
	case workloads.ChunkInfo:
		if op.ByPath {
			return chunk(c.FindLocation(ctx, op.Path, op.Chunk, t.first()...))
		}
		return chunk(c.ChunkInfo(ctx, rec.Handle, t.first()...))
	case workloads.FindLease:
		if op.ByPath {
			return chunk(c.FindLeaseHolderAt(ctx, op.Path, op.Chunk))
		}
		return chunk(c.FindLeaseHolder(ctx, rec.Handle))
	case workloads.Revoke:
		return chunk(c.RevokeLease(ctx, rec.Handle))
	case workloads.Append:
		return t.append(ctx, op, own)
	case workloads.ReadRecord:
		return t.readRecord(ctx, op)
	case workloads.Write:
		return t.write(ctx, op, own)
	case workloads.ReadBytes:
		return t.readBytes(ctx, op, rec.Handle)
	case workloads.ReadRecords:
		return t.readRecords(ctx, op, rec)
	}
	panic(fmt.Sprintf("harness: workload %s draws a %q, which the harness cannot perform", t.load.plan.Workload, op.Kind))
}

// delete remembers under which id it hid what was at the path.
func (t *thread) delete(ctx context.Context, rec rundir.Op, own client.CallOption) done {
	options := []client.CallOption{own}
	if rec.Recursive {
		options = append(options, client.WithRecursive())
	}
	if rec.DeletedID != 0 {
		options = append(options, client.WithDeleted(rec.DeletedID))
	}
	d := mutation(t.client.Delete(ctx, rec.Path, options...))
	if d.answeredOK() && rec.DeletedID == 0 {
		t.load.learnHidden(rec.Path, d.reply.FileID)
	}
	return d
}

func (t *thread) allocate(ctx context.Context, op workloads.Op, own client.CallOption) done {
	kind := api.ChunkKind_RECORDS
	if op.Bytes {
		kind = api.ChunkKind_BYTES
	}
	d := mutation(t.client.AllocateChunk(ctx, op.Path, op.Chunk, own, client.WithKind(kind)))
	if d.reply != nil && d.reply.Handle != 0 {
		t.load.learnChunk(op.Path, op.Chunk, d.reply.Handle)
	}
	return d
}
