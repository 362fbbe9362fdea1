package check

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

// wholeScript is a run with a quota, a snapshot, a private copy, something hidden,
// a purge and looks at all of them.
type wholeScript struct {
	*script
	quota, file, hidden, usage, purged *rundir.Op
}

func newWholeScript(t *testing.T) *wholeScript {
	s := &wholeScript{script: newScript(t)}
	s.mkdir("/d")
	limit, keep := uint64(10), int64(50_000)
	s.mutate(rundir.Op{Kind: rundir.KindSetAttributes, Path: "/d", Set: &rundir.Attributes{MaxFiles: &limit, RetentionNS: &keep}},
		&metapb.Command{Op: &metapb.Command_SetAttributes{SetAttributes: &metapb.SetAttributesOp{Path: "/d", MaxFiles: &limit, RetentionNs: &keep}}})
	s.create("/d/f")
	h := s.allocate("/d/f")
	s.snapshot("/d/f", "/d/g")
	s.file = s.look(rundir.Op{Kind: rundir.KindStat, Path: "/d/f"}, rundir.Reply{FileID: s.idOf("/d/f"), Chunks: []uint64{h},
		Details: []rundir.ChunkDetail{{Handle: h, Kind: rundir.ChunkOfRecords, Refs: 2}}})
	s.create("/d/x")
	gone := s.remove("/d/x")
	s.quota = s.look(rundir.Op{Kind: rundir.KindStat, Path: "/d"}, rundir.Reply{Directory: true, FileID: s.idOf("/d"),
		Own: &rundir.Attributes{MaxFiles: &limit, RetentionNS: &keep}, Effective: &rundir.Attributes{RetentionNS: &keep}, QuotaFiles: 3})
	deleted := s.state.Time()
	s.hidden = s.look(rundir.Op{Kind: rundir.KindList, Path: "/d", Deleted: true}, rundir.Reply{Names: []string{"x"},
		Entries: []rundir.Entry{{Name: "x", ID: gone.Reply.FileID, DeletedNS: deleted, ExpiresNS: deleted + keep}}})
	s.usage = s.look(rundir.Op{Kind: rundir.KindUsage, Path: "/"}, rundir.Reply{Usage: &rundir.Usage{Files: 2, Directories: 1, Chunks: 2, HiddenFiles: 1}})
	s.now += keep
	if r := s.log(&metapb.Command{Op: &metapb.Command_Purge{Purge: &metapb.PurgeOp{Limit: 5}}}); r.Count != 1 {
		t.Fatalf("the purge removed %d", r.Count)
	}
	s.purged = s.look(rundir.Op{Kind: rundir.KindStat, Path: "/d/x", DeletedID: gone.Reply.FileID}, rundir.Reply{Code: "NOT_FOUND"})
	return s
}

func (s *script) idOf(path string) uint64 {
	info, _ := s.state.Stat(path)
	return info.ID
}

// relog changes the last command of a kind in the log, and its reply.
func (s *script) relog(fits func(*metapb.Command) bool, change func(*metapb.Command, *metapb.Reply)) {
	s.t.Helper()
	lines := s.run.Applied["m1"]
	for i := len(lines) - 1; i >= 0; i-- {
		var cmd metapb.Command
		var reply metapb.Reply
		if proto.Unmarshal(lines[i].Command, &cmd) != nil || proto.Unmarshal(lines[i].Reply, &reply) != nil || !fits(&cmd) {
			continue
		}
		change(&cmd, &reply)
		var err, err2 error
		lines[i].Command, err = proto.Marshal(&cmd)
		lines[i].Reply, err2 = proto.Marshal(&reply)
		if err != nil || err2 != nil {
			s.t.Fatal(err, err2)
		}
		return
	}
	s.t.Fatal("no such command in the log")
}

