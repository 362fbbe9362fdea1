package check

import (
	"cmp"
	"container/heap"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"

	"gfslab/api"
	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// The simulator makes correct runs: the real metadata state machine behind one
// imaginary log, clients that overlap, a leader that is isolated for a while, and
// chunkservers that do what they are told. Its histories must be judged valid;
// what the tests then change in them must be found.
const (
	simBatch  = 40_000    // ns: commands that are this close share an entry
	simLease  = 5_000_000 // ns: D
	simChunk  = 16 << 10
	simRecord = 300
	simHeader = 32
)

type sim struct {
	t     *testing.T
	rng   *rand.Rand
	load  workloads.Workload
	state *meta.State
	index uint64
	now   int64
	run   *rundir.Run

	threads []simThread
	events  simHeap
	log     []rundir.Applied
	chunks  map[uint64]*simChunkState
	acked   map[string][]*rundir.Op

	inject, elected, heal int64
}

type simThread struct {
	epoch int
	seq   uint64
}

type simChunkState struct {
	end              uint64
	version, epoch   uint64
	primary          int
	until            int64
	serial           uint64
	members, servers []string
}

// simEvent is an operation at its linearization point.
type simEvent struct {
	at     int64
	thread int
	ghost  bool // the client has given up; the command still takes effect
	cmd    *metapb.Command
	op     *rundir.Op
}

type simHeap []*simEvent

func (h simHeap) Len() int           { return len(h) }
func (h simHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h simHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *simHeap) Push(x any)        { *h = append(*h, x.(*simEvent)) }
func (h *simHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// simulate makes a run of so many operations in all.
func simulate(t *testing.T, workload string, seed uint64, clients, ops int) *rundir.Run {
	t.Helper()
	w, err := workloads.New(workload, workloads.Config{Clients: clients, RecordBytes: simRecord})
	if err != nil {
		t.Fatal(err)
	}
	return simulateLoad(t, w, workload, seed, clients, ops)
}

// simulateLoad is simulate with a load that need not be among the workloads.
func simulateLoad(t *testing.T, w workloads.Workload, workload string, seed uint64, clients, ops int) *rundir.Run {
	t.Helper()
	s := &sim{
		t: t, rng: rand.New(rand.NewPCG(seed, 99)), load: w, state: meta.New(), index: 1,
		threads: make([]simThread, clients), chunks: map[uint64]*simChunkState{}, acked: map[string][]*rundir.Op{},
		run: &rundir.Run{Applied: map[string][]rundir.Applied{}, Chunks: map[string][]rundir.Chunk{}, Leases: map[string][]rundir.LeaseEvent{}},
	}
	s.run.Manifest = rundir.Manifest{ID: "sim", Nodes: []string{"m1", "m2", "m3", "cs1", "cs2", "cs3"}, Command: "gfslab run --backend sim --seed " + strconv.FormatUint(seed, 10),
		Plan: rundir.Plan{Backend: "sim", Workload: workload, Fault: "isolate-leader", Seed: seed, ChunkBytes: simChunk, Replicas: 3, Chunkservers: 3, LeaseTerm: simLease}}
	for _, op := range w.Load(workloads.Rand(seed, 0)) {
		s.sequential(op, rundir.PhasePreload)
	}
	s.inject = s.now + int64(ops/clients)*130_000
	s.elected, s.heal = s.inject+3_000_000, s.inject+6_000_000
	rngs := make([]*rand.Rand, clients)
	for i := range clients {
		rngs[i] = workloads.Rand(seed, uint64(i)+1)
		s.push(i, s.load.Next(rngs[i], i), s.now+s.rng.Int64N(100_000))
	}
	for n := clients; len(s.events) > 0; {
		e := heap.Pop(&s.events).(*simEvent)
		free := s.handle(e)
		for _, i := range free {
			if n < ops {
				n++
				s.push(i.thread, s.load.Next(rngs[i.thread], i.thread), i.at)
			}
		}
	}
	s.now += 1_000_000
	for _, path := range []string{"/b0", "/a/f0", "/l/f0", "/p0", "/big"} {
		s.sequential(workloads.Op{Kind: rundir.KindStat, Path: path}, rundir.PhaseFinal)
	}
	if workload == "bigdir" {
		s.sequential(workloads.Op{Kind: rundir.KindList, Path: "/big"}, rundir.PhaseFinal)
	}
	if workload == "create" {
		for _, top := range []string{"/p0", "/p1", "/p2", "/p3", "/b0"} {
			s.sequential(workloads.Op{Kind: rundir.KindList, Path: top}, rundir.PhaseFinal)
		}
	}
	s.finish()
	return s.run
}

func (s *sim) client(thread int) string {
	return "c" + strconv.Itoa(thread) + "." + strconv.Itoa(s.threads[thread].epoch)
}

// begin turns a workload's operation into one of the history.
func (s *sim) begin(thread int, w workloads.Op, start int64, phase string) *rundir.Op {
	op := &rundir.Op{Kind: w.Kind, Path: w.Path, Path2: w.Path2, Prefix: w.Prefix, Recursive: w.Recursive, Chunk: w.Chunk, Thread: thread, Client: s.client(thread),
		Due: start, Start: start, End: -1, Outcome: rundir.OutcomeUnknown, Phase: phase}
	switch {
	case w.Kind == rundir.KindReadRecord && len(s.acked[w.Path]) == 0:
		op.Kind = rundir.KindStat
	case w.Kind == rundir.KindReadRecord:
		src := s.acked[w.Path][w.Pick%uint64(len(s.acked[w.Path]))]
		op.Handle, op.Length = src.Reply.Handle, src.Length
		op.Reply = &rundir.Reply{Code: codeOK, Handle: src.Reply.Handle, ChunkOffset: src.Reply.ChunkOffset, CRC: src.CRC, Node: "cs1"}
	case w.Kind == rundir.KindFindLease, w.Kind == rundir.KindRevoke, w.Kind == rundir.KindChunkInfo && !w.ByPath:
		c, code := s.state.ChunkAt(w.Path, w.Chunk)
		if code != meta.OK {
			s.t.Fatalf("%+v before its chunk is there", w)
		}
		op.Handle = c.Handle
	}
	if mutates(op.Kind) || op.Kind == rundir.KindAppend {
		s.threads[thread].seq++
		op.Seq = s.threads[thread].seq
	}
	if op.Kind == rundir.KindAppend {
		op.Length, op.CRC = uint32(w.Size), crc32.ChecksumIEEE([]byte(op.Client+strconv.FormatUint(op.Seq, 10)))
	}
	return op
}

func (s *sim) push(thread int, w workloads.Op, start int64) {
	op := s.begin(thread, w, start, rundir.PhaseRun)
	e := &simEvent{at: start + 20_000 + s.rng.Int64N(60_000), thread: thread, op: op, cmd: commandOf(op)}
	if e.cmd != nil && malformed(e.cmd) { // a master answers that without its log
		e.cmd, op.Reply = nil, &rundir.Reply{Code: "INVALID", Node: "m2"}
	}
	heap.Push(&s.events, e)
}

type simFree struct {
	thread int
	at     int64
}

// handle runs one event, and with it the mutations that fall into its entry. It
// returns the threads that are free again.
func (s *sim) handle(e *simEvent) []simFree {
	if e.at >= s.inject && e.at < s.elected && !e.ghost {
		return s.delayed(e)
	}
	s.now = max(s.now, e.at)
	group := []*simEvent{e}
	for e.cmd != nil && len(s.events) > 0 && s.events[0].cmd != nil && s.events[0].at < e.at+simBatch && len(group) < 4 &&
		(s.events[0].at < s.inject || s.events[0].at >= s.elected) {
		group = append(group, heap.Pop(&s.events).(*simEvent))
	}
	s.now = max(s.now, group[len(group)-1].at) // an entry is applied when its last command has come
	if s.rng.IntN(20) == 0 {
		s.index++ // a no-op
		s.state.Apply(s.index, nil)
	}
	if e.cmd == nil {
		s.lookup(e.op)
	} else {
		var cmds []*metapb.Command
		for _, g := range group {
			cmds = append(cmds, g.cmd)
		}
		for i, reply := range s.apply(cmds...) {
			s.answer(group[i].op, reply)
		}
	}
	var free []simFree
	for _, g := range group {
		if g.ghost {
			continue
		}
		g.op.Outcome, g.op.End = rundir.OutcomeOK, max(s.now, g.at)+simBatch+s.rng.Int64N(60_000)
		s.record(g.op)
		free = append(free, simFree{g.thread, g.op.End + s.rng.Int64N(30_000)})
	}
	return free
}

// delayed is what becomes of an operation while the old leader is cut off: some
// clients give up without knowing, the others find the new leader.
func (s *sim) delayed(e *simEvent) []simFree {
	e.op.Attempts = append(e.op.Attempts, rundir.Attempt{Node: "m1", Start: e.at, End: s.elected, Error: "deadline"})
	later := s.elected + s.rng.Int64N(500_000)
	if e.cmd == nil || s.rng.IntN(3) > 0 {
		e.at = later
		heap.Push(&s.events, e)
		return nil
	}
	s.record(e.op)
	s.threads[e.thread].epoch++
	s.threads[e.thread].seq = 0
	if s.rng.IntN(2) == 0 { // it happens all the same
		heap.Push(&s.events, &simEvent{at: later, ghost: true, cmd: e.cmd, op: &rundir.Op{}})
	}
	return []simFree{{e.thread, s.elected}}
}

func (s *sim) record(op *rundir.Op) {
	node := "m2"
	if op.Reply != nil {
		node = op.Reply.Node
	}
	op.Attempts = append(op.Attempts, rundir.Attempt{Node: node, Start: op.Start, End: op.End})
	s.run.Ops = append(s.run.Ops, *op)
	if op.Kind == rundir.KindAppend && ok(op) && op.Reply.Code == codeOK {
		kept := *op
		s.acked[op.Path] = append(s.acked[op.Path], &kept)
	}
}

// sequential runs one operation with no other beside it.
func (s *sim) sequential(w workloads.Op, phase string) {
	s.now += 1000
	op := s.begin(0, w, s.now, phase)
	s.now += 1000
	if cmd := commandOf(op); cmd != nil {
		s.answer(op, s.apply(cmd)[0])
	} else {
		s.lookup(op)
	}
	s.now += 1000
	op.Outcome, op.End = rundir.OutcomeOK, s.now
	s.record(op)
}

// commandOf is the command that an operation puts into the log, nil if none.
func commandOf(op *rundir.Op) *metapb.Command {
	c := &metapb.Command{Client: op.Client, Seq: op.Seq, StampNs: op.Start}
	switch op.Kind {
	case rundir.KindCreate:
		c.Op = &metapb.Command_Create{Create: &metapb.PathOp{Path: op.Path}}
	case rundir.KindMkdir:
		c.Op = &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: op.Path}}
	case rundir.KindDelete:
		c.Op = &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: op.Path, Recursive: op.Recursive}}
	case rundir.KindRename:
		c.Op = &metapb.Command_Rename{Rename: &metapb.RenameOp{From: op.Path, To: op.Path2}}
	case rundir.KindAllocate:
		c.Op = &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: op.Path, ChunkIndex: op.Chunk}}
	default:
		return nil
	}
	return c
}

