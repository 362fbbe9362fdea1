package check

import (
	"slices"
	"testing"
	"time"

	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

func replicaTamperings() []cellTampering {
	mutated := func(s *cellScript, node string, serial uint64) *rundir.LeaseEvent {
		i := slices.IndexFunc(s.run.Leases[node], func(e rundir.LeaseEvent) bool {
			return e.Kind == rundir.LeaseMutate && e.Handle == s.bytes && e.Serial == serial
		})
		return &s.run.Leases[node][i]
	}
	return []cellTampering{
		{"a version that nobody reserved", "replicas", "which the log never reserved", func(s *cellScript) { s.eventOf("cs2", rundir.LeasePrepare, s.records).Version = 9 }},
		{"a version taken before the log reserved it", "replicas", "before the log reserved it", func(s *cellScript) { s.eventOf("cs2", rundir.LeasePrepare, s.records).At = 1 }},
		{"a version granted before it was taken", "leases", "never made durable", func(s *cellScript) { s.forget("cs2", rundir.LeaseMutate, s.records) }},
		{"an older version served than was asked for", "replicas", "asked for version 2", func(s *cellScript) { s.eventOf("cs2", rundir.LeaseServe, s.bytes).Wanted = 2 }},
		{"a master of an earlier term obeyed", "replicas", "obeyed a master of term 1", func(s *cellScript) { s.eventOf("cs3", rundir.LeasePrepare, s.own).Term = 5 }},
		{"a clone from one that never had the chunk", "replicas", "where it came from, had version 0", func(s *cellScript) { s.eventOf("cs3", rundir.LeaseClone, s.bytes).Source = "cs3" }},
		{"a replica ordered away before enough others are known", "replicas", "[cs1 cs2] of [cs1 cs2] could be known to have version 2, and 3 had to", func(s *cellScript) {
			s.order(rundir.ReplicaRemove, s.own, "cs3")
		}},
		{"a corrupt replica ordered away with all others silent", "replicas", "[] of [cs1 cs2] could be known to have version 2, and 1 had to", func(s *cellScript) {
			s.run.Manifest.Plan.DeadAfter = 1000
			s.now += int64(time.Second)
			s.run.Faults = []rundir.Fault{{Name: "crash-two-chunkservers", Node: "cs1", Nodes: []string{"cs1", "cs2"}, Inject: 1, InForce: 2, Heal: -1}}
			s.event("cs3", rundir.LeaseCorrupt, rundir.LeaseEvent{Handle: s.own, Version: 2})
			s.order(rundir.ReplicaRemove, s.own, "cs3")
		}},
		{"a write that waits too long for a new primary", "leases", "a chunk has to be writable again within 1000102000 ns", func(s *cellScript) {
			s.run.Manifest.Plan.Tier, s.run.Manifest.Plan.DeadAfter, s.run.Manifest.Plan.LeaseTerm = "virtual", 1000, 100_000
			s.run.Faults = []rundir.Fault{{Name: "crash-primary", Node: "cs1", Inject: 1, InForce: 2, Heal: -1}}
			s.writes[1].End = s.writes[1].Start + 1000102001
		}},
		{"a current replica deleted", "replicas", "a current one by the log", func(s *cellScript) {
			s.event("cs2", rundir.LeaseDelete, rundir.LeaseEvent{Handle: s.bytes, Version: 1})
		}},
		{"the last good replica deleted", "replicas", "no other good one", func(s *cellScript) {
			for _, m := range []string{"cs1", "cs2"} {
				s.run.Leases[m] = slices.DeleteFunc(s.run.Leases[m], func(e rundir.LeaseEvent) bool { return e.Handle == s.own })
			}
		}},
		{"a member that never cloned", "replicas", "which it had not cloned or copied by then", func(s *cellScript) { s.forget("cs3", rundir.LeaseClone, s.bytes) }},
		{"a private copy never made", "replicas", "which it had not cloned or copied by then", func(s *cellScript) { s.forget("cs2", rundir.LeaseCopy, s.own) }},
		{"a clone of another version", "replicas", "which it had not cloned or copied by then", func(s *cellScript) { s.eventOf("cs3", rundir.LeaseClone, s.bytes).Version = 0 }},
		{"a mutation after the clone", "replicas", "mutations were accepted after it had copied", func(s *cellScript) {
			s.eventOf("cs3", rundir.LeaseClone, s.bytes).At = s.writes[1].Start
		}},
		{"one serial at two places", "replicas", "is at offset", func(s *cellScript) { mutated(s, "cs2", 2).Offset++ }},
		{"two serials in another order", "replicas", "durable at", func(s *cellScript) {
			a, b := mutated(s, "cs2", 1), mutated(s, "cs2", 2)
			a.Serial, b.Serial, a.Offset, b.Offset = b.Serial, a.Serial, b.Offset, a.Offset
		}},
		{"a mutation of a shared chunk", "replicas", "while 2 files shared it", func(s *cellScript) {
			snap := s.run.Ops[slices.IndexFunc(s.run.Ops, func(op rundir.Op) bool { return op.Kind == rundir.KindSnapshot })]
			s.eventOf("cs1", rundir.LeaseAccept, s.records).At = snap.End
		}},
		{"a client shown an older version than before", "replicas", "had used version 2", func(s *cellScript) {
			before := *s.read
			reply := *s.read.Reply
			before.Reply = &reply
			after := before
			before.Start, before.End, reply.Handle, reply.Version = s.now-4, s.now-3, s.own, 2
			old := reply
			after.Start, after.End, after.Reply, old.Version = s.now-2, s.now-1, &old, 1
			s.run.Ops = append(s.run.Ops, before, after)
		}},
		{"corrupt bytes on a current replica", "replicas", "do not match their checksum", func(s *cellScript) { s.chunk("cs1", s.bytes).Corrupt = true }},
		{"garbage left", "replicas", "which no file has", func(s *cellScript) {
			s.run.Counters.Waited = []string{rundir.WaitedGarbage}
			s.run.Chunks["cs1"] = append(s.run.Chunks["cs1"], rundir.Chunk{Handle: 99, Version: 1, Kind: rundir.ChunkBlock})
		}},
		{"an empty replica left", "replicas", "node cs1 still has chunk 99 version 1, which no file has", func(s *cellScript) {
			s.run.Counters.Waited = []string{rundir.WaitedGarbage}
			s.run.Chunks["cs1"] = append(s.run.Chunks["cs1"], rundir.Chunk{Handle: 99, Version: 1, Kind: rundir.ChunkEmpty})
		}},
		{"a replica left that is current no more", "replicas", "the current replicas are", func(s *cellScript) {
			s.run.Counters.Waited = []string{rundir.WaitedGarbage}
			s.run.Chunks["cs3"] = append(s.run.Chunks["cs3"], rundir.Chunk{Handle: s.own, Version: 2, Kind: rundir.ChunkBlock})
		}},
		{"too few replicas", "replicas", "and 3 are its goal", func(s *cellScript) { s.run.Counters.Waited = []string{rundir.WaitedReplicas} }},
		{"a clone ordered before the leader is warm", "replicas", "did not know the replicas yet", func(s *cellScript) {
			s.run.Replicas = map[string][]rundir.ReplicaEvent{"m1": {{At: 5, Node: "m1", Term: 1, Kind: rundir.ReplicaClone, Handle: 99, Server: "cs3"}}}
		}},
		{"a current replica ordered away", "replicas", "remove its replica of chunk 1", func(s *cellScript) {
			s.run.Replicas = map[string][]rundir.ReplicaEvent{"m1": {{At: 5, Node: "m1", Term: 1, Kind: rundir.ReplicaWarm},
				{At: s.now, Node: "m1", Term: 1, Kind: rundir.ReplicaRemove, Handle: s.bytes, Server: "cs3"}}}
		}},
		{"two masters at work in one term", "replicas", "works on replicas as leader of term 1", func(s *cellScript) {
			s.run.Replicas = map[string][]rundir.ReplicaEvent{"m1": {{At: 5, Node: "m1", Term: 1, Kind: rundir.ReplicaWarm}}, "m2": {{At: 6, Node: "m2", Term: 1, Kind: rundir.ReplicaWarm}}}
		}},
		{"two leaders of one term", "leaders", "answered as leader of term 1", func(s *cellScript) { s.run.Ops[0].Reply.Node = "m2" }},
		{"a leader that answers before it has all", "leaders", "before it had what node m1 acknowledged", func(s *cellScript) {
			s.look(rundir.Op{Kind: rundir.KindStat, Path: "/"}, rundir.Reply{Directory: true, FileID: 1})
			op := &s.run.Ops[len(s.run.Ops)-1]
			op.Reply.Term, op.Reply.Index, op.Reply.Node = 2, 3, "m2"
		}},
	}
}

// order has the leading master order something about a replica.
func (s *script) order(kind string, handle uint64, server string) {
	s.now++
	s.run.Replicas = map[string][]rundir.ReplicaEvent{"m1": {{At: 5, Node: "m1", Term: 1, Kind: rundir.ReplicaWarm},
		{At: s.now, Node: "m1", Term: 1, Kind: kind, Handle: handle, Server: server}}}
}

// TestEnoughKnown: a replica may be ordered away where as many others as the goal
// says are known, and a corrupt one where one is, that fell silent only just now.
func TestEnoughKnown(t *testing.T) {
	s := newCellScript(t)
	s.run.Manifest.Plan.Replication = 2
	s.order(rundir.ReplicaRemove, s.own, "cs3")
	s.wants("replicas", rundir.Valid, "")
	s = newCellScript(t)
	s.run.Faults = []rundir.Fault{{Name: "power-loss", Node: "m1", Nodes: threeServers, Inject: s.now - 2, InForce: s.now - 1, Heal: -1}}
	s.event("cs3", rundir.LeaseCorrupt, rundir.LeaseEvent{Handle: s.own, Version: 2})
	s.order(rundir.ReplicaRemove, s.own, "cs3")
	s.wants("replicas", rundir.Valid, "")
}

// TestSameOffset: a primary that is cut off writes alone, and in vain, where an
// acknowledged write of its version lies. The serial tells the two apart.
func TestSameOffset(t *testing.T) {
	for serial, want := range map[uint64]string{9: rundir.Valid, 1: rundir.Invalid} {
		s := newCellScript(t)
		says := ""
		if serial == 1 {
			says = "after node cs1 had accepted one under version 2"
		}
		s.grant(s.bytes, "cs1", "cs2", "cs3")
		s.mutation(rundir.Op{Kind: rundir.KindWrite, Path: "/b", Offset: 0, Length: 100}, s.bytes, 1, 0)
		s.end(s.bytes)
		late := rundir.LeaseEvent{Handle: s.bytes, Version: 1, Serial: serial, Offset: 0}
		s.event("cs4", rundir.LeaseMutate, late)
		s.wants("leases", want, says)
	}
}

// TestSeals: what a primary padded is on all replicas before the log seals it.
func TestSeals(t *testing.T) {
	for late, want := range map[bool]string{true: rundir.Invalid, false: rundir.Valid} {
		s := newScript(t)
		s.run.Manifest.Plan.Strict = true
		s.create("/r")
		handle := s.allocate("/r")
		g := s.grant(handle, threeServers...)
		pad := rundir.LeaseEvent{Handle: handle, Version: g.Version, Epoch: g.Epoch, Serial: 1, Offset: 100}
		says := ""
		for _, m := range threeServers {
			s.event(m, rundir.LeaseMutate, pad)
		}
		if !late {
			s.event("cs1", rundir.LeaseAccept, pad)
		}
		if r := s.log(&metapb.Command{Op: &metapb.Command_Seal{Seal: &metapb.SealOp{Handle: handle, Version: g.Version, Epoch: g.Epoch, Length: simChunk}}}); r.Code != 0 {
			t.Fatal(r)
		}
		if late {
			s.event("cs1", rundir.LeaseAccept, pad)
			says = "before its pad at offset 100"
		}
		s.wants("replicas", want, says)
	}
}

// TestStrictOrder appends to the second chunk of a file and then to the first one:
// where chunks are sealed before the next is used, that cannot be.
func TestStrictOrder(t *testing.T) {
	for strict, want := range map[bool]string{true: rundir.Invalid, false: rundir.Valid} {
		s := newScript(t)
		s.run.Manifest.Plan.Strict = strict
		s.create("/r")
		first := s.allocate("/r")
		second := s.mutate(rundir.Op{Kind: rundir.KindAllocate, Path: "/r", Chunk: 1},
			&metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: "/r", ChunkIndex: 1}}}).Reply.Handle
		for _, h := range []uint64{second, first} {
			s.grant(h, threeServers...)
			s.mutation(rundir.Op{Kind: rundir.KindAppend, Path: "/r", Length: 50}, h, 1, 0)
		}
		says := ""
		if strict {
			says = "(index 1) at offset 0 before it began"
		}
		s.wants("replicas", want, says)
	}
}
