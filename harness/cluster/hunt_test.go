package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/api"
	"gfslab/client"
	"gfslab/consensus"
	"gfslab/harness/check"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// hunt is a cell whose chunkservers, masters and links fail at random, while
// clients append.
type hunt struct {
	t    *testing.T
	c    *Cluster
	rng  *rand.Rand
	down map[string]bool // masters and chunkservers
	cuts int

	faults []rundir.Fault

	mu    sync.Mutex
	acked []ackedAppend
	given int // appends that were not acknowledged
	ops   []rundir.Op
}

type ackedAppend struct {
	client.AppendResult
	start, end time.Time
	length     uint32
}

// crashServer kills a chunkserver as Crash does a master.
func (h *hunt) crashServer(s *serverNode) {
	if err := h.c.Crash(s.name, h.rng.IntN(3)*50); err != nil {
		h.t.Fatal(err)
	}
	h.faults = append(h.faults, rundir.Fault{Name: "crash-chunkserver", Node: s.name, Inject: h.at(time.Now()), Heal: -1, Observed: true})
	h.down[s.name] = true
}

func (h *hunt) restartServer(ctx context.Context, s *serverNode) {
	if err := h.c.Restart(ctx, s.name); err != nil {
		h.t.Fatal(err)
	}
	delete(h.down, s.name)
}

// step breaks or mends one thing.
func (h *hunt) step(ctx context.Context) {
	names := h.c.Nodes()
	switch s, m := h.c.servers[h.rng.IntN(len(h.c.servers))], h.c.masters[h.rng.IntN(len(h.c.masters))]; h.rng.IntN(10) {
	case 0, 1:
		if h.down[s.name] {
			h.restartServer(ctx, s)
		} else {
			h.crashServer(s)
		}
	case 2, 3:
		up := len(h.c.masters)
		for _, m := range h.c.masters {
			if h.down[m.name] {
				up--
			}
		}
		if h.down[m.name] {
			if err := h.c.Restart(ctx, m.name); err != nil {
				h.t.Fatal(err)
			}
			delete(h.down, m.name)
		} else if up == len(h.c.masters) {
			if leader, _, ok := h.c.Leader(); ok && h.rng.IntN(3) > 0 {
				m = h.c.master(leader)
			}
			if err := h.c.Crash(m.name, h.rng.IntN(3)*50); err != nil {
				h.t.Fatal(err)
			}
			h.down[m.name] = true
		}
	case 4, 5:
		// A primary that no master reaches, and clients do: its lease runs out.
		for _, m := range h.c.masters {
			h.cut(s.name, m.name)
			h.cut(m.name, s.name)
		}
	case 6, 7, 8:
		a, b := names[h.rng.IntN(len(names))], names[h.rng.IntN(len(names))]
		if a != b {
			h.cut(a, b)
			if h.rng.IntN(2) == 0 {
				h.cut(b, a)
			}
		}
	default:
		h.cuts = maxCuts + 1
	}
	if h.cuts > maxCuts {
		h.c.fabric.HealAll()
		h.cuts = 0
	}
}

// maxCuts is when all links are healed, so that appends go on.
const maxCuts = 9

func (h *hunt) cut(from, to string) {
	h.cuts++
	h.c.Cut(from, to)
}

