package meta

import (
	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
)

// Apply executes the commands of the entry at index, in order, and returns one
// metapb.Reply for each, encoded. The commands are not kept.
func (s *State) Apply(index uint64, commands [][]byte) (results [][]byte) {
	if index <= s.index {
		panic("meta: entries applied out of order")
	}
	s.expireSessions(index)
	s.index, s.commands = index, uint32(len(commands))
	results = make([][]byte, len(commands))
	for i, raw := range commands {
		results[i] = s.applyOne(position{index, uint32(i)}, raw)
	}
	return results
}

// position is that of a command in the log.
type position struct {
	index  uint64
	offset uint32
}

func (s *State) applyOne(at position, raw []byte) []byte {
	var cmd metapb.Command
	if at.offset >= 1<<offsetBits || proto.Unmarshal(raw, &cmd) != nil || !wellFormed(&cmd) {
		r := reply{code: Invalid, index: at.index, offset: at.offset}
		return r.encode(false)
	}
	s.time = max(s.time, cmd.StampNs)
	if cmd.Client == "" {
		r := s.execute(at, &cmd)
		r.index, r.offset = at.index, at.offset
		return r.encode(false)
	}
	x, found := s.loadSession(cmd.Client)
	if found && cmd.Seq == x.seq {
		return x.reply.encode(true)
	}
	if found && cmd.Seq < x.seq {
		r := reply{code: Stale, index: at.index, offset: at.offset}
		return r.encode(false)
	}
	r := s.execute(at, &cmd)
	r.index, r.offset = at.index, at.offset
	s.storeReply(&x, found, cmd.Client, cmd.Seq, r)
	return r.encode(false)
}

func (s *State) execute(at position, cmd *metapb.Command) reply {
	switch op := cmd.Op.(type) {
	case *metapb.Command_Create:
		return s.create(at, op.Create.Path, false)
	case *metapb.Command_Mkdir:
		return s.create(at, op.Mkdir.Path, true)
	case *metapb.Command_Delete:
		return s.delete(at, op.Delete)
	case *metapb.Command_Rename:
		return s.rename(at, op.Rename)
	case *metapb.Command_Allocate:
		return s.allocate(op.Allocate)
	case *metapb.Command_GrantIntent:
		return s.grantIntent(at, op.GrantIntent)
	case *metapb.Command_GrantActive:
		return s.grantActive(at, op.GrantActive)
	case *metapb.Command_LeaseEnd:
		return s.leaseEnd(op.LeaseEnd)
	case *metapb.Command_Undelete:
		return s.undelete(op.Undelete)
	case *metapb.Command_Purge:
		return s.purge(op.Purge)
	case *metapb.Command_Snapshot:
		return s.snapshot(at, op.Snapshot.From, op.Snapshot.To)
	case *metapb.Command_SetAttributes:
		return s.setAttributes(op.SetAttributes)
	case *metapb.Command_Seal:
		return s.seal(op.Seal)
	case *metapb.Command_CopyBegin:
		return s.copyBegin(op.CopyBegin)
	case *metapb.Command_CopyCommit:
		return s.copyCommit(op.CopyCommit)
	case *metapb.Command_AddMember:
		return s.addMember(op.AddMember)
	case *metapb.Command_RemoveMember:
		return s.removeMember(op.RemoveMember)
	}
	panic("meta: a command passed wellFormed without an operation")
}

// wellFormed reports whether cmd has an operation whose arguments make sense in
// any state at all.
func wellFormed(cmd *metapb.Command) bool {
	if cmd.Client != "" && cmd.Seq == 0 || len(cmd.Client) > MaxClientBytes {
		return false
	}
	switch op := cmd.Op.(type) {
	case *metapb.Command_Create:
		return ValidPath(op.Create.GetPath())
	case *metapb.Command_Mkdir:
		return ValidPath(op.Mkdir.GetPath())
	case *metapb.Command_Delete:
		return ValidPath(op.Delete.GetPath()) && op.Delete.Path != "/"
	case *metapb.Command_Rename:
		return ValidRename(op.Rename.GetFrom(), op.Rename.GetTo())
	case *metapb.Command_Undelete:
		return ValidPath(op.Undelete.GetPath()) && op.Undelete.Path != "/"
	case *metapb.Command_Purge:
		return op.Purge.GetLimit() > 0
	case *metapb.Command_Snapshot:
		return ValidRename(op.Snapshot.GetFrom(), op.Snapshot.GetTo())
	case *metapb.Command_SetAttributes:
		return ValidPath(op.SetAttributes.GetPath()) && validAttributes(op.SetAttributes)
	case *metapb.Command_Allocate:
		return ValidPath(op.Allocate.GetPath()) && (op.Allocate.Kind == int32(Records) || op.Allocate.Kind == int32(Bytes))
	}
	return wellFormedChunk(cmd)
}

// wellFormedChunk is wellFormed for what is done to one chunk.
func wellFormedChunk(cmd *metapb.Command) bool {
	switch op := cmd.Op.(type) {
	case *metapb.Command_GrantIntent:
		return validReplicas(op.GrantIntent.GetReplicas())
	case *metapb.Command_GrantActive:
		acked := op.GrantActive.GetAcked()
		return validReplicas(acked) && contains(acked, op.GrantActive.GetPrimary())
	case *metapb.Command_LeaseEnd:
		return op.LeaseEnd.GetEpoch() != 0
	case *metapb.Command_Seal:
		return op.Seal.GetEpoch() != 0
	case *metapb.Command_CopyBegin:
		return op.CopyBegin.GetHandle() != 0
	case *metapb.Command_CopyCommit:
		members := op.CopyCommit.GetMembers()
		return op.CopyCommit.GetHandle() != 0 && (len(members) == 0 && op.CopyCommit.Version == 0 || validReplicas(members))
	case *metapb.Command_AddMember:
		return validReplicas([]string{op.AddMember.GetServer()})
	case *metapb.Command_RemoveMember:
		return validReplicas([]string{op.RemoveMember.GetServer()})
	}
	return false
}

// validReplicas reports whether names are some different non-empty names.
func validReplicas(names []string) bool {
	for i, name := range names {
		if name == "" || len(name) > MaxNameBytes || contains(names[:i], name) {
			return false
		}
	}
	return len(names) > 0 && len(names) <= maxReplicas
}

// maxReplicas bounds the replicas of one chunk: checking them is quadratic.
const maxReplicas = 64

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}
