package meta

import (
	"testing"

	"gfslab/master/meta/metapb"
)

func replaceOf(from, to string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Rename{Rename: &metapb.RenameOp{From: from, To: to, Replace: true}}}
}

// A file takes another one's place in one step, however that one is used; it can be
// brought back as after a delete. Nothing else is replaced, and a refusal changes nothing.
func TestReplace(t *testing.T) {
	w, h := newChunk(t)
	intent := w.do(intentOf(h, 0, "a"), OK)
	w.do(activeOf(h, intent.Index, "a"), OK) // the replaced file is leased
	old, _ := w.s.Stat("/f")
	next := w.do(createOf("/g"), OK)
	w.do(mkdirOf("/d"), OK)
	w.do(createOf("/d/x"), OK)
	for _, x := range []struct {
		from, to string
		want     Code
	}{
		{"/g", "/g", Exists}, {"/g", "/d", Exists}, {"/d", "/g", Exists}, {"/g", "/", Exists}, {"/none", "/f", NotFound},
		{"/g", "/f/x", NotDirectory}, {"/g", "/none/f", NotFound},
	} {
		before, was := w.s.Stat(x.to)
		w.do(replaceOf(x.from, x.to), x.want)
		if now, is := w.s.Stat(x.to); now.ID != before.ID || is != was {
			t.Errorf("%s to %s is refused, and %v became %v", x.from, x.to, before, now)
		}
	}
	cmd := replaceOf("/g", "/f")
	cmd.Client, cmd.Seq = "c", 1
	first := w.do(cmd, OK)
	if again := w.do(cmd, OK); !again.Replayed || again.Id != first.Id || first.Id != next.Id {
		t.Errorf("%v, and repeated %v; want the id %d", first, again, next.Id)
	}
	if s, _ := w.s.Stat("/f"); s.ID != next.Id || len(s.Chunks) != 0 {
		t.Errorf("/f is %v", s)
	}
	if s, code := w.s.Stat("/g"); code != NotFound {
		t.Errorf("/g is %v", s)
	}
	w.do(renameOf("/f", "/g"), OK)
	w.do(undeleteOf("/f", 0), OK)
	if s, _ := w.s.Stat("/f"); s.ID != old.ID || len(s.Chunks) != 1 || s.Chunks[0] != h {
		t.Errorf("brought back: %v, want %v", s, old)
	}
	w.keepNothing()
	w.do(replaceOf("/g", "/f"), OK)
	w.do(undeleteOf("/f", 0), NotFound)
}

// What is replaced counts against quotas until it is removed; a move within one quota
// needs no room.
func TestReplaceWithinQuotas(t *testing.T) {
	w := &world{t: t, s: New()}
	w.do(mkdirOf("/q"), OK)
	w.do(createOf("/q/a"), OK)
	w.do(createOf("/q/b"), OK)
	w.do(createOf("/out"), OK)
	two := uint64(2)
	w.do(setOf(&metapb.SetAttributesOp{Path: "/q", MaxFiles: &two}), OK)
	w.do(replaceOf("/out", "/q/a"), Quota)
	w.do(replaceOf("/q/b", "/q/a"), OK)
	if s, _ := w.s.Stat("/q"); s.UsedFiles != 2 {
		t.Errorf("%d files are counted, want the hidden one too", s.UsedFiles)
	}
}