func (h *hunt) mend(ctx context.Context) {
	h.c.fabric.HealAll()
	for _, m := range h.c.masters {
		if h.down[m.name] {
			if err := h.c.Restart(ctx, m.name); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	for _, s := range h.c.servers {
		if h.down[s.name] {
			h.restartServer(ctx, s)
		}
	}
}

// append appends until stop is closed.
func (h *hunt) append(cl *client.Client, id int, stop chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		payload := []byte(fmt.Sprintf("client %d record %d %0*d", id, i, 100+i%400, i))
		start := time.Now()
		r := cl.RecordAppend(context.Background(), fmt.Sprintf("/f%d", i%2), payload)
		h.mu.Lock()
		h.record(id, r, start, uint32(len(payload)))
		if r.Outcome == client.OK && r.Code == api.Code_OK {
			h.acked = append(h.acked, ackedAppend{r, start, time.Now(), uint32(len(payload))})
		} else {
			h.given++
		}
		h.mu.Unlock()
	}
}

func (h *hunt) at(t time.Time) int64 { return int64(t.Sub(h.c.cfg.Start)) }

// record puts an append and its steps into the history; h.mu is held.
func (h *hunt) record(thread int, r client.AppendResult, start time.Time, length uint32) {
	add := func(op rundir.Op, outcome client.Outcome, end time.Time) {
		op.ID, op.Thread, op.Phase, op.Outcome, op.End = int64(len(h.ops)+1), thread, rundir.PhaseRun, outcome.String(), h.at(end)
		if outcome == client.Unknown {
			op.End = -1
		}
		if outcome != client.OK {
			op.Reply = nil
		}
		h.ops = append(h.ops, op)
	}
	add(rundir.Op{
		Client: r.Session.Client, Seq: r.Session.Seq, Kind: rundir.KindAppend, Start: h.at(start), Due: h.at(start), CRC: r.CRC, Length: length,
		Reply: &rundir.Reply{Code: r.Code.String(), Handle: r.Handle, Version: r.Version, Serial: r.Serial, Primary: r.Primary, Replicas: r.Replicas, ChunkOffset: r.Offset, CRC: r.CRC, Node: r.Primary},
	}, r.Outcome, time.Now())
	for _, s := range r.Steps {
		op := rundir.Op{Client: s.Session.Client, Seq: s.Session.Seq, Kind: s.Kind, Path: s.Path, Chunk: s.ChunkIndex, Start: h.at(s.Start), Due: h.at(s.Start)}
		node := client.NodeName(s.Node)
		switch {
		case s.Chunk != nil:
			c := s.Chunk
			op.Handle = s.Handle
			op.Reply = &rundir.Reply{Code: c.Code.String(), Index: c.At.Index, Offset: c.At.Offset, Term: c.At.Term, Node: node, Handle: c.Handle,
				Version: c.Version, Epoch: c.Epoch, Primary: c.Primary, Replicas: c.Replicas, Granted: c.Granted}
		case s.Mutation != nil:
			m := s.Mutation
			op.Reply = &rundir.Reply{Code: m.Code.String(), Index: m.At.Index, Offset: m.At.Offset, Term: m.At.Term, Node: node, Handle: m.Handle, Version: m.Version}
		case s.Stat != nil:
			st := s.Stat
			op.Reply = &rundir.Reply{Code: st.Code.String(), Index: st.At.Index, Offset: st.At.Offset, Term: st.At.Term, Node: node, FileID: st.Id, Directory: st.Directory, Chunks: st.Chunks}
		}
		add(op, s.Outcome, s.End)
	}
}

// A record that was acknowledged is on every current replica, whatever crashed
// meanwhile, and above all that had been acknowledged in its chunk before.
func TestAcknowledgedRecordsSurviveAnything(t *testing.T) {
	seeds := 3
	if s := os.Getenv("GFSLAB_HUNT_SEEDS"); s != "" {
		var err error
		if seeds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(seeds) {
		backend := node.Replicated()[seed%3]
		t.Run(fmt.Sprintf("%s-%d", backend, seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { huntOnce(t, backend, seed) })
		})
	}
}

func huntOnce(t *testing.T, backend string, seed uint64) {
	ctx := context.Background()
	p := plan(backend)
	p.Seed, p.Chunkservers, p.LeaseTerm, p.ChunkBytes = seed, 4, rundir.Duration(300*time.Millisecond), 16384
	c, err := Start(ctx, Config{Plan: p, Limits: consensus.Matched3(), World: VirtualWorld(seed), Start: time.Now(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := &hunt{t: t, c: c, rng: rand.New(rand.NewPCG(seed, 77)), down: map[string]bool{}}
	conns := client.NewConns(client.Dialer(c.Dialer("client")), 0)
	var masters []client.Master
	for id := uint64(1); id <= 3; id++ {
		masters = append(masters, client.Master{ID: id, Addr: c.MasterAddresses()[id]})
	}
	newClient := func(i int) *client.Client {
		cl, err := client.New(client.Options{Name: fmt.Sprintf("t%d", i), Masters: masters, Conns: conns, Seed: seed<<8 + uint64(i), OpTimeout: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return cl
	}
	reader := newClient(99)
	for i := range 2 {
		start, path := time.Now(), fmt.Sprintf("/f%d", i)
		r := reader.Create(ctx, path)
		if r.Outcome != client.OK {
			t.Fatal(r.Err)
		}
		h.ops = append(h.ops, rundir.Op{
			ID: int64(i + 1), Client: r.Session.Client, Seq: r.Session.Seq, Thread: 99, Kind: rundir.KindCreate, Path: path,
			Start: h.at(start), Due: h.at(start), End: h.at(time.Now()), Outcome: rundir.OutcomeOK, Phase: rundir.PhasePreload,
			Reply: &rundir.Reply{Code: r.Reply.Code.String(), Index: r.Reply.At.Index, Offset: r.Reply.At.Offset, Term: r.Reply.At.Term, Node: client.NodeName(r.Node)},
		})
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		cl := newClient(i)
		wg.Go(func() { h.append(cl, i, stop) })
	}
	for range 25 {
		time.Sleep(time.Duration(h.rng.IntN(250)) * time.Millisecond)
		h.step(ctx)
	}
	h.mend(ctx)
	time.Sleep(2 * time.Second)
	close(stop)
	wg.Wait()
	if err := c.Quiesce(ctx); err != nil {
		t.Fatal(err)
	}
	h.finish(reader, conns)
}

// finish asks for the current replicas, closes the cell and judges what is left.
func (h *hunt) finish(reader *client.Client, conns *client.Conns) {
	t, c, ctx := h.t, h.c, context.Background()
	members := map[uint64][]string{}
	for _, a := range h.acked {
		if members[a.Handle] != nil {
			continue
		}
		r := reader.ChunkInfo(ctx, a.Handle)
		if r.Outcome != client.OK || len(r.Reply.Replicas) == 0 {
			t.Fatalf("chunk %d: %v %v", a.Handle, r.Reply, r.Err)
		}
		members[a.Handle] = r.Reply.Replicas
	}
	if err := conns.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	chunks, err := c.Chunks()
	if err != nil {
		t.Fatal(err)
	}
	h.judge(members, chunks)
	applied, err := c.Applied()
	if err != nil {
		t.Fatal(err)
	}
	p := c.cfg.Plan
	p.Workload = "append"
	v := check.Run(ctx, &rundir.Run{Manifest: rundir.Manifest{Plan: p}, Ops: h.ops, Faults: h.faults, Applied: applied, Chunks: chunks, Leases: c.Leases()})
	for _, r := range v.Checks {
		if r.Verdict == rundir.Invalid {
			t.Errorf("%s: %v", r.Name, r.Details[:min(len(r.Details), 5)])
		}
		t.Log(r.Name, r.Verdict, r.Stats)
	}
}

func (h *hunt) judge(members map[uint64][]string, chunks map[string][]rundir.Chunk) {
	t := h.t
	type at struct {
		server         string
		handle, offset uint64
	}
	found := map[at]rundir.Chunk{}
	for server, list := range chunks {
		for _, c := range list {
			found[at{server, c.Handle, c.Offset}] = c
		}
	}
	shrunk := 0
	for i, a := range h.acked {
		if len(members[a.Handle]) < 3 {
			shrunk++
		}
		for _, m := range members[a.Handle] {
			c, is := found[at{m, a.Handle, a.Offset}]
			if !is || c.CRC != a.CRC || c.Client != a.Session.Client || c.Seq != a.Session.Seq {
				t.Errorf("record of %v acknowledged in chunk %d at %d under version %d by %s for %v; %s, a member now, has %+v", a.Session, a.Handle, a.Offset, a.Version, a.Primary, a.Replicas, m, c)
			}
		}
		for _, b := range h.acked[:i] {
			if a.Handle != b.Handle {
				continue
			}
			if a.end.Before(b.start) && a.Offset >= b.Offset || b.end.Before(a.start) && b.Offset >= a.Offset {
				t.Errorf("records of %v and %v lie in chunk %d in another order than they were acknowledged", a.Session, b.Session, a.Handle)
			}
		}
	}
	if len(h.acked) < 100 {
		t.Errorf("only %d appends were acknowledged, %d were not", len(h.acked), h.given)
	}
	t.Logf("%d acknowledged (%d in chunks that lost members), %d not, %d chunks", len(h.acked), shrunk, h.given, len(members))
}
