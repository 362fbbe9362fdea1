package check

import (
	"hash/crc32"
	"slices"
	"testing"

	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// cellScript is a run with one chunk of bytes, one of records, a snapshot of the
// latter, its private copy, a clone of the former and a deleted replica.
type cellScript struct {
	*script
	bytes, records, own uint64
	writes              []*rundir.Op
	read, full, cut     *rundir.Op
}

var threeServers = []string{"cs1", "cs2", "cs3"}

func (s *script) event(node, kind string, e rundir.LeaseEvent) {
	s.now++
	e.Node, e.Kind, e.At = node, kind, s.now
	if e.Term == 0 {
		e.Term = 1
	}
	s.run.Leases[node] = append(s.run.Leases[node], e)
}

// grant gives cs1 the lease of a chunk with members, and returns its version.
func (s *script) grant(handle uint64, members ...string) *metapb.Reply {
	c, _ := s.state.Chunk(handle)
	intent := s.log(&metapb.Command{Op: &metapb.Command_GrantIntent{GrantIntent: &metapb.GrantIntentOp{Handle: handle, ExpectVersion: c.Version, Replicas: members}}})
	for _, m := range members {
		s.event(m, rundir.LeasePrepare, rundir.LeaseEvent{Handle: handle, Version: intent.Version})
	}
	r := s.log(&metapb.Command{Op: &metapb.Command_GrantActive{GrantActive: &metapb.GrantActiveOp{Handle: handle, IntentIndex: intent.Index, Primary: "cs1", Acked: members}}})
	if r.Code != 0 {
		s.t.Fatal(r)
	}
	s.event("cs1", rundir.LeaseClaim, rundir.LeaseEvent{Handle: handle, Version: r.Version, Epoch: r.Epoch, Until: s.now + simLease})
	return r
}

func (s *script) end(handle uint64) {
	c, _ := s.state.Chunk(handle)
	s.event("cs1", rundir.LeaseStop, rundir.LeaseEvent{Handle: handle, Version: c.Version, Epoch: c.Epoch})
	s.log(&metapb.Command{Op: &metapb.Command_LeaseEnd{LeaseEnd: &metapb.LeaseEndOp{Handle: handle, Epoch: c.Epoch}}})
}

// mutation has all members make a mutation durable, and the primary acknowledge it.
func (s *script) mutation(op rundir.Op, handle, serial, offset uint64) *rundir.Op {
	c, _ := s.state.Chunk(handle)
	s.seq++
	op.Seq = s.seq
	data := make([]byte, op.Length)
	workloads.Payload(data, "c", op.Seq)
	op.CRC = crc32.Checksum(data, castagnoli)
	o := s.begin(op)
	e := rundir.LeaseEvent{Handle: handle, Version: c.Version, Epoch: c.Epoch, Serial: serial, Offset: offset}
	for _, m := range c.Members {
		s.event(m, rundir.LeaseMutate, e)
		if op.Kind == rundir.KindAppend {
			s.run.Chunks[m] = append(s.run.Chunks[m], rundir.Chunk{Handle: handle, Version: c.Version, Offset: offset, Length: op.Length, CRC: o.CRC,
				Client: "c", Seq: op.Seq, Kind: rundir.ChunkRecord})
		}
	}
	s.event("cs1", rundir.LeaseAccept, e)
	s.now++
	o.Reply = &rundir.Reply{Code: codeOK, Node: "cs1", Handle: handle, Version: c.Version, Serial: serial, ChunkOffset: offset}
	o.End = s.now
	return o
}

func (s *script) readAll(path string, phase string, from ...*rundir.Op) *rundir.Op {
	o := s.begin(rundir.Op{Kind: rundir.KindReadRecords, Path: path})
	o.Phase = phase
	rep := &rundir.Reply{Code: codeOK, Node: "cs2"}
	for _, a := range from {
		rep.Records = append(rep.Records, rundir.RecordSeen{Handle: a.Reply.Handle, Offset: a.Reply.ChunkOffset, Client: "c", Seq: a.Seq, CRC: a.CRC, Length: a.Length})
	}
	s.now++
	o.Reply, o.End = rep, s.now
	return o
}

func newCellScript(t *testing.T) *cellScript {
	s := &cellScript{script: newScript(t)}
	s.run.Ops = make([]rundir.Op, 0, 64) // pointers into it stay good
	s.create("/b")
	s.bytes = s.mutate(rundir.Op{Kind: rundir.KindAllocate, Path: "/b", ChunkKind: rundir.ChunkOfBytes},
		&metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: "/b", Kind: kindBytes}}}).Reply.Handle
	s.grant(s.bytes, "cs1", "cs2")
	for i, offset := range []uint64{0, 100, 50} {
		s.writes = append(s.writes, s.mutation(rundir.Op{Kind: rundir.KindWrite, Path: "/b", Offset: offset, Length: 100}, s.bytes, uint64(i+1), offset))
	}
	content := make([]byte, 200)
	for _, w := range s.writes {
		workloads.Payload(content[w.Offset:w.Offset+100], "c", w.Seq)
	}
	s.event("cs2", rundir.LeaseServe, rundir.LeaseEvent{Handle: s.bytes, Version: 1, Wanted: 1})
	s.read = s.begin(rundir.Op{Kind: rundir.KindReadBytes, Path: "/b", Offset: 20, Length: 150})
	s.now++
	s.read.Reply, s.read.End = &rundir.Reply{Code: codeOK, Node: "cs2", Handle: s.bytes, Version: 1, Length: 150, CRC: crc32.Checksum(content[20:170], castagnoli)}, s.now
	s.end(s.bytes)
	s.event("cs3", rundir.LeaseClone, rundir.LeaseEvent{Handle: s.bytes, Version: 1, Source: "cs1"})
	s.log(&metapb.Command{Op: &metapb.Command_AddMember{AddMember: &metapb.AddMemberOp{Handle: s.bytes, Version: 1, Server: "cs3"}}})
	for _, m := range threeServers {
		s.run.Chunks[m] = append(s.run.Chunks[m], rundir.Chunk{Handle: s.bytes, Version: 1, Length: 200, CRC: crc32.Checksum(content, castagnoli), Kind: rundir.ChunkBlock})
	}

	s.create("/r")
	s.records = s.allocate("/r")
	s.grant(s.records, threeServers...)
	a := s.mutation(rundir.Op{Kind: rundir.KindAppend, Path: "/r", Length: 50}, s.records, 1, 0)
	b := s.mutation(rundir.Op{Kind: rundir.KindAppend, Path: "/r", Length: 50}, s.records, 2, 120)
	s.end(s.records)
	s.snapshot("/r", "/s")
	begun := s.log(&metapb.Command{Op: &metapb.Command_CopyBegin{CopyBegin: &metapb.CopyBeginOp{File: s.idOf("/r"), Handle: s.records}}})
	s.own = begun.Handle
	for _, m := range threeServers {
		s.event(m, rundir.LeaseCopy, rundir.LeaseEvent{Handle: s.own, Version: 1})
		for _, c := range slices.Clone(s.run.Chunks[m]) {
			if c.Handle == s.records {
				c.Handle = s.own
				s.run.Chunks[m] = append(s.run.Chunks[m], c)
			}
		}
	}
	if r := s.log(&metapb.Command{Op: &metapb.Command_CopyCommit{CopyCommit: &metapb.CopyCommitOp{File: s.idOf("/r"), Handle: s.records, Copy: s.own, Version: 1, Members: threeServers}}}); r.Code != 0 {
		t.Fatal(r)
	}
	s.grant(s.own, threeServers...)
	c := s.mutation(rundir.Op{Kind: rundir.KindAppend, Path: "/r", Length: 50}, s.own, 1, 240)
	s.readAll("/s", rundir.PhaseRun, a, b)
	s.cut = s.readAll("/s", rundir.PhaseRun, a, b)
	s.full = s.readAll("/r", rundir.PhaseFinal, a, b, c)
	s.end(s.own)
	s.log(&metapb.Command{Op: &metapb.Command_RemoveMember{RemoveMember: &metapb.RemoveMemberOp{Handle: s.own, Version: 2, Server: "cs3"}}})
	s.event("cs3", rundir.LeaseDelete, rundir.LeaseEvent{Handle: s.own, Version: 2})
	for _, m := range threeServers {
		for i := range s.run.Chunks[m] {
			if x := &s.run.Chunks[m][i]; x.Handle == s.own {
				x.Version = 2
			}
		}
	}
	s.run.Chunks["cs3"] = slices.DeleteFunc(s.run.Chunks["cs3"], func(x rundir.Chunk) bool { return x.Handle == s.own })
	return s
}

