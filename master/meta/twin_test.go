package meta

import (
	"path"
	"slices"
	"strings"

	"gfslab/master/meta/metapb"
)

// twin is the same state machine written in the dumbest way: no tree, no parsed
// form, no hash, everything found by scanning.
type twin struct {
	files    map[string]twinFile
	chunks   []*twinChunk
	sessions map[string]twinSession
	handles  uint64
	time     int64
	age      uint64
	limit    int
}

type twinFile struct {
	id  uint64
	dir bool
}

type twinChunk struct {
	handle, fileID      uint64
	slot                uint32
	version, reserved   uint64
	members             []string
	epoch               uint64
	primary             string
	intentIndex, intent uint64
	intentReplicas      []string
}

type twinSession struct {
	seq, last uint64
	offset    uint32
	reply     *metapb.Reply
}

func newTwin(age uint64, limit int) *twin {
	return &twin{files: map[string]twinFile{"/": {id: 1, dir: true}}, sessions: map[string]twinSession{}, age: age, limit: limit}
}

func (t *twin) apply(index uint64, offset uint32, cmd *metapb.Command) *metapb.Reply {
	for name, s := range t.sessions {
		if s.last+t.age < index {
			delete(t.sessions, name)
		}
	}
	if !t.sensible(cmd) {
		return &metapb.Reply{Code: int32(Invalid), Index: index, Offset: offset}
	}
	if cmd.StampNs > t.time {
		t.time = cmd.StampNs
	}
	s, known := t.sessions[cmd.Client]
	if cmd.Client != "" && known && cmd.Seq < s.seq {
		return &metapb.Reply{Code: int32(Stale), Index: index, Offset: offset}
	}
	if cmd.Client != "" && known && cmd.Seq == s.seq {
		return &metapb.Reply{
			Code: s.reply.Code, Handle: s.reply.Handle, Version: s.reply.Version, Id: s.reply.Id,
			Epoch: s.reply.Epoch, Index: s.reply.Index, Offset: s.reply.Offset, Replayed: true,
		}
	}
	r := t.execute(index, offset, cmd)
	r.Index, r.Offset = index, offset
	if cmd.Client != "" {
		if !known && len(t.sessions) == t.limit {
			delete(t.sessions, t.oldest())
		}
		t.sessions[cmd.Client] = twinSession{seq: cmd.Seq, last: index, offset: offset, reply: r}
	}
	return r
}

// oldest is the client whose session was not used for longest.
func (t *twin) oldest() (client string) {
	for name, s := range t.sessions {
		if o := t.sessions[client]; client == "" || s.last < o.last || s.last == o.last && s.offset < o.offset {
			client = name
		}
	}
	return client
}

func clean(p string) bool {
	if path.Clean(p) != p || !path.IsAbs(p) || len(p) > 4096 || strings.Contains(p, "\x00") {
		return false
	}
	return !slices.ContainsFunc(strings.Split(p, "/"), func(name string) bool { return len(name) > 255 })
}

func (t *twin) sensible(cmd *metapb.Command) bool {
	if cmd.Op == nil || cmd.Client != "" && cmd.Seq == 0 || len(cmd.Client) > 255 {
		return false
	}
	distinct := func(names []string) bool {
		sorted := slices.Sorted(slices.Values(names))
		return len(names) > 0 && len(slices.Compact(sorted)) == len(names) && !slices.Contains(names, "")
	}
	switch {
	case cmd.GetCreate() != nil:
		return clean(cmd.GetCreate().Path)
	case cmd.GetMkdir() != nil:
		return clean(cmd.GetMkdir().Path)
	case cmd.GetDelete() != nil:
		return clean(cmd.GetDelete().Path) && cmd.GetDelete().Path != "/"
	case cmd.GetRename() != nil:
		from, to := cmd.GetRename().From, cmd.GetRename().To
		return clean(from) && clean(to) && from != "/" && !strings.HasPrefix(to, from+"/")
	case cmd.GetAllocate() != nil:
		return clean(cmd.GetAllocate().Path)
	case cmd.GetGrantIntent() != nil:
		return distinct(cmd.GetGrantIntent().Replicas)
	case cmd.GetGrantActive() != nil:
		g := cmd.GetGrantActive()
		return distinct(g.Acked) && slices.Contains(g.Acked, g.Primary)
	}
	return cmd.GetLeaseEnd().GetEpoch() != 0
}

func (t *twin) execute(index uint64, offset uint32, cmd *metapb.Command) *metapb.Reply {
	code := func(c Code) *metapb.Reply { return &metapb.Reply{Code: int32(c)} }
	make := func(p string, dir bool) *metapb.Reply {
		if _, there := t.files[p]; there {
			return code(Exists)
		}
		if c := t.parent(p); c != OK {
			return code(c)
		}
		t.files[p] = twinFile{id: index*(1<<20) + uint64(offset), dir: dir}
		return &metapb.Reply{Id: t.files[p].id}
	}
	switch {
	case cmd.GetCreate() != nil:
		return make(cmd.GetCreate().Path, false)
	case cmd.GetMkdir() != nil:
		return make(cmd.GetMkdir().Path, true)
	case cmd.GetDelete() != nil:
		return t.remove(cmd.GetDelete().Path)
	case cmd.GetRename() != nil:
		return t.rename(cmd.GetRename().From, cmd.GetRename().To)
	case cmd.GetAllocate() != nil:
		return t.allocate(cmd.GetAllocate().Path, cmd.GetAllocate().ChunkIndex)
	case cmd.GetGrantIntent() != nil:
		return t.grantIntent(index, cmd.GetGrantIntent())
	case cmd.GetGrantActive() != nil:
		return t.grantActive(index, cmd.GetGrantActive())
	}
	e := cmd.GetLeaseEnd()
	for i, c := range t.chunks {
		if c.handle == e.Handle {
			if c.epoch != e.Epoch {
				return &metapb.Reply{Code: int32(Stale), Handle: c.handle, Version: c.version, Epoch: c.epoch}
			}
			c.epoch, c.primary = 0, ""
			if !t.referenced(c) {
				t.chunks = slices.Delete(t.chunks, i, i+1)
			}
			return &metapb.Reply{Handle: c.handle, Version: c.version}
		}
	}
	return &metapb.Reply{Code: int32(NoChunk), Handle: e.Handle}
}

