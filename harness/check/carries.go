package check

import (
	"slices"

	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

// carries reports whether a command is what an operation asked for.
func carries(cmd *metapb.Command, op *rundir.Op) bool {
	switch o := cmd.GetOp().(type) {
	case *metapb.Command_Create:
		return op.Kind == rundir.KindCreate && o.Create.GetPath() == op.Path
	case *metapb.Command_Mkdir:
		return op.Kind == rundir.KindMkdir && o.Mkdir.GetPath() == op.Path
	case *metapb.Command_Delete:
		return op.Kind == rundir.KindDelete && o.Delete.GetPath() == op.Path && o.Delete.GetId() == op.DeletedID && o.Delete.GetRecursive() == op.Recursive
	case *metapb.Command_Undelete:
		return op.Kind == rundir.KindUndelete && o.Undelete.GetPath() == op.Path && o.Undelete.GetId() == op.DeletedID
	case *metapb.Command_Rename:
		return op.Kind == rundir.KindRename && o.Rename.GetFrom() == op.Path && o.Rename.GetTo() == op.Path2 && !o.Rename.GetReplace() // no operation asks for that
	case *metapb.Command_Snapshot:
		return op.Kind == rundir.KindSnapshot && o.Snapshot.GetFrom() == op.Path && o.Snapshot.GetTo() == op.Path2
	case *metapb.Command_SetAttributes:
		return op.Kind == rundir.KindSetAttributes && o.SetAttributes.GetPath() == op.Path && sets(o.SetAttributes, op)
	case *metapb.Command_Allocate:
		return op.Kind == rundir.KindAllocate && o.Allocate.GetPath() == op.Path && o.Allocate.GetChunkIndex() == op.Chunk &&
			kindName(o.Allocate.GetKind()) == kindOr(op.ChunkKind)
	}
	return false
}

// sets reports whether a command sets the attributes that the operation asked for.
func sets(o *metapb.SetAttributesOp, op *rundir.Op) bool {
	want := op.Set
	if want == nil {
		want = &rundir.Attributes{}
	}
	return same(o.RetentionNs, want.RetentionNS) && same(o.Replicas, want.Replicas) && same(o.MaxFiles, want.MaxFiles) &&
		same(o.MaxChunks, want.MaxChunks) && slices.Equal(o.GetClear(), op.Clear)
}

// same compares two values either of which may not be set.
func same[T comparable](a, b *T) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}

// kindName is the name of a kind of chunks in the clients' history.
func kindName(kind int32) string {
	if kind == kindBytes {
		return rundir.ChunkOfBytes
	}
	return rundir.ChunkOfRecords
}

// kindOr is a kind of chunks as an operation names it.
func kindOr(kind string) string {
	if kind == "" {
		return rundir.ChunkOfRecords
	}
	return kind
}