// TestWholeTampering falsifies what a right run says of quotas, references, what is
// hidden and what was purged.
func TestWholeTampering(t *testing.T) {
	newWholeScript(t).wants("certificate", rundir.Valid, "")
	newWholeScript(t).wants("linearizable", rundir.Valid, "")
	purge := func(c *metapb.Command) bool { return c.GetPurge() != nil }
	for _, c := range []struct {
		name, says string
		do         func(s *wholeScript)
	}{
		{"a quota that counts one too many", "4 files against the quota", func(s *wholeScript) { s.quota.Reply.QuotaFiles++ }},
		{"a quota that forgets what is hidden", "2 files against the quota", func(s *wholeScript) { s.quota.Reply.QuotaFiles-- }},
		{"another limit", "own attributes", func(s *wholeScript) { s.quota.Reply.Own.MaxFiles = nil }},
		{"another retention", "a retention of", func(s *wholeScript) { other := int64(1); s.quota.Reply.Effective.RetentionNS = &other }},
		{"a reference not counted", "Refs:1", func(s *wholeScript) { s.file.Reply.Details[0].Refs = 1 }},
		{"a chunk of another kind", "Kind:bytes", func(s *wholeScript) { s.file.Reply.Details[0].Kind = rundir.ChunkOfBytes }},
		{"something hidden for a shorter time", "kept until", func(s *wholeScript) { s.hidden.Reply.Entries[0].ExpiresNS-- }},
		{"something hidden under another id", "hidden under id", func(s *wholeScript) { s.hidden.Reply.Entries[0].ID++ }},
		{"something hidden that is not told", "names []", func(s *wholeScript) { s.hidden.Reply.Names, s.hidden.Reply.Entries = nil, nil }},
		{"usage that counts the directory itself", "Directories:2", func(s *wholeScript) { s.usage.Reply.Usage.Directories++ }},
		{"usage without what is hidden", "HiddenFiles:0", func(s *wholeScript) { s.usage.Reply.Usage.HiddenFiles = 0 }},
		{"a purge that removed nothing", "a purge of up to 5", func(s *wholeScript) {
			s.relog(purge, func(_ *metapb.Command, r *metapb.Reply) { r.Count = 0 })
		}},
		{"a purge before its time", "0 are due by the log's time", func(s *wholeScript) {
			s.relog(purge, func(c *metapb.Command, _ *metapb.Reply) { c.StampNs -= 50_000 })
		}},
		{"what was purged is there again", "code OK", func(s *wholeScript) { s.purged.Reply.Code = codeOK }},
		{"a snapshot with the id of its source", "was given before", func(s *wholeScript) {
			s.relog(func(c *metapb.Command) bool { return c.GetSnapshot() != nil }, func(_ *metapb.Command, r *metapb.Reply) { r.Id = s.idOf("/d/f") })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newWholeScript(t)
			c.do(s)
			s.wants("certificate", rundir.Invalid, c.says)
		})
	}
}

// TestLinearizableWhole judges histories of deletion and snapshots by the clients'
// view alone.
func TestLinearizableWhole(t *testing.T) {
	for _, c := range []struct {
		name, verdict string
		do            func(s *script)
	}{
		{"undelete brings back what was deleted", rundir.Valid, func(s *script) {
			made := s.create("/d/f").Reply.FileID
			s.remove("/d/f")
			s.mutate(rundir.Op{Kind: rundir.KindUndelete, Path: "/d/f"}, &metapb.Command{Op: &metapb.Command_Undelete{Undelete: &metapb.UndeleteOp{Path: "/d/f"}}})
			s.look(rundir.Op{Kind: rundir.KindStat, Path: "/d/f"}, rundir.Reply{FileID: made})
		}},
		{"undelete brings back another file", rundir.Invalid, func(s *script) {
			made := s.create("/d/f").Reply.FileID
			s.remove("/d/f")
			s.mutate(rundir.Op{Kind: rundir.KindUndelete, Path: "/d/f"}, &metapb.Command{Op: &metapb.Command_Undelete{Undelete: &metapb.UndeleteOp{Path: "/d/f"}}})
			s.look(rundir.Op{Kind: rundir.KindStat, Path: "/d/f"}, rundir.Reply{FileID: made + 1})
		}},
		{"a second delete does not clobber the first", rundir.Valid, func(s *script) {
			first := s.create("/d/f").Reply.FileID
			s.remove("/d/f")
			s.create("/d/f")
			s.remove("/d/f")
			s.mutate(rundir.Op{Kind: rundir.KindUndelete, Path: "/d/f", DeletedID: first}, &metapb.Command{Op: &metapb.Command_Undelete{Undelete: &metapb.UndeleteOp{Path: "/d/f", Id: first}}})
			s.look(rundir.Op{Kind: rundir.KindStat, Path: "/d/f"}, rundir.Reply{FileID: first})
		}},
		{"a snapshot has what was there", rundir.Valid, func(s *script) {
			s.create("/d/f")
			s.snapshot("/d", "/e")
			s.look(rundir.Op{Kind: rundir.KindList, Path: "/e"}, rundir.Reply{Names: []string{"f"}})
		}},
		{"a snapshot has what came later", rundir.Invalid, func(s *script) {
			s.snapshot("/d", "/e")
			s.create("/d/f")
			s.look(rundir.Op{Kind: rundir.KindList, Path: "/e"}, rundir.Reply{Names: []string{"f"}})
		}},
		{"what is deleted is listed no more", rundir.Invalid, func(s *script) {
			s.create("/d/f")
			s.remove("/d/f")
			s.look(rundir.Op{Kind: rundir.KindList, Path: "/d"}, rundir.Reply{Names: []string{"f"}})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(t)
			s.mkdir("/d")
			c.do(s)
			s.wants("linearizable", c.verdict, "")
		})
	}
}
