package meta

import (
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
)

type twinChunk struct {
	handle              uint64
	kind                int32
	goal                uint32
	version, reserved   uint64
	members             []string
	epoch               uint64
	primary             string
	intentIndex, intent uint64
	intentReplicas      []string
	sealed              bool
	length              uint64
}

func sensible(cmd *metapb.Command) bool {
	if cmd.Op == nil || cmd.Client != "" && cmd.Seq == 0 || len(cmd.Client) > 255 {
		return false
	}
	distinct := func(names ...string) bool {
		sorted := slices.Sorted(slices.Values(names))
		long := slices.ContainsFunc(names, func(name string) bool { return len(name) > 255 })
		return len(names) > 0 && len(names) <= 64 && len(slices.Compact(sorted)) == len(names) && !slices.Contains(names, "") && !long
	}
	move := func(r *metapb.RenameOp) bool {
		return clean(r.From) && clean(r.To) && r.From != "/" && !strings.HasPrefix(r.To, r.From+"/")
	}
	switch op := cmd.Op.(type) {
	case *metapb.Command_Create:
		return clean(op.Create.Path)
	case *metapb.Command_Mkdir:
		return clean(op.Mkdir.Path)
	case *metapb.Command_Delete:
		return clean(op.Delete.Path) && op.Delete.Path != "/"
	case *metapb.Command_Undelete:
		return clean(op.Undelete.Path) && op.Undelete.Path != "/"
	case *metapb.Command_Purge:
		return op.Purge.Limit != 0
	case *metapb.Command_Rename:
		return move(op.Rename)
	case *metapb.Command_Snapshot:
		return move(op.Snapshot)
	case *metapb.Command_SetAttributes:
		a := op.SetAttributes
		set := map[string]bool{"retention": a.RetentionNs != nil, "replicas": a.Replicas != nil, "max_files": a.MaxFiles != nil, "max_chunks": a.MaxChunks != nil}
		for _, name := range a.Clear {
			if both, known := set[name]; both || !known {
				return false
			}
		}
		return clean(a.Path) && len(a.Clear) <= 4 && a.GetRetentionNs() >= 0 && (a.Replicas == nil || *a.Replicas > 0 && *a.Replicas <= 64)
	case *metapb.Command_Allocate:
		return clean(op.Allocate.Path) && op.Allocate.Kind >= 0 && op.Allocate.Kind <= 1
	case *metapb.Command_GrantIntent:
		return distinct(op.GrantIntent.Replicas...)
	case *metapb.Command_GrantActive:
		return distinct(op.GrantActive.Acked...) && slices.Contains(op.GrantActive.Acked, op.GrantActive.Primary)
	case *metapb.Command_Seal:
		return op.Seal.Epoch != 0
	case *metapb.Command_CopyBegin:
		return op.CopyBegin.Handle != 0
	case *metapb.Command_CopyCommit:
		c := op.CopyCommit
		return c.Handle != 0 && (distinct(c.Members...) || len(c.Members) == 0 && c.Version == 0)
	case *metapb.Command_AddMember:
		return distinct(op.AddMember.Server)
	case *metapb.Command_RemoveMember:
		return distinct(op.RemoveMember.Server)
	}
	return cmd.GetLeaseEnd().GetEpoch() != 0
}

// refs counts the slots that a chunk is in.
func (t *twin) refs(handle uint64) (n uint64) {
	for _, f := range t.nodes {
		for _, h := range f.slots {
			if h == handle {
				n++
			}
		}
	}
	return n
}

// chunk finds a chunk that some file has.
func (t *twin) chunk(handle uint64) *twinChunk {
	for _, c := range t.chunks {
		if c.handle == handle && t.refs(handle) > 0 {
			return c
		}
	}
	return nil
}

// above lists a directory and those above it.
func (t *twin) above(n *twinNode) (all []*twinNode) {
	for ; n != nil; n = t.byID(n.parent) {
		all = append(all, n)
		if n.id == 1 {
			break
		}
	}
	return all
}

// usage counts files and chunks at and below n.
func (t *twin) usage(n *twinNode, hidden bool) (files, chunks uint64) {
	if !n.dir {
		return 1, uint64(len(n.slots))
	}
	for _, child := range t.children(n.id, hidden) {
		f, c := t.usage(child, hidden)
		files, chunks = files+f, chunks+c
	}
	return files, chunks
}

