package harness

import (
	"gfslab/api"
	"gfslab/client"
	"gfslab/results/rundir"
)

// positioned is what every reply of the master has.
type positioned interface {
	GetCode() api.Code
	GetAt() *api.Position
}

func begin[T any](r client.Result[T]) done {
	return done{outcome: r.Outcome.String(), err: r.Err, attempts: r.Attempts}
}

func reply(p positioned, node uint64) *rundir.Reply {
	return &rundir.Reply{
		Code: p.GetCode().String(), Index: p.GetAt().GetIndex(), Offset: p.GetAt().GetOffset(),
		Term: p.GetAt().GetTerm(), Node: client.NodeName(node),
	}
}

// told is what became of a call, with the reply as the history has it where one
// came.
func told[T any](r client.Result[T], reply func(T, uint64) *rundir.Reply) done {
	d := begin(r)
	if r.Outcome == client.OK {
		d.reply = reply(r.Reply, r.Node)
	}
	return d
}

func mutation(r client.Result[*api.MutationReply]) done { return told(r, mutationReply) }

func stat(r client.Result[*api.StatReply]) done { return told(r, statReply) }

func list(r client.Result[*api.ListReply]) done { return told(r, listReply) }

func usage(r client.Result[*api.UsageReply]) done { return told(r, usageReply) }

func chunk(r client.Result[*api.ChunkReply]) done { return told(r, chunkReply) }

func mutationReply(m *api.MutationReply, node uint64) *rundir.Reply {
	out := reply(m, node)
	out.Handle, out.Version, out.FileID = m.GetHandle(), m.GetVersion(), m.GetId()
	return out
}

func statReply(s *api.StatReply, node uint64) *rundir.Reply {
	out := reply(s, node)
	out.Directory, out.FileID, out.Chunks = s.GetDirectory(), s.GetId(), s.GetChunks()
	for _, d := range s.GetDetails() {
		out.Details = append(out.Details, rundir.ChunkDetail{Handle: d.GetHandle(), Kind: kindName(d.GetKind()), Sealed: d.GetSealed(), Refs: d.GetRefs()})
	}
	out.Own, out.Effective = attributes(s.GetOwn()), attributes(s.GetEffective())
	out.QuotaFiles, out.QuotaChunks = s.GetQuotaFiles(), s.GetQuotaChunks()
	return out
}

// kindName is the history's word for a kind of chunk.
func kindName(k api.ChunkKind) string {
	if k == api.ChunkKind_BYTES {
		return rundir.ChunkOfBytes
	}
	return rundir.ChunkOfRecords
}

func attributes(a *api.Attributes) *rundir.Attributes {
	if a == nil {
		return nil
	}
	return &rundir.Attributes{RetentionNS: a.RetentionNs, Replicas: a.Replicas, MaxFiles: a.MaxFiles, MaxChunks: a.MaxChunks}
}

func setOf(a *rundir.Attributes) *api.Attributes {
	return &api.Attributes{RetentionNs: a.RetentionNS, Replicas: a.Replicas, MaxFiles: a.MaxFiles, MaxChunks: a.MaxChunks}
}

func listReply(l *api.ListReply, node uint64) *rundir.Reply {
	out := reply(l, node)
	out.Names, out.Next = l.GetNames(), l.GetNext()
	for _, e := range l.GetEntries() {
		out.Entries = append(out.Entries, rundir.Entry{
			Name: e.GetName(), ID: e.GetId(), Directory: e.GetDirectory(), Chunks: e.GetChunks(), DeletedNS: e.GetDeletedNs(), ExpiresNS: e.GetExpiresNs(),
		})
	}
	return out
}

func usageReply(u *api.UsageReply, node uint64) *rundir.Reply {
	out := reply(u, node)
	out.Usage = &rundir.Usage{
		Files: u.GetFiles(), Directories: u.GetDirectories(), Chunks: u.GetChunks(), HiddenFiles: u.GetHiddenFiles(), HiddenChunks: u.GetHiddenChunks(),
	}
	return out
}

func chunkReply(c *api.ChunkReply, node uint64) *rundir.Reply {
	out := reply(c, node)
	out.Handle, out.Version, out.Epoch = c.GetHandle(), c.GetVersion(), c.GetEpoch()
	out.Primary, out.Replicas, out.Granted = c.GetPrimary(), c.GetReplicas(), c.GetGranted()
	if c.GetCode() == api.Code_OK {
		out.ChunkKind, out.Sealed, out.Refs = kindName(c.GetKind()), c.GetSealed(), c.GetRefs()
	}
	return out
}
