package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gfslab/api"
	"gfslab/client"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// thread is one client thread.
type thread struct {
	load    *load
	id      int
	rng     *rand.Rand
	client  *client.Client
	kv      *kvThread // workload register only
	masters int
	// session is the client id that seq counts under.
	session string
	seq     uint64
	payload []byte
	tails   map[string]*cursor // of read-records that go on where the last one ended
}

// loop performs operations when they are due, until the load stops.
func (t *thread) loop(ctx context.Context, arrival workloads.Arrival, began int64) {
	l := t.load
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due := began + int64(arrival.Due(time.Duration(l.now()-began)))
		if early := due - l.now(); early > 0 {
			timer.Reset(time.Duration(early))
			select {
			case <-timer.C:
			case <-l.stopped:
				return
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-l.stopped:
			return
		case <-ctx.Done():
			return
		default:
		}
		phase := rundir.PhaseWarmUp
		if l.measuring.Load() {
			phase = rundir.PhaseRun
		}
		t.chain(ctx, l.workload.Next(t.rng, t.id), phase, due, func(d done) {
			if d.outcome == rundir.OutcomeOK && phase == rundir.PhaseRun && l.measuring.Load() {
				l.completed.Add(1)
			}
		})
	}
}

// chain performs an operation and those chained to it, as long as each is answered
// OK, and hands each one's end to each.
func (t *thread) chain(ctx context.Context, op workloads.Op, phase string, due int64, each func(done)) {
	for next := &op; ; {
		d := t.do(ctx, *next, phase, due)
		each(d)
		if !d.answeredOK() || next.Then == nil || ctx.Err() != nil {
			return
		}
		following := *next.Then
		if following.Listed {
			if len(d.reply.Names) == 0 {
				return
			}
			following.Path += "/" + strings.TrimSuffix(d.reply.Names[following.Pick%uint64(len(d.reply.Names))], "/")
		}
		next, due = &following, t.load.now()
	}
}

// mustDo performs an operation that has to succeed.
func (t *thread) mustDo(ctx context.Context, op workloads.Op, phase string) error {
	var err error
	t.chain(ctx, op, phase, t.load.now(), func(d done) {
		if d.outcome != rundir.OutcomeOK {
			err = fmt.Errorf("%s %s: %s: %w", op.Kind, op.Path, d.outcome, d.err)
		}
	})
	return errors.Join(err, ctx.Err())
}

// done is how an operation ended, in the words of the history.
type done struct {
	outcome  string
	err      error
	reply    *rundir.Reply
	attempts []client.Attempt
	// steps are operations that this one made on its way.
	steps []client.Step
}

// answeredOK reports whether the operation did what was asked.
func (d done) answeredOK() bool {
	return d.outcome == rundir.OutcomeOK && d.reply != nil && d.reply.Code == api.Code_OK.String()
}

// do performs one operation and records it.
func (t *thread) do(ctx context.Context, op workloads.Op, phase string, due int64) done {
	l := t.load
	if op.Kind == workloads.ReadRecord {
		if _, ok := l.pickRecord(op.Path, op.Pick); !ok {
			op.Kind = workloads.Stat
		}
	}
	rec := t.describe(op)
	if op.Hidden && rec.DeletedID == 0 {
		op.Kind, rec = workloads.Stat, rundir.Op{Kind: rundir.KindStat, Path: op.Path}
	}
	rec.Phase = phase
	var session client.Session
	if mutates(op.Kind) {
		session = t.nextSession()
		rec.Seq = session.Seq
	}
	if byHandle(op) {
		rec.Handle = l.handle(op.Path, op.Chunk)
	}
	if op.Kind == workloads.Append || op.Kind == workloads.Write {
		rec.Length = uint32(op.Size)
		rec.CRC = t.fill(session, op.Size)
	}
	if t.kv != nil {
		t.kv.fill(&rec, session)
	}
	id := l.history.Invoke(t.id, rec, due)
	name := l.history.Client(t.id)
	d := t.call(ctx, op, rec, session)
	l.history.Update(t.id, id, func(o *rundir.Op) {
		o.Attempts = l.attempts(d.attempts)
		if op.Kind == workloads.ReadRecord && d.reply != nil {
			o.Handle = d.reply.Handle
		}
	})
	l.history.Complete(t.id, id, d.outcome, d.reply, d.err)
	t.recordSteps(name, d.steps, phase)
	return d
}

