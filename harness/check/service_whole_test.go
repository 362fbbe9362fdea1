package check

import (
	"math/rand/v2"

	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

// worldOf is what the random commands about shared chunks and hidden files draw
// from: what the service's replies told of.
type worldOf struct {
	hidden []hiddenAt
	copies []copyBegun
	taken  []uint64 // the handles of copies
}

type hiddenAt struct {
	path string
	id   uint64
}

// learn takes note of a reply.
func (w *worldOf) learn(cmd *metapb.Command, reply *metapb.Reply) {
	switch o := cmd.Op.(type) {
	case *metapb.Command_Delete:
		if reply.Code == 0 {
			w.hidden = append(w.hidden, hiddenAt{o.Delete.Path, reply.Id})
		}
	case *metapb.Command_CopyBegin:
		if reply.Code == 0 {
			w.copies = append(w.copies, copyBegun{o.CopyBegin.File, o.CopyBegin.Handle, o.CopyBegin.Slot})
			w.taken = append(w.taken, reply.Handle)
		}
	}
}

// randomWhole draws one of the commands about deletion, attributes, snapshots,
// seals and members.
func randomWhole(rng *rand.Rand, state *meta.State, w *worldOf, path func() string, handle uint64, c meta.Chunk) *metapb.Command {
	cmd := &metapb.Command{StampNs: state.Time() + rng.Int64N(2000) - 200}
	server := []string{"cs1", "cs2", "cs3", "cs4", ""}[rng.IntN(40)/9]
	version := c.Version + uint64(rng.IntN(10)/9)
	where, id := path(), uint64(0)
	if len(w.hidden) > 0 && rng.IntN(3) > 0 {
		h := w.hidden[len(w.hidden)-1-rng.IntN(min(len(w.hidden), 8))]
		if where = h.path; rng.IntN(2) == 0 {
			id = h.id
		}
	}
	switch k := rng.IntN(20); {
	case k < 3:
		cmd.Op = &metapb.Command_Undelete{Undelete: &metapb.UndeleteOp{Path: where, Id: id}}
	case k < 4:
		cmd.Op = &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: where, Id: id}}
	case k < 6:
		cmd.Op = &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: path(), Recursive: true}}
	case k < 8:
		cmd.Op = &metapb.Command_Purge{Purge: &metapb.PurgeOp{Limit: uint32(rng.IntN(5))}}
	case k < 11:
		cmd.Op = &metapb.Command_Snapshot{Snapshot: &metapb.RenameOp{From: path(), To: path()}}
	case k < 13:
		cmd.Op = &metapb.Command_SetAttributes{SetAttributes: randomAttributes(rng, path())}
	case k < 14:
		cmd.Op = &metapb.Command_Seal{Seal: &metapb.SealOp{Handle: handle, Version: version, Epoch: c.Epoch, Length: uint64(rng.IntN(3))}}
	case k < 16:
		info, _ := state.Stat(path())
		begin := &metapb.CopyBeginOp{File: info.ID, Handle: handle}
		if n := len(info.Chunks); n > 0 {
			begin.Slot = uint32(rng.IntN(n))
			begin.Handle = info.Chunks[begin.Slot] + uint64(rng.IntN(10)/9)
		}
		cmd.Op = &metapb.Command_CopyBegin{CopyBegin: begin}
	case k < 17 && len(w.copies) > 0:
		i := len(w.copies) - 1 - rng.IntN(min(3, len(w.copies)))
		b := w.copies[i]
		shared, _ := state.Chunk(b.handle)
		cmd.Op = &metapb.Command_CopyCommit{CopyCommit: &metapb.CopyCommitOp{File: b.file, Slot: b.slot, Handle: b.handle, Copy: w.taken[i],
			Version: shared.Version, Members: shared.Members}}
	case k < 19:
		cmd.Op = &metapb.Command_AddMember{AddMember: &metapb.AddMemberOp{Handle: handle, Version: version, Server: server}}
	default:
		cmd.Op = &metapb.Command_RemoveMember{RemoveMember: &metapb.RemoveMemberOp{Handle: handle, Version: version, Server: server}}
	}
	return cmd
}

func randomAttributes(rng *rand.Rand, path string) *metapb.SetAttributesOp {
	op := &metapb.SetAttributesOp{Path: path}
	if rng.IntN(3) == 0 {
		retention := rng.Int64N(20_000)*int64(rng.IntN(3)) - 1000*int64(rng.IntN(20)/19)
		op.RetentionNs = &retention
	}
	if rng.IntN(3) == 0 {
		replicas := uint32(rng.IntN(70) % 5)
		op.Replicas = &replicas
	}
	if rng.IntN(6) == 0 {
		files := uint64(rng.IntN(12))
		op.MaxFiles = &files
	}
	if rng.IntN(6) == 0 {
		chunks := uint64(rng.IntN(12))
		op.MaxChunks = &chunks
	}
	if rng.IntN(2) == 0 {
		op.Clear = append(op.Clear, []string{"retention", "replicas", "max_files", "max_chunks", "nothing"}[rng.IntN(25)%24%5])
	}
	return op
}