// apply puts one entry into the log.
func (s *sim) apply(cmds ...*metapb.Command) []*metapb.Reply {
	s.index++
	raw := make([][]byte, len(cmds))
	for i, c := range cmds {
		b, err := proto.Marshal(c)
		if err != nil {
			s.t.Fatal(err)
		}
		raw[i] = b
	}
	results := s.state.Apply(s.index, raw)
	out := make([]*metapb.Reply, len(cmds))
	for i, r := range results {
		out[i] = new(metapb.Reply)
		if err := proto.Unmarshal(r, out[i]); err != nil {
			s.t.Fatal(err)
		}
		s.log = append(s.log, rundir.Applied{Index: s.index, Offset: uint32(i), Term: 1, Client: cmds[i].Client, Seq: cmds[i].Seq,
			Command: raw[i], Reply: r, Hash: s.state.Hash(), At: s.now})
	}
	return out
}

func (s *sim) answer(op *rundir.Op, r *metapb.Reply) {
	op.Reply = &rundir.Reply{Code: api.Code(r.Code).String(), Index: r.Index, Offset: r.Offset, Node: "m2", Handle: r.Handle, Version: r.Version}
}

// list answers a page: one in four is cut off or begins behind a name.
func (s *sim) list(op *rundir.Op) {
	if s.rng.IntN(4) == 0 {
		op.Limit = uint32(1 + s.rng.IntN(40))
	}
	if s.rng.IntN(4) == 0 {
		op.After = []string{"f", "f00", "f0001", "f0001/", "f000100", "f000101/a", "f000104/"}[s.rng.IntN(7)]
	}
	entries, next, code := s.state.ListPage(op.Path, meta.ListOptions{Prefix: op.Prefix, Recursive: op.Recursive, After: op.After, Limit: int(op.Limit)})
	op.Reply = s.seenReply(code)
	op.Reply.Next = next
	for _, e := range entries {
		op.Reply.Names = append(op.Reply.Names, e.Name)
	}
}

