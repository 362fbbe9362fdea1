package harness

import (
	"context"
	"fmt"
	"time"

	"gfslab/api"
	"gfslab/client"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// cursor is how far a thread has read a file's records.
type cursor struct {
	chunk  uint32
	offset uint64
	seen   map[client.Session]bool
}

// readRecords reads the file's records from where rec says. Pads, fragments and
// copies of what was seen before are dropped, as a consumer does (GFS paper, 2.7.2).
// Bytes behind the last whole frame are left for the next time: a record may be
// on its way there.
func (t *thread) readRecords(ctx context.Context, op workloads.Op, rec rundir.Op) done {
	cur := cursor{seen: map[client.Session]bool{}}
	if op.Tail && t.tails[op.Path] != nil {
		cur = *t.tails[op.Path]
	}
	d := done{outcome: rundir.OutcomeFail}
	st := t.client.Stat(ctx, op.Path)
	d.attempts = st.Attempts
	d.steps = []client.Step{t.statStep(op.Path, st)}
	if st.Outcome != client.OK {
		d.err = st.Err
		return d
	}
	d.reply = reply(st.Reply, st.Node)
	// The position is the look's, which is recorded by itself.
	d.reply.Index, d.reply.Offset, d.reply.Term = 0, 0, 0
	chunks := st.Reply.GetChunks()
	for st.Reply.GetCode() == api.Code_OK && int(cur.chunk) < len(chunks) {
		last := int(cur.chunk) == len(chunks)-1
		found, node, err := t.readFrames(ctx, chunks[cur.chunk], &cur, &d)
		if err != nil {
			d.reply, d.err = nil, fmt.Errorf("chunk %d: %w", cur.chunk, err)
			return d
		}
		if node != "" {
			d.reply.Node = node
		}
		d.reply.Records = append(d.reply.Records, found...)
		if last {
			break
		}
		cur.chunk, cur.offset = cur.chunk+1, 0
	}
	if op.Tail {
		t.tails[op.Path] = &cur
	}
	d.outcome = rundir.OutcomeOK
	return d
}

// start is where a read-records of the thread begins.
func (t *thread) start(op workloads.Op) (chunk uint32, offset uint64) {
	if cur := t.tails[op.Path]; op.Tail && cur != nil {
		return cur.chunk, cur.offset
	}
	return 0, 0
}

// readFrames reads the rest of a chunk and moves the cursor behind the last whole
// frame.
func (t *thread) readFrames(ctx context.Context, handle uint64, cur *cursor, d *done) (found []rundir.RecordSeen, node string, err error) {
	base := cur.offset
	var data []byte
	var from []client.CallOption
	for {
		r := t.client.ReadBytes(ctx, handle, base+uint64(len(data)), client.MaxRead, from...)
		d.attempts = append(d.attempts, r.Attempts...)
		if r.Outcome != client.OK {
			return nil, r.Replica, r.Err
		}
		if r.Code != api.Code_OK || r.Kind != api.ChunkKind_RECORDS {
			return nil, r.Replica, nil // gone meanwhile, or of another kind
		}
		data = append(data, r.Data...)
		if len(r.Data) == 0 || base+uint64(len(data)) >= r.End {
			node = r.Replica
			break
		}
		// One replica of each chunk: their ends may differ.
		from = []client.CallOption{client.WithReplica(r.Replica)}
	}
	for at := 0; at < len(data); {
		f, n, err := api.ParseFrame(data[at:])
		if err != nil || f.Handle != handle || f.Offset != base+uint64(at) {
			at++
			continue
		}
		if s := (client.Session{Client: f.Client, Seq: f.Seq}); f.Kind == api.FrameRecord && !cur.seen[s] {
			cur.seen[s] = true
			found = append(found, rundir.RecordSeen{
				Chunk: cur.chunk, Handle: handle, Offset: f.Offset, Client: f.Client, Seq: f.Seq, CRC: f.CRC, Length: f.Length,
			})
		}
		at += n
		cur.offset = base + uint64(at)
	}
	return found, node, nil
}

// statStep is a look at a file that another operation made on its way.
func (t *thread) statStep(path string, r client.Result[*api.StatReply]) client.Step {
	s := client.Step{Kind: client.StepStat, Path: path, Outcome: r.Outcome, Err: r.Err, Node: r.Node, Stat: r.Reply, Attempts: r.Attempts, Start: time.Now(), End: time.Now()}
	if n := len(r.Attempts); n > 0 {
		s.Start, s.End = r.Attempts[0].Start, r.Attempts[n-1].End
	}
	return s
}