// room reports whether the quotas on dir and above, but not above from too, have
// room for more.
func (t *twin) room(dir *twinNode, files, chunks uint64, from *twinNode) bool {
	var besides []*twinNode
	if from != nil {
		besides = t.above(from)
	}
	for _, n := range t.above(dir) {
		f, c := t.usage(n, true)
		if slices.Contains(besides, n) {
			continue
		}
		if n.own.MaxFiles != nil && files > 0 && f+files > *n.own.MaxFiles || n.own.MaxChunks != nil && chunks > 0 && c+chunks > *n.own.MaxChunks {
			return false
		}
	}
	return true
}

// effective are the attributes that hold for n, the retention always.
func (t *twin) effective(n *twinNode) *metapb.SetAttributesOp {
	e := &metapb.SetAttributesOp{MaxFiles: n.own.MaxFiles, MaxChunks: n.own.MaxChunks}
	for _, a := range t.above(n) {
		if e.RetentionNs == nil {
			e.RetentionNs = a.own.RetentionNs
		}
		if e.Replicas == nil {
			e.Replicas = a.own.Replicas
		}
	}
	if e.RetentionNs == nil {
		e.RetentionNs = proto.Int64(72 * 3600 * 1e9)
	}
	return e
}

func (t *twin) setAttributes(op *metapb.SetAttributesOp) *metapb.Reply {
	n := t.at(op.Path)
	switch {
	case n == nil:
		return answer(NotFound)
	case !n.dir && (op.MaxFiles != nil || op.MaxChunks != nil):
		return answer(NotDirectory)
	}
	before := n.own.GetReplicas()
	for _, name := range op.Clear {
		switch name {
		case "retention":
			n.own.RetentionNs = nil
		case "replicas":
			n.own.Replicas = nil
		case "max_files":
			n.own.MaxFiles = nil
		case "max_chunks":
			n.own.MaxChunks = nil
		}
	}
	set := proto.CloneOf(op)
	set.Path, set.Clear = "", nil
	proto.Merge(&n.own, set)
	if n.own.GetReplicas() != before {
		for _, handle := range n.slots {
			t.chunk(handle).goal = t.effective(n).GetReplicas()
		}
	}
	return &metapb.Reply{Id: n.id}
}

func (t *twin) allocate(op *metapb.AllocateOp) *metapb.Reply {
	n := t.at(op.Path)
	switch {
	case n == nil:
		return answer(NotFound)
	case n.dir:
		return answer(IsDirectory)
	case int(op.ChunkIndex) < len(n.slots):
		c := t.chunk(n.slots[op.ChunkIndex])
		return &metapb.Reply{Code: int32(Exists), Handle: c.handle, Version: c.version}
	case int(op.ChunkIndex) > len(n.slots):
		return answer(Invalid)
	}
	if op.Strict && len(n.slots) > 0 {
		if c := t.chunk(n.slots[len(n.slots)-1]); c.kind == 0 && !c.sealed {
			return &metapb.Reply{Code: int32(NotSealed), Handle: c.handle, Version: c.version}
		}
	}
	if !t.room(t.at(path.Dir(op.Path)), 0, 1, nil) {
		return answer(Quota)
	}
	t.handles++
	t.chunks = append(t.chunks, &twinChunk{handle: t.handles, kind: op.Kind, goal: t.effective(n).GetReplicas()})
	n.slots = append(n.slots, t.handles)
	return &metapb.Reply{Handle: t.handles}
}

func (t *twin) executeChunk(index uint64, cmd *metapb.Command) *metapb.Reply {
	switch op := cmd.Op.(type) {
	case *metapb.Command_CopyBegin:
		return t.copyBegin(op.CopyBegin)
	case *metapb.Command_CopyCommit:
		return t.copyCommit(op.CopyCommit)
	case *metapb.Command_LeaseEnd:
		return t.leaseEnd(op.LeaseEnd)
	}
	handle := cmd.GetGrantIntent().GetHandle() + cmd.GetGrantActive().GetHandle() + cmd.GetSeal().GetHandle() +
		cmd.GetAddMember().GetHandle() + cmd.GetRemoveMember().GetHandle()
	c := t.chunk(handle)
	if c == nil {
		return &metapb.Reply{Code: int32(NoChunk), Handle: handle}
	}
	switch op := cmd.Op.(type) {
	case *metapb.Command_GrantIntent:
		return t.grantIntent(index, c, op.GrantIntent)
	case *metapb.Command_GrantActive:
		return t.grantActive(index, c, op.GrantActive)
	case *metapb.Command_Seal:
		return c.seal(op.Seal)
	case *metapb.Command_AddMember:
		return c.add(op.AddMember)
	}
	return c.remove(cmd.GetRemoveMember())
}
