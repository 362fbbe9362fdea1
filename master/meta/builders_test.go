package meta

import (
	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
)

// Commands, as the tests name them.

func createOf(path string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: path}}}
}

func mkdirOf(path string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: path}}}
}

func deleteOf(path string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: path}}}
}

func deleteAllOf(path string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: path, Recursive: true}}}
}

func expediteOf(path string, id uint64) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: path, Id: id}}}
}

func undeleteOf(path string, id uint64) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Undelete{Undelete: &metapb.UndeleteOp{Path: path, Id: id}}}
}

func purgeOf(limit uint32) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Purge{Purge: &metapb.PurgeOp{Limit: limit}}}
}

func renameOf(from, to string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Rename{Rename: &metapb.RenameOp{From: from, To: to}}}
}

func snapshotOf(from, to string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Snapshot{Snapshot: &metapb.RenameOp{From: from, To: to}}}
}

func allocateOf(path string, slot uint32, kind Kind) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: path, ChunkIndex: slot, Kind: int32(kind)}}}
}

func strictOf(path string, slot uint32) *metapb.Command {
	cmd := allocateOf(path, slot, Records)
	cmd.GetAllocate().Strict = true
	return cmd
}

func setOf(op *metapb.SetAttributesOp) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_SetAttributes{SetAttributes: op}}
}

func retentionOf(path string, ns int64) *metapb.Command {
	return setOf(&metapb.SetAttributesOp{Path: path, RetentionNs: proto.Int64(ns)})
}

func quotaOf(path string, files, chunks uint64) *metapb.Command {
	return setOf(&metapb.SetAttributesOp{Path: path, MaxFiles: proto.Uint64(files), MaxChunks: proto.Uint64(chunks)})
}

func sealOf(handle, version, epoch, length uint64) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Seal{Seal: &metapb.SealOp{Handle: handle, Version: version, Epoch: epoch, Length: length}}}
}

func beginOf(file uint64, slot uint32, handle uint64) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_CopyBegin{CopyBegin: &metapb.CopyBeginOp{File: file, Slot: slot, Handle: handle}}}
}

func commitOf(file uint64, slot uint32, handle, private, version uint64, members ...string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_CopyCommit{CopyCommit: &metapb.CopyCommitOp{
		File: file, Slot: slot, Handle: handle, Copy: private, Version: version, Members: members,
	}}}
}

func addOf(handle, version uint64, server string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_AddMember{AddMember: &metapb.AddMemberOp{Handle: handle, Version: version, Server: server}}}
}

func removeOf(handle, version uint64, server string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_RemoveMember{RemoveMember: &metapb.RemoveMemberOp{Handle: handle, Version: version, Server: server}}}
}

// at stamps a command.
func at(ns int64, cmd *metapb.Command) *metapb.Command {
	cmd.StampNs = ns
	return cmd
}