func (t *twin) parent(p string) Code {
	f, there := t.files[path.Dir(p)]
	switch {
	case !there:
		return NotFound
	case !f.dir:
		return NotDirectory
	}
	return OK
}

func (t *twin) below(p string) []string {
	var names []string
	for name := range t.files {
		if strings.HasPrefix(name, p+"/") {
			names = append(names, name)
		}
	}
	return names
}

func (t *twin) referenced(c *twinChunk) bool {
	for _, f := range t.files {
		if f.id == c.fileID {
			return true
		}
	}
	return false
}

func (t *twin) remove(p string) *metapb.Reply {
	f, there := t.files[p]
	switch {
	case !there:
		return &metapb.Reply{Code: int32(NotFound)}
	case len(t.below(p)) > 0:
		return &metapb.Reply{Code: int32(NotEmpty)}
	}
	delete(t.files, p)
	t.chunks = slices.DeleteFunc(t.chunks, func(c *twinChunk) bool { return c.fileID == f.id && c.epoch == 0 })
	return &metapb.Reply{Id: f.id}
}

func (t *twin) rename(from, to string) *metapb.Reply {
	f, there := t.files[from]
	if !there {
		return &metapb.Reply{Code: int32(NotFound)}
	}
	if _, taken := t.files[to]; taken {
		return &metapb.Reply{Code: int32(Exists)}
	}
	if c := t.parent(to); c != OK {
		return &metapb.Reply{Code: int32(c)}
	}
	for _, name := range append(t.below(from), from) {
		t.files[to+name[len(from):]] = t.files[name]
		delete(t.files, name)
	}
	return &metapb.Reply{Id: f.id}
}

func (t *twin) chunksOf(id uint64) (all []*twinChunk) {
	for _, c := range t.chunks {
		if c.fileID == id {
			all = append(all, c)
		}
	}
	return all
}

func (t *twin) allocate(p string, slot uint32) *metapb.Reply {
	f, there := t.files[p]
	switch {
	case !there:
		return &metapb.Reply{Code: int32(NotFound)}
	case f.dir:
		return &metapb.Reply{Code: int32(IsDirectory)}
	}
	all := t.chunksOf(f.id)
	if int(slot) < len(all) {
		return &metapb.Reply{Code: int32(Exists), Handle: all[slot].handle, Version: all[slot].version}
	}
	if int(slot) > len(all) {
		return &metapb.Reply{Code: int32(Invalid)}
	}
	t.handles++
	t.chunks = append(t.chunks, &twinChunk{handle: t.handles, fileID: f.id, slot: slot})
	return &metapb.Reply{Handle: t.handles}
}

// chunk finds a chunk whose file still exists.
func (t *twin) chunk(handle uint64) *twinChunk {
	for _, c := range t.chunks {
		if c.handle == handle && t.referenced(c) {
			return c
		}
	}
	return nil
}

func (t *twin) grantIntent(index uint64, g *metapb.GrantIntentOp) *metapb.Reply {
	c := t.chunk(g.Handle)
	if c == nil {
		return &metapb.Reply{Code: int32(NoChunk), Handle: g.Handle}
	}
	foreign := slices.ContainsFunc(g.Replicas, func(r string) bool { return !slices.Contains(c.members, r) })
	if c.epoch != 0 && c.epoch != g.Fences || g.ExpectVersion != c.version || c.intentIndex == index || c.version > 0 && foreign {
		return &metapb.Reply{Code: int32(Stale), Handle: c.handle, Version: c.version, Epoch: c.epoch}
	}
	c.reserved++
	c.intentIndex, c.intent, c.intentReplicas = index, c.reserved, g.Replicas
	return &metapb.Reply{Handle: c.handle, Version: c.reserved}
}

func (t *twin) grantActive(index uint64, g *metapb.GrantActiveOp) *metapb.Reply {
	c := t.chunk(g.Handle)
	if c == nil {
		return &metapb.Reply{Code: int32(NoChunk), Handle: g.Handle}
	}
	if c.intentIndex == 0 || c.intentIndex != g.IntentIndex || c.intentIndex == index {
		return &metapb.Reply{Code: int32(Stale), Handle: c.handle, Version: c.version, Epoch: c.epoch}
	}
	for _, name := range g.Acked {
		if !slices.Contains(c.intentReplicas, name) {
			return &metapb.Reply{Code: int32(Invalid), Handle: c.handle, Version: c.version}
		}
	}
	c.version, c.members, c.epoch, c.primary = c.intent, g.Acked, index, g.Primary
	c.intentIndex, c.intent, c.intentReplicas = 0, 0, nil
	return &metapb.Reply{Handle: c.handle, Version: c.version, Epoch: index}
}
