package sim

import (
	"google.golang.org/protobuf/proto"

	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

// composeTree makes a command about a tree, about what is hidden, or about a chunk
// that several files share.
func (c *client) composeTree(cmd *metapb.Command) {
	r := &c.rng
	switch r.intn(10) {
	case 0:
		cmd.Op = &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: c.directory(), Recursive: true}}
	case 1:
		cmd.Op = &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: c.file(), Id: c.hidden()}}
	case 2:
		cmd.Op = &metapb.Command_Undelete{Undelete: &metapb.UndeleteOp{Path: pickPath(c)}}
	case 3:
		cmd.Op = &metapb.Command_Purge{Purge: &metapb.PurgeOp{Limit: uint32(1 + r.intn(4))}}
	case 4:
		cmd.Op = &metapb.Command_Snapshot{Snapshot: &metapb.RenameOp{From: c.directory(), To: c.directory()}}
	case 5:
		cmd.Op = &metapb.Command_Snapshot{Snapshot: &metapb.RenameOp{From: c.file(), To: c.file()}}
	case 6, 7:
		cmd.Op = &metapb.Command_SetAttributes{SetAttributes: c.attributes()}
	case 8:
		c.composeCopy(cmd)
	case 9:
		c.composeMember(cmd)
	}
}

func pickPath(c *client) string {
	if c.rng.intn(3) == 0 {
		return c.directory()
	}
	return c.file()
}

// hidden is the id of something that is hidden, 0 if nothing is.
func (c *client) hidden() uint64 {
	entries, _, _ := c.w.judge.state.ListPage("/", meta.ListOptions{Hidden: true, Recursive: true, Limit: 8})
	if len(entries) == 0 {
		return 0
	}
	return entries[c.rng.intn(len(entries))].ID
}

func (c *client) attributes() *metapb.SetAttributesOp {
	r, op := &c.rng, &metapb.SetAttributesOp{Path: pickPath(c)}
	switch r.intn(4) {
	case 0:
		op.RetentionNs = proto.Int64(int64(r.intn(3)) * 50 * tick * 1000)
	case 1:
		op.Replicas = proto.Uint32(uint32(1 + r.intn(4)))
	case 2:
		op.Path, op.MaxFiles, op.MaxChunks = c.directory(), proto.Uint64(uint64(r.intn(6))), proto.Uint64(uint64(r.intn(9)))
	case 3:
		op.Clear = []string{"retention", "replicas", "max_files", "max_chunks"}[r.intn(4):]
	}
	return op
}

// composeCopy takes a handle for a private copy of a shared chunk, or puts one
// that may have been taken into its place.
func (c *client) composeCopy(cmd *metapb.Command) {
	s := c.w.judge.state
	op := &metapb.CopyBeginOp{Handle: uint64(1 + c.rng.intn(8))}
	version, members := uint64(0), []string(nil)
	for range 10 {
		info, _ := s.Stat(c.file())
		for slot, handle := range info.Chunks {
			if chunk, _ := s.Chunk(handle); chunk.Refs > 1 {
				op = &metapb.CopyBeginOp{File: info.ID, Slot: uint32(slot), Handle: handle}
				version, members = chunk.Version, chunk.Members
			}
		}
	}
	if c.rng.intn(2) == 0 {
		cmd.Op = &metapb.Command_CopyBegin{CopyBegin: op}
		return
	}
	cmd.Op = &metapb.Command_CopyCommit{CopyCommit: &metapb.CopyCommitOp{
		File: op.File, Slot: op.Slot, Handle: op.Handle, Copy: s.NextHandle() - uint64(1+c.rng.intn(2)), Version: version, Members: members,
	}}
}

// composeMember adds a replica to a chunk, takes one away, or seals it.
func (c *client) composeMember(cmd *metapb.Command) {
	r := &c.rng
	handle := uint64(1 + r.intn(8))
	chunk, _ := c.w.judge.state.Chunk(handle)
	server := []string{"cs1", "cs2", "cs3", "cs4"}[r.intn(4)]
	switch r.intn(3) {
	case 0:
		cmd.Op = &metapb.Command_AddMember{AddMember: &metapb.AddMemberOp{Handle: handle, Version: chunk.Version, Server: server}}
	case 1:
		cmd.Op = &metapb.Command_RemoveMember{RemoveMember: &metapb.RemoveMemberOp{Handle: handle, Version: chunk.Version, Server: server}}
	case 2:
		cmd.Op = &metapb.Command_Seal{Seal: &metapb.SealOp{Handle: handle, Version: chunk.Version, Epoch: max(1, chunk.Epoch), Length: uint64(r.intn(3))}}
	}
}