func (s *script) chunk(node string, handle uint64) *rundir.Chunk {
	i := slices.IndexFunc(s.run.Chunks[node], func(c rundir.Chunk) bool { return c.Handle == handle })
	return &s.run.Chunks[node][i]
}

// eventOf is the last event of a kind about a chunk on a node.
func (s *script) eventOf(node, kind string, handle uint64) *rundir.LeaseEvent {
	list := s.run.Leases[node]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Kind == kind && list[i].Handle == handle {
			return &list[i]
		}
	}
	s.t.Fatalf("%s has no %s of chunk %d", node, kind, handle)
	return nil
}

func (s *script) forget(node, kind string, handle uint64) {
	s.run.Leases[node] = slices.DeleteFunc(s.run.Leases[node], func(e rundir.LeaseEvent) bool { return e.Kind == kind && e.Handle == handle })
}

type cellTampering struct {
	name, checker, says string
	do                  func(s *cellScript)
}

func byteTamperings() []cellTampering {
	return []cellTampering{
		{"other bytes read", "writes", "node cs2 returned bytes", func(s *cellScript) { s.read.Reply.CRC++ }},
		{"a read that ends too early", "writes", "had been acknowledged up to offset 200", func(s *cellScript) { s.read.Reply.Length = 20 }},
		{"other bytes on one replica", "writes", "node cs3, a current replica, has bytes", func(s *cellScript) { s.chunk("cs3", s.bytes).CRC++ }},
		{"bytes cut from one replica", "writes", "node cs2, a current replica, has 0 bytes", func(s *cellScript) { s.chunk("cs2", s.bytes).Handle = 99 }},
		{"a replica of another version", "writes", "at version 7", func(s *cellScript) { s.chunk("cs2", s.bytes).Version = 7 }},
		{"a write applied again after a later one", "writes", "which no order of the writes makes", func(s *cellScript) {
			content := make([]byte, 200)
			for _, w := range []*rundir.Op{s.writes[0], s.writes[2], s.writes[1]} {
				workloads.Payload(content[w.Offset:w.Offset+100], "c", w.Seq)
			}
			for _, m := range threeServers {
				s.chunk(m, s.bytes).CRC = crc32.Checksum(content, castagnoli)
			}
		}},
		{"an order against real time", "writes", "had been acknowledged as version 1 serial 3", func(s *cellScript) {
			s.writes[0].Reply.Serial, s.writes[2].Reply.Serial = 3, 1
		}},
		{"two writes in one place", "writes", "as version 1 serial 1, as", func(s *cellScript) { s.writes[1].Reply.Serial = 1 }},
		{"a write in a chunk that is not there", "writes", "a chunk that the log does not have", func(s *cellScript) { s.writes[1].Reply.Handle = 77 }},

		{"a record that the full read lacks", "full-reads", "not in the full read of /r", func(s *cellScript) { s.full.Reply.Records = s.full.Reply.Records[1:] }},
		{"a record read twice", "full-reads", "returned twice", func(s *cellScript) {
			s.full.Reply.Records = append(s.full.Reply.Records, s.full.Reply.Records[0])
		}},
		{"a record that nobody sent", "full-reads", "never sent", func(s *cellScript) { s.full.Reply.Records[0].Seq = 99 }},
		{"a record with other bytes", "full-reads", "with other bytes than were sent", func(s *cellScript) { s.full.Reply.Records[0].CRC++ }},
		{"a snapshot without what was acknowledged before", "full-reads", "and not in the copy", func(s *cellScript) { s.cut.Reply.Records = s.cut.Reply.Records[:1] }},
		{"a snapshot with what came after", "full-reads", "which was begun after", func(s *cellScript) {
			s.cut.Reply.Records = append(s.cut.Reply.Records, s.full.Reply.Records[2])
		}},
	}
}

// TestCellTampering falsifies what lies in chunks and what chunkservers did.
func TestCellTampering(t *testing.T) {
	for _, checker := range []string{"certificate", "linearizable", "writes", "full-reads", "records", "leases", "replicas", "leaders"} {
		newCellScript(t).wants(checker, rundir.Valid, "")
	}
	for _, c := range slices.Concat(byteTamperings(), replicaTamperings()) {
		t.Run(c.checker+"/"+c.name, func(t *testing.T) {
			s := newCellScript(t)
			c.do(s)
			s.wants(c.checker, rundir.Invalid, c.says)
		})
	}
}
