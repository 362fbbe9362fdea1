package check

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"gfslab/api"
	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

// script makes a run of one client that does one thing after the other, on the
// real state machine and on chunkservers that are told what to have done.
type script struct {
	t     *testing.T
	state *meta.State
	run   *rundir.Run
	index uint64
	seq   uint64
	now   int64
}

func newScript(t *testing.T) *script {
	return &script{t: t, state: meta.New(), run: &rundir.Run{
		Manifest: rundir.Manifest{Plan: rundir.Plan{Workload: "script", Replicas: 1, Chunkservers: 3, ChunkBytes: simChunk, LeaseTerm: simLease}},
		Applied:  map[string][]rundir.Applied{}, Chunks: map[string][]rundir.Chunk{"cs1": {}, "cs2": {}, "cs3": {}},
		Leases: map[string][]rundir.LeaseEvent{},
	}}
}

// log applies one command.
func (s *script) log(cmd *metapb.Command) *metapb.Reply {
	s.t.Helper()
	s.index++
	s.now += 1000
	cmd.StampNs = s.now
	raw, err := proto.Marshal(cmd)
	if err != nil {
		s.t.Fatal(err)
	}
	out := s.state.Apply(s.index, [][]byte{raw})[0]
	var reply metapb.Reply
	if err := proto.Unmarshal(out, &reply); err != nil {
		s.t.Fatal(err)
	}
	s.run.Applied["m1"] = append(s.run.Applied["m1"], rundir.Applied{Index: s.index, Term: 1, Client: cmd.Client, Seq: cmd.Seq,
		Command: raw, Reply: out, Hash: s.state.Hash(), At: s.now})
	return &reply
}

// begin starts an operation of the client.
func (s *script) begin(op rundir.Op) *rundir.Op {
	s.now += 1000
	op.ID, op.Client, op.Start, op.Due, op.Phase, op.Outcome = int64(len(s.run.Ops)+1), "c", s.now, s.now, rundir.PhaseRun, rundir.OutcomeOK
	s.run.Ops = append(s.run.Ops, op)
	return &s.run.Ops[len(s.run.Ops)-1]
}

// mutate does an operation that puts a command into the log; it must succeed.
func (s *script) mutate(op rundir.Op, cmd *metapb.Command) *rundir.Op {
	s.t.Helper()
	s.seq++
	op.Seq = s.seq
	cmd.Client, cmd.Seq = "c", s.seq
	o := s.begin(op)
	r := s.log(cmd)
	if r.Code != 0 {
		s.t.Fatalf("%v: %v", cmd, api.Code(r.Code))
	}
	o.Reply = &rundir.Reply{Code: codeOK, Index: r.Index, Offset: r.Offset, Term: 1, Node: "m1", FileID: r.Id, Handle: r.Handle, Version: r.Version}
	s.now += 1000
	o.End = s.now
	return o
}

// look does an operation that looks at the state.
func (s *script) look(op rundir.Op, reply rundir.Reply) *rundir.Op {
	o := s.begin(op)
	index, n := s.state.Applied()
	reply.Index, reply.Offset, reply.Term, reply.Node = index, n, 1, "m1"
	if reply.Code == "" {
		reply.Code = codeOK
	}
	s.now += 1000
	o.Reply, o.End = &reply, s.now
	return o
}

func (s *script) mkdir(path string) *rundir.Op {
	return s.mutate(rundir.Op{Kind: rundir.KindMkdir, Path: path}, &metapb.Command{Op: &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: path}}})
}

func (s *script) create(path string) *rundir.Op {
	return s.mutate(rundir.Op{Kind: rundir.KindCreate, Path: path}, &metapb.Command{Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: path}}})
}

func (s *script) remove(path string) *rundir.Op {
	return s.mutate(rundir.Op{Kind: rundir.KindDelete, Path: path}, &metapb.Command{Op: &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: path}}})
}

func (s *script) allocate(path string) uint64 {
	return s.mutate(rundir.Op{Kind: rundir.KindAllocate, Path: path}, &metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: path}}}).Reply.Handle
}

func (s *script) snapshot(from, to string) *rundir.Op {
	return s.mutate(rundir.Op{Kind: rundir.KindSnapshot, Path: from, Path2: to}, &metapb.Command{Op: &metapb.Command_Snapshot{Snapshot: &metapb.RenameOp{From: from, To: to}}})
}

// verdicts judges the run by the checkers named.
func (s *script) verdicts(names ...string) (all map[string]rundir.CheckResult) {
	all = map[string]rundir.CheckResult{}
	f := newFacts(s.run)
	for _, c := range All() {
		for _, name := range names {
			if c.Name == name {
				all[name] = c.on(context.Background(), f)
			}
		}
	}
	return all
}

// wants holds one checker's verdict to what it must be, and what it must say.
func (s *script) wants(checker, verdict, says string) {
	s.t.Helper()
	got := s.verdicts(checker)[checker]
	if text := strings.Join(got.Details, "\n"); got.Verdict != verdict || !strings.Contains(text, says) {
		s.t.Errorf("%s is %s, want %s with %q:\n%s", checker, got.Verdict, verdict, says, text)
	}
}