// seenReply is a reply that stands at the last entry.
func (s *sim) seenReply(code meta.Code) *rundir.Reply {
	index, n := s.state.Applied()
	return &rundir.Reply{Code: api.Code(code).String(), Index: index, Offset: n, Node: "m2"}
}

func (s *sim) lookup(op *rundir.Op) {
	switch op.Kind {
	case rundir.KindStat:
		info, code := s.state.Stat(op.Path)
		op.Reply = s.seenReply(code)
		op.Reply.Directory, op.Reply.FileID, op.Reply.Chunks = info.Directory, info.ID, info.Chunks
	case rundir.KindList:
		s.list(op)
	case rundir.KindChunkInfo:
		c, code := s.state.Chunk(op.Handle)
		if op.Handle == 0 {
			c, code = s.state.ChunkAt(op.Path, op.Chunk)
		}
		op.Reply = s.seenReply(code)
		s.fill(op, c, code)
	case rundir.KindFindLease:
		granted, at := s.lease(op.Handle)
		c, code := s.state.Chunk(op.Handle)
		op.Reply = s.seenReply(code)
		if granted {
			op.Reply.Index, op.Reply.Offset, op.Reply.Granted = at.index, at.offset, true
		}
		s.fill(op, c, code)
	case rundir.KindRevoke:
		s.revoke(op)
	case rundir.KindAppend:
		s.append(op)
	}
}