// describe is the operation as the history has it, without what is known only
// when it is sent.
func (t *thread) describe(op workloads.Op) rundir.Op {
	rec := rundir.Op{
		Kind: op.Kind, Path: op.Path, Path2: op.Path2, Chunk: op.Chunk, Offset: op.Offset,
		Recursive: op.Recursive, Long: op.Long, Prefix: op.Prefix,
	}
	if op.Bytes {
		rec.ChunkKind = rundir.ChunkOfBytes
	}
	if op.Kind == workloads.ReadBytes {
		rec.Length = uint32(op.Size)
	}
	if op.Kind == workloads.ReadRecords {
		rec.Chunk, rec.Offset = t.start(op)
	}
	if op.Hidden {
		rec.DeletedID = t.load.hiddenAt(op.Path)
	}
	if op.Kind == workloads.SetAttributes {
		rec.Set = &rundir.Attributes{}
		if op.Replicas > 0 {
			rec.Set.Replicas = &op.Replicas
		}
		if op.Retention > 0 {
			ns := int64(op.Retention)
			rec.Set.RetentionNS = &ns
		}
		if op.MaxFiles > 0 {
			rec.Set.MaxFiles = &op.MaxFiles
		}
		if op.MaxChunks > 0 {
			rec.Set.MaxChunks = &op.MaxChunks
		}
	}
	return rec
}

// mutates reports whether an operation needs a session: all but lookups.
func mutates(kind string) bool {
	switch kind {
	case workloads.Stat, workloads.List, workloads.ChunkInfo, workloads.ReadRecord, workloads.FindLease, workloads.Revoke, workloads.Get,
		workloads.Usage, workloads.ReadBytes, workloads.ReadRecords:
		return false
	}
	return true
}

// byHandle reports whether an operation names its chunk by handle.
func byHandle(op workloads.Op) bool {
	switch op.Kind {
	case workloads.FindLease, workloads.ChunkInfo:
		return !op.ByPath
	case workloads.Revoke, workloads.ReadBytes:
		return true
	}
	return false
}

// nextSession is the identity of the thread's next mutation.
func (t *thread) nextSession() client.Session {
	if name := t.load.history.Client(t.id); name != t.session {
		t.session, t.seq = name, 0
	}
	t.seq++
	return client.Session{Client: t.session, Seq: t.seq}
}

// fill makes the payload of a record: different for every record, the same for
// the same (client, seq).
func (t *thread) fill(s client.Session, size int) (crc uint32) {
	if cap(t.payload) < size {
		t.payload = make([]byte, size)
	}
	t.payload = t.payload[:size]
	workloads.Payload(t.payload, s.Client, s.Seq)
	return checksum(t.payload)
}

// first is the master to ask first: mostly whoever is thought to lead, now and
// then any, and while a fault is on, often its victim. That is where a stale
// answer would come from.
func (t *thread) first() []client.CallOption {
	if id := t.firstNode(); id != 0 {
		return []client.CallOption{client.WithFirst(id)}
	}
	return nil
}

func (t *thread) firstNode() uint64 {
	if v := t.load.broken.Load(); v != 0 && t.rng.IntN(3) == 0 {
		return v
	}
	if t.rng.IntN(8) == 0 {
		return uint64(t.rng.IntN(t.masters) + 1)
	}
	return 0
}

// attempts takes attempts to the run's clock.
func (l *load) attempts(in []client.Attempt) []rundir.Attempt {
	var out []rundir.Attempt
	for _, a := range in {
		r := rundir.Attempt{Node: a.Node, Start: l.at(a.Start), End: l.at(a.End)}
		if a.Err != nil {
			r.Error = a.Err.Error()
		}
		out = append(out, r)
	}
	return out
}

func sortMasters(m []client.Master) {
	slices.SortFunc(m, func(a, b client.Master) int { return cmp.Compare(a.ID, b.ID) })
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
