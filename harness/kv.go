package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"gfslab/client/call"
	"gfslab/consensus"
	"gfslab/kv/client"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// kvThread is what a client thread needs for the key-value store.
type kvThread struct {
	*client.Client
	rng *rand.Rand
	// stale is the share of reads that ask any replica for a prefix of the log.
	stale float64
	// last is what the thread saw last of each key; "" is none.
	last map[string]string
}

// staleShare of the reads are stale ones, beside those in the plan's read mode.
const staleShare = 0.15

func newKVThread(o client.Options, mode consensus.ReadMode, rng *rand.Rand) (*kvThread, error) {
	c, err := client.New(o)
	t := &kvThread{Client: c, rng: rng, stale: staleShare, last: map[string]string{}}
	if mode == consensus.ReadStale {
		t.stale = 1
	}
	return t, err
}

// fill completes an operation's arguments. Every value is written once only, so
// that who reads it knows who wrote it.
func (t *kvThread) fill(rec *rundir.Op, s call.Session) {
	switch rec.Kind {
	case rundir.KindGet:
		if t.rng.Float64() < t.stale {
			rec.Kind, rec.AtLeast = rundir.KindGetStale, t.Seen()
		}
	case rundir.KindPut:
		rec.Value = fmt.Sprintf("%s#%d", s.Client, s.Seq)
	case rundir.KindSwap:
		rec.Value = fmt.Sprintf("%s#%d", s.Client, s.Seq)
		rec.Expect = t.last[rec.Path]
		rec.Absent = rec.Expect == ""
	}
}

// call performs an operation. first is whom to ask first, 0 for the leader.
func (t *kvThread) call(ctx context.Context, rec rundir.Op, s call.Session, first uint64) done {
	own := []client.Option{client.WithSession(s), client.WithFirst(first)}
	var r client.Result
	switch rec.Kind {
	case rundir.KindGet:
		r = t.Get(ctx, rec.Path, client.WithFirst(first))
	case rundir.KindGetStale:
		nodes := t.Nodes()
		r = t.GetStale(ctx, rec.Path, nodes[t.rng.IntN(len(nodes))].ID)
	case rundir.KindPut:
		r = t.Put(ctx, rec.Path, []byte(rec.Value), own...)
	case rundir.KindRemove:
		r = t.Delete(ctx, rec.Path, own...)
	case rundir.KindSwap:
		if rec.Absent {
			r = t.CreateKey(ctx, rec.Path, []byte(rec.Value), own...)
		} else {
			r = t.CompareAndSwap(ctx, rec.Path, []byte(rec.Expect), []byte(rec.Value), own...)
		}
	default:
		panic(fmt.Sprintf("harness: %q is no operation of the key-value store", rec.Kind))
	}
	d := begin(r)
	if r.Outcome == call.OK {
		d.reply = kvReply(r)
		t.learn(rec, d.reply)
	}
	return d
}

func kvReply(r client.Result) *rundir.Reply {
	at := r.Reply.GetAt()
	return &rundir.Reply{
		Code: strings.TrimPrefix(r.Reply.GetCode().String(), "KV_"), Index: at.GetIndex(), Offset: at.GetOffset(), Term: at.GetTerm(),
		Node: call.Name(r.Node), Value: string(r.Reply.GetValue()), Revision: r.Reply.GetRevision(),
	}
}

// learn remembers what a reply says of the key.
func (t *kvThread) learn(rec rundir.Op, reply *rundir.Reply) {
	switch {
	case rec.Kind == rundir.KindRemove || reply.Code == "NOT_FOUND":
		t.last[rec.Path] = ""
	case reply.Code != "OK":
	case rec.Kind == rundir.KindGet || rec.Kind == rundir.KindGetStale:
		t.last[rec.Path] = reply.Value
	default:
		t.last[rec.Path] = rec.Value
	}
}

// finalGets looks once more, from every thread, at every key. Stale reads must
// then show everything that anybody has seen.
func (l *load) finalGets(ctx context.Context) error {
	var furthest uint64
	keys := map[string]bool{}
	for _, op := range l.history.Ops() {
		keys[op.Path] = true
		if op.Reply != nil {
			furthest = max(furthest, op.Reply.Index)
		}
	}
	for _, t := range l.threads[:l.plan.Clients] {
		t.kv.See(furthest)
		for _, key := range sortedKeys(keys) {
			if err := t.mustDo(ctx, workloads.Op{Kind: workloads.Get, Path: key}, rundir.PhaseFinal); err != nil {
				return err
			}
		}
	}
	return nil
}