func (s *sim) fill(op *rundir.Op, c meta.Chunk, code meta.Code) {
	if code == meta.OK {
		op.Reply.Handle, op.Reply.Version, op.Reply.Epoch = c.Handle, c.Version, c.Epoch
		op.Reply.Primary, op.Reply.Replicas = c.Primary, slices.Clone(c.Members)
	}
}

func (s *sim) leaseEvent(node string, e rundir.LeaseEvent) {
	e.Node = node
	if e.At == 0 {
		e.At = s.now
	}
	s.run.Leases[node] = append(s.run.Leases[node], e)
}

// lease makes sure that the chunk has a live lease.
func (s *sim) lease(handle uint64) (granted bool, at position) {
	c := s.chunks[handle]
	if c == nil {
		c = &simChunkState{servers: []string{"cs1", "cs2", "cs3"}}
		s.chunks[handle] = c
	}
	if c.epoch != 0 && s.now+simBatch < c.until {
		return false, position{}
	}
	if c.epoch != 0 {
		s.now = max(s.now, c.until+1)
		s.apply(&metapb.Command{Op: &metapb.Command_LeaseEnd{LeaseEnd: &metapb.LeaseEndOp{Handle: handle, Epoch: c.epoch}}})
	}
	intent := s.apply(&metapb.Command{Op: &metapb.Command_GrantIntent{GrantIntent: &metapb.GrantIntentOp{Handle: handle, ExpectVersion: c.version, Replicas: c.servers}}})[0]
	for _, node := range c.servers {
		s.leaseEvent(node, rundir.LeaseEvent{Kind: rundir.LeasePrepare, Handle: handle, Version: intent.Version})
	}
	c.primary = s.rng.IntN(len(c.servers))
	active := s.apply(&metapb.Command{Op: &metapb.Command_GrantActive{GrantActive: &metapb.GrantActiveOp{Handle: handle, IntentIndex: intent.Index, Primary: c.servers[c.primary], Acked: c.servers}}})[0]
	if active.Code != 0 {
		s.t.Fatalf("the grant was refused: %v", active)
	}
	c.version, c.epoch, c.members, c.serial = active.Version, active.Epoch, c.servers, 0
	c.until = s.now + simLease
	s.leaseEvent(c.servers[c.primary], rundir.LeaseEvent{Kind: rundir.LeaseClaim, Handle: handle, Version: c.version, Epoch: c.epoch, Until: c.until})
	return true, position{active.Index, active.Offset}
}

