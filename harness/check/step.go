package check

import (
	"fmt"

	"gfslab/master/meta/metapb"
)

// step applies one command. What the service is free to choose (ids, handles,
// versions) is taken from the reply and held to be new.
func (r *replay) step(at position, cmd *metapb.Command, reply *metapb.Reply) (want answer, trouble string) {
	switch o := cmd.GetOp().(type) {
	case *metapb.Command_Create:
		n, why := r.root.create(o.Create.GetPath(), false)
		return r.made(at, n, why, reply)
	case *metapb.Command_Mkdir:
		n, why := r.root.create(o.Mkdir.GetPath(), true)
		return r.made(at, n, why, reply)
	case *metapb.Command_Snapshot:
		n, why, entries := r.snapshot(o.Snapshot)
		want, trouble = r.made(at, n, why, reply)
		if n != nil && trouble == "" && reply.GetCount() != entries {
			trouble = fmt.Sprintf("a snapshot says that it touched %d entries; there are %d", reply.GetCount(), entries)
		}
		return want, trouble
	case *metapb.Command_Delete:
		return r.moved(r.remove(at, o.Delete))(at, reply)
	case *metapb.Command_Undelete:
		return r.moved(r.undelete(o.Undelete))(at, reply)
	case *metapb.Command_Rename:
		return r.moved(r.rename(at, o.Rename))(at, reply)
	case *metapb.Command_SetAttributes:
		return r.moved(r.setAttributes(o.SetAttributes))(at, reply)
	case *metapb.Command_Purge:
		return r.purge(o.Purge.GetLimit(), reply.GetCount())
	case *metapb.Command_Allocate:
		return r.allocate(at, o.Allocate, reply)
	}
	return r.stepChunk(at, cmd, reply)
}

// stepChunk applies a command about one chunk.
func (r *replay) stepChunk(at position, cmd *metapb.Command, reply *metapb.Reply) (want answer, trouble string) {
	switch o := cmd.GetOp().(type) {
	case *metapb.Command_GrantIntent:
		return r.book.intend(at, o.GrantIntent, reply.GetVersion())
	case *metapb.Command_GrantActive:
		a, g := r.book.activate(at, o.GrantActive)
		if g != nil {
			r.grants = append(r.grants, *g)
		}
		return a, ""
	case *metapb.Command_LeaseEnd:
		return r.book.end(o.LeaseEnd), ""
	case *metapb.Command_Seal:
		return r.book.seal(o.Seal), ""
	case *metapb.Command_CopyBegin:
		return r.copyBegin(at, o.CopyBegin, reply.GetHandle())
	case *metapb.Command_CopyCommit:
		return r.copyCommit(o.CopyCommit), ""
	case *metapb.Command_AddMember:
		want = r.book.addMember(o.AddMember)
		if want.codes == nil {
			r.joined = append(r.joined, joining{at, o.AddMember.GetHandle(), o.AddMember.GetVersion(), o.AddMember.GetServer()})
		}
		return want, ""
	case *metapb.Command_RemoveMember:
		return r.book.removeMember(o.RemoveMember), ""
	}
	return answer{codes: codes{"INVALID"}}, ""
}

// made judges the reply to a command that made a file or directory.
func (r *replay) made(at position, n *inode, why codes, reply *metapb.Reply) (answer, string) {
	if n == nil {
		return answer{codes: why}, ""
	}
	return answer{}, r.learn(at, n, reply.GetId())
}

// moved judges the reply to a command that changed one that was there.
func (r *replay) moved(n *inode, why codes) func(position, *metapb.Reply) (answer, string) {
	return func(at position, reply *metapb.Reply) (answer, string) {
		switch {
		case n == nil:
			return answer{codes: why}, ""
		case n.id == 0 && n != r.root:
			return answer{}, r.learn(at, n, reply.GetId())
		}
		return answer{id: known(n.id)}, ""
	}
}

// learn gives a node the id that a reply tells for the first time.
func (r *replay) learn(at position, n *inode, id uint64) string {
	n.id = id
	if before, used := r.ids[id]; used && id != 0 {
		return fmt.Sprintf("id %d was given before, at index %d offset %d", id, before.index, before.offset)
	}
	r.ids[id] = at
	r.byID[id] = n
	return ""
}

func (r *replay) allocate(at position, o *metapb.AllocateOp, reply *metapb.Reply) (answer, string) {
	n, why := r.root.lookup(o.GetPath())
	index := int(o.GetChunkIndex())
	switch {
	case n == nil:
		return answer{codes: why}, ""
	case n.dir:
		return answer{codes: codes{"IS_DIRECTORY"}}, ""
	case index < len(n.chunks):
		want := answer{codes: codes{"EXISTS"}, handle: fixed(n.chunks[index])}
		// Two files may hold one handle in a log that has been blamed for it.
		if c := r.book.chunks[n.chunks[index]]; c != nil {
			want.version = fixed(c.version)
		}
		return want, ""
	case index > len(n.chunks):
		return answer{codes: codes{"INVALID"}}, ""
	}
	why = nil
	if index > 0 && o.GetStrict() {
		if last := r.book.chunks[n.chunks[index-1]]; last != nil && last.kind == kindRecords && !last.sealed {
			why = append(why, "NOT_SEALED")
		}
	}
	if n.parent.full(0, 1, nil) {
		why = append(why, "QUOTA")
	}
	if why != nil {
		return answer{codes: why}, ""
	}
	h := reply.GetHandle()
	n.chunks = append(n.chunks, h)
	n.count(0, 1)
	trouble := r.newHandle(at, h)
	c := &chunkFacts{handle: h, refs: 1, kind: o.GetKind(), goal: n.goal()}
	r.book.chunks[h] = c
	r.book.note(c)
	r.slots[h], r.owners[h] = o.GetChunkIndex(), n
	return answer{}, trouble
}

// The kinds of chunks.
const (
	kindRecords = 0
	kindBytes   = 1
)
