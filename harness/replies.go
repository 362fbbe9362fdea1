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

func mutation(r client.Result[*api.MutationReply]) done {
	d := begin(r)
	if r.Outcome == client.OK {
		d.reply = mutationReply(r.Reply, r.Node)
	}
	return d
}

func mutationReply(m *api.MutationReply, node uint64) *rundir.Reply {
	out := reply(m, node)
	out.Handle, out.Version, out.FileID = m.GetHandle(), m.GetVersion(), m.GetId()
	return out
}

func stat(r client.Result[*api.StatReply]) done {
	d := begin(r)
	if r.Outcome == client.OK {
		d.reply = statReply(r.Reply, r.Node)
	}
	return d
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

func list(r client.Result[*api.ListReply]) done {
	d := begin(r)
	if r.Outcome != client.OK {
		return d
	}
	d.reply = reply(r.Reply, r.Node)
	d.reply.Names, d.reply.Next = r.Reply.GetNames(), r.Reply.GetNext()
	for _, e := range r.Reply.GetEntries() {
		d.reply.Entries = append(d.reply.Entries, rundir.Entry{
			Name: e.GetName(), ID: e.GetId(), Directory: e.GetDirectory(), Chunks: e.GetChunks(), DeletedNS: e.GetDeletedNs(), ExpiresNS: e.GetExpiresNs(),
		})
	}
	return d
}

func usage(r client.Result[*api.UsageReply]) done {
	d := begin(r)
	if r.Outcome == client.OK {
		u := r.Reply
		d.reply = reply(u, r.Node)
		d.reply.Usage = &rundir.Usage{
			Files: u.GetFiles(), Directories: u.GetDirectories(), Chunks: u.GetChunks(), HiddenFiles: u.GetHiddenFiles(), HiddenChunks: u.GetHiddenChunks(),
		}
	}
	return d
}

func chunk(r client.Result[*api.ChunkReply]) done {
	d := begin(r)
	if r.Outcome == client.OK {
		d.reply = chunkReply(r.Reply, r.Node)
	}
	return d
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