func (s *sim) revoke(op *rundir.Op) {
	c := s.chunks[op.Handle]
	if c == nil || c.epoch == 0 {
		info, code := s.state.Chunk(op.Handle)
		op.Reply = s.seenReply(code)
		s.fill(op, info, code)
		return
	}
	s.leaseEvent(c.servers[c.primary], rundir.LeaseEvent{Kind: rundir.LeaseStop, Handle: op.Handle, Version: c.version, Epoch: c.epoch})
	s.now++
	r := s.apply(&metapb.Command{Op: &metapb.Command_LeaseEnd{LeaseEnd: &metapb.LeaseEndOp{Handle: op.Handle, Epoch: c.epoch}}})[0]
	c.epoch, c.until = 0, 0
	op.Reply = &rundir.Reply{Code: codeOK, Index: r.Index, Offset: r.Offset, Node: "m2", Handle: op.Handle, Version: c.version, Replicas: slices.Clone(c.members)}
}

// append adds a record to the last chunk of a file, and a new chunk if it is full.
func (s *sim) append(op *rundir.Op) {
	info, code := s.state.Stat(op.Path)
	if code != meta.OK {
		s.t.Fatalf("append to %s: %v", op.Path, code)
	}
	size := uint64(op.Length) + simHeader
	last := info.Chunks[len(info.Chunks)-1]
	if c := s.chunks[last]; c != nil && c.end+size > simChunk {
		s.threads[op.Thread].seq++
		r := s.apply(&metapb.Command{Client: op.Client, Seq: s.threads[op.Thread].seq,
			Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: op.Path, ChunkIndex: uint32(len(info.Chunks))}}})[0]
		for _, node := range c.servers {
			s.run.Chunks[node] = append(s.run.Chunks[node], rundir.Chunk{Handle: last, Version: c.version, Offset: c.end, Length: uint32(simChunk - c.end), Kind: rundir.ChunkPad})
		}
		last = r.Handle
	}
	s.lease(last)
	c := s.chunks[last]
	c.serial++
	for _, node := range c.servers {
		s.run.Chunks[node] = append(s.run.Chunks[node], rundir.Chunk{Handle: last, Version: c.version, Offset: c.end, Length: op.Length, CRC: op.CRC,
			Client: op.Client, Seq: op.Seq, Kind: rundir.ChunkRecord})
		s.leaseEvent(node, rundir.LeaseEvent{Kind: rundir.LeaseMutate, Handle: last, Version: c.version, Serial: c.serial, Offset: c.end})
	}
	s.leaseEvent(c.servers[c.primary], rundir.LeaseEvent{Kind: rundir.LeaseAccept, Handle: last, Version: c.version, Epoch: c.epoch, Serial: c.serial, Offset: c.end, Until: c.until})
	op.Reply = &rundir.Reply{Code: codeOK, Node: c.servers[c.primary], Handle: last, Version: c.version, Serial: c.serial, ChunkOffset: c.end}
	c.end += size
	s.now++
}

// finish writes the nodes' logs and numbers the operations.
func (s *sim) finish() {
	for _, node := range []string{"m1", "m2", "m3"} {
		log := slices.Clone(s.log)
		if node == "m3" { // it crashed, restarted and replayed
			cut := slices.IndexFunc(log, func(l rundir.Applied) bool { return l.At >= s.inject })
			again := slices.Clone(log)
			for i := range again {
				again[i].Run = 1
				again[i].At = max(again[i].At, s.heal)
			}
			log = append(log[:max(cut, 0)], again...)
		}
		s.run.Applied[node] = log
	}
	for _, node := range []string{"cs1", "cs2", "cs3"} {
		for i := range s.run.Chunks[node] { // a replica's version, not the record's
			c := &s.run.Chunks[node][i]
			c.Version = s.chunks[c.Handle].version
		}
		s.run.Chunks[node] = append([]rundir.Chunk{}, s.run.Chunks[node]...)
		s.run.Leases[node] = append([]rundir.LeaseEvent{}, s.run.Leases[node]...)
	}
	s.run.Counters.Applied = map[string]uint64{"m1": uint64(len(s.log)), "m2": uint64(len(s.log)), "m3": uint64(len(s.log))}
	s.run.Faults = []rundir.Fault{{Name: "isolate-leader", Node: "m1", Inject: s.inject, Heal: s.heal, Observed: true, Evidence: []string{"m2 leads"},
		Detected: s.inject + 1, Elected: s.elected, Committed: s.elected + 1}}
	slices.SortStableFunc(s.run.Ops, func(a, b rundir.Op) int { return cmp.Compare(a.Start, b.Start) })
	for i := range s.run.Ops {
		s.run.Ops[i].ID = int64(i + 1)
	}
}
