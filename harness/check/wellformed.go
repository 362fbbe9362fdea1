package check

import (
	"slices"
	"strings"

	"gfslab/master/meta/metapb"
)

// malformed reports whether a command makes no sense in any state: it is answered
// INVALID and leaves nothing behind, not even a session.
func malformed(cmd *metapb.Command) bool {
	if cmd.GetClient() != "" && cmd.GetSeq() == 0 || len(cmd.GetClient()) > 255 {
		return true
	}
	bad := func(path string) bool {
		_, ok := names(path)
		return !ok
	}
	twoPaths := func(from, to string) bool {
		return bad(from) || bad(to) || from == "/" || strings.HasPrefix(to, from+"/")
	}
	switch o := cmd.GetOp().(type) {
	case *metapb.Command_Create:
		return bad(o.Create.GetPath())
	case *metapb.Command_Mkdir:
		return bad(o.Mkdir.GetPath())
	case *metapb.Command_Delete:
		return bad(o.Delete.GetPath()) || o.Delete.GetPath() == "/"
	case *metapb.Command_Undelete:
		return bad(o.Undelete.GetPath()) || o.Undelete.GetPath() == "/"
	case *metapb.Command_Rename:
		return twoPaths(o.Rename.GetFrom(), o.Rename.GetTo())
	case *metapb.Command_Snapshot:
		return twoPaths(o.Snapshot.GetFrom(), o.Snapshot.GetTo())
	case *metapb.Command_Allocate:
		return bad(o.Allocate.GetPath()) || o.Allocate.GetKind() < 0 || o.Allocate.GetKind() > 1
	case *metapb.Command_SetAttributes:
		return bad(o.SetAttributes.GetPath()) || senseless(o.SetAttributes)
	case *metapb.Command_Purge:
		return o.Purge.GetLimit() == 0
	}
	return malformedForChunk(cmd)
}

// senseless reports whether attributes have values that none can have.
func senseless(o *metapb.SetAttributesOp) bool {
	set := map[string]bool{
		"retention": o.RetentionNs != nil, "replicas": o.Replicas != nil, "max_files": o.MaxFiles != nil, "max_chunks": o.MaxChunks != nil,
	}
	for _, name := range o.GetClear() {
		if also, known := set[name]; !known || also {
			return true // nothing can be both set and cleared
		}
	}
	return len(o.GetClear()) > len(set) || o.RetentionNs != nil && *o.RetentionNs < 0 || o.Replicas != nil && (*o.Replicas < 1 || *o.Replicas > maxReplicas)
}

// maxReplicas bounds the replicas of one chunk.
const maxReplicas = 64

func malformedForChunk(cmd *metapb.Command) bool {
	switch o := cmd.GetOp().(type) {
	case *metapb.Command_GrantIntent:
		return !properNames(o.GrantIntent.GetReplicas())
	case *metapb.Command_GrantActive:
		return !properNames(o.GrantActive.GetAcked()) || !slices.Contains(o.GrantActive.GetAcked(), o.GrantActive.GetPrimary())
	case *metapb.Command_LeaseEnd:
		return o.LeaseEnd.GetEpoch() == 0
	case *metapb.Command_Seal:
		return o.Seal.GetEpoch() == 0
	case *metapb.Command_CopyBegin:
		return o.CopyBegin.GetHandle() == 0
	case *metapb.Command_CopyCommit:
		if c := o.CopyCommit; len(c.GetMembers()) == 0 && c.GetVersion() == 0 {
			return c.GetHandle() == 0 // of a chunk that never had a replica
		}
		return o.CopyCommit.GetHandle() == 0 || !properNames(o.CopyCommit.GetMembers())
	case *metapb.Command_AddMember:
		return !properNames([]string{o.AddMember.GetServer()})
	case *metapb.Command_RemoveMember:
		return !properNames([]string{o.RemoveMember.GetServer()})
	}
	return true
}
