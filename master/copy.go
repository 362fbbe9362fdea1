package master

import (
	"context"
	"sync"
	"time"

	"gfslab/api"
	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

// copyCalls bounds, in CallTimeouts, how long chunkservers may take to copy a
// chunk on their own disks.
const copyCalls = 8

// copyOnWrite puts a private copy into the path's slot in the place of a chunk
// that a snapshot shares: each living member copies it on its own disk, and those
// that did are the copy's members. Nobody can change the shared chunk meanwhile:
// it is not granted, and had no lease when it became shared.
//
// The reply is nil if the file is to be looked at again, as when the copy is in
// place; else it says why there is none.
func (m *Master) copyOnWrite(ctx context.Context, term uint64, path string, slot uint32, c meta.Chunk) (*api.ChunkReply, error) {
	var file meta.Info
	m.machine.view(func(s *meta.State) { file, _ = s.Stat(path) })
	begun, err := m.propose(ctx, &metapb.Command{Op: &metapb.Command_CopyBegin{CopyBegin: &metapb.CopyBeginOp{
		File: file.ID, Slot: slot, Handle: c.Handle,
	}}})
	switch {
	case err != nil:
		return nil, err
	case meta.Code(begun.Code) == meta.Sealed:
		return m.refusal(term, c.Handle, meta.Sealed), nil
	case meta.Code(begun.Code) != meta.OK:
		return nil, nil
	}
	m.leases.copyBegins(begun.Handle)
	defer m.leases.copyEnds(begun.Handle)
	c.Version = begun.Version // which the members are asked for, and the commit insists on
	m.observe("copy-begin", term, c.Handle, c.Version, 0, "", time.Time{})

	members, err := m.copyAtMembers(ctx, term, c, begun.Handle)
	if err != nil {
		return nil, err
	}
	if len(members) == 0 && c.Version != 0 {
		return m.refusal(term, c.Handle, meta.NoChunkserver), nil
	}
	m.servers.acked(members, begun.Handle, c.Version)
	commit, err := m.propose(ctx, &metapb.Command{Op: &metapb.Command_CopyCommit{CopyCommit: &metapb.CopyCommitOp{
		File: file.ID, Slot: slot, Handle: c.Handle, Copy: begun.Handle, Version: c.Version, Members: members,
	}}})
	if err != nil {
		return nil, err
	}
	if meta.Code(commit.Code) == meta.OK {
		m.observe("copy-commit", term, begun.Handle, c.Version, 0, "", time.Time{})
	}
	return nil, nil
}

// copyAtMembers has the chunk copied and returns who did it, in the order of the
// members. A chunk that was never granted has none.
func (m *Master) copyAtMembers(ctx context.Context, term uint64, c meta.Chunk, to uint64) ([]string, error) {
	if c.Version == 0 {
		return nil, nil
	}
	living, err := m.servers.living(ctx, c.Members)
	if err != nil {
		return nil, err
	}
	ok := make([]bool, len(living))
	var wg sync.WaitGroup
	for i, name := range living {
		wg.Go(func() {
			ok[i] = m.copyAt(ctx, name, &api.CopyChunkRequest{From: c.Handle, Version: c.Version, Term: term, To: to})
		})
	}
	wg.Wait()
	var members []string
	for i, name := range living {
		if ok[i] {
			members = append(members, name)
			m.observe("copy", term, to, c.Version, 0, name, time.Time{})
		}
	}
	return members, ctx.Err()
}

func (m *Master) copyAt(ctx context.Context, name string, request *api.CopyChunkRequest) bool {
	client, err := m.servers.client(name)
	if err != nil {
		m.o.Logger.Debug("chunkserver cannot be called", "chunkserver", name, "error", err)
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, copyCalls*m.o.CallTimeout)
	defer cancel()
	reply, err := client.CopyChunk(ctx, request)
	if err != nil || reply.Code != api.Code_OK {
		m.o.Logger.Warn("a chunk was not copied", "chunkserver", name, "from", request.From, "to", request.To, "reply", reply, "error", err)
		return false
	}
	return true
}
