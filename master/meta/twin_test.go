package meta

import (
	"cmp"
	"encoding/binary"
	"math"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
)

// twin is the same state machine written in the dumbest way: no tree, no parsed
// form, no hash, no counter; everything is found by scanning.
type twin struct {
	nodes    []*twinNode
	chunks   []*twinChunk // those of files, and those kept for a lease
	copies   map[uint64]twinCopy
	sessions map[string]twinSession
	handles  uint64
	copied   uint64
	time     int64
	age      uint64
	limit    int
}

// twinNode is a file or directory; its slots are a file's chunks.
type twinNode struct {
	id, parent       uint64
	name             string
	dir              bool
	slots            []uint64
	hidden, doomed   bool
	at               uint64
	deleted, expires int64
	own              metapb.SetAttributesOp // what is set
}

type twinCopy struct {
	file   uint64
	slot   uint32
	handle uint64
}

type twinSession struct {
	seq, last uint64
	offset    uint32
	reply     *metapb.Reply
}

func newTwin(age uint64, limit int) *twin {
	return &twin{nodes: []*twinNode{{id: 1, dir: true}}, copies: map[uint64]twinCopy{}, sessions: map[string]twinSession{}, age: age, limit: limit}
}

func answer(c Code) *metapb.Reply { return &metapb.Reply{Code: int32(c)} }

func (t *twin) apply(index uint64, offset uint32, cmd *metapb.Command) *metapb.Reply {
	for name, s := range t.sessions {
		if s.last+t.age < index {
			delete(t.sessions, name)
		}
	}
	if !sensible(cmd) {
		return &metapb.Reply{Code: int32(Invalid), Index: index, Offset: offset}
	}
	t.time = max(t.time, cmd.StampNs)
	s, known := t.sessions[cmd.Client]
	if cmd.Client != "" && known && cmd.Seq < s.seq {
		return &metapb.Reply{Code: int32(Stale), Index: index, Offset: offset}
	}
	if cmd.Client != "" && known && cmd.Seq == s.seq {
		again := proto.CloneOf(s.reply)
		again.Replayed = true
		return again
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

func (t *twin) execute(index uint64, offset uint32, cmd *metapb.Command) *metapb.Reply {
	id := index*(1<<20) + uint64(offset)
	switch op := cmd.Op.(type) {
	case *metapb.Command_Create:
		return t.create(id, op.Create.Path, false)
	case *metapb.Command_Mkdir:
		return t.create(id, op.Mkdir.Path, true)
	case *metapb.Command_Delete:
		return t.remove(id, op.Delete)
	case *metapb.Command_Undelete:
		return t.undelete(op.Undelete)
	case *metapb.Command_Purge:
		return t.purge(int(op.Purge.Limit))
	case *metapb.Command_Rename:
		return t.rename(id, op.Rename)
	case *metapb.Command_Snapshot:
		return t.snapshot(id, op.Snapshot.From, op.Snapshot.To)
	case *metapb.Command_SetAttributes:
		return t.setAttributes(op.SetAttributes)
	case *metapb.Command_Allocate:
		return t.allocate(op.Allocate)
	}
	return t.executeChunk(index, cmd)
}

// at finds what is at a path and not hidden, nil if nothing.
func (t *twin) at(p string) *twinNode {
	if p == "/" {
		return t.nodes[0]
	}
	dir := t.at(path.Dir(p))
	if dir == nil {
		return nil
	}
	return t.find(func(n *twinNode) bool { return n.parent == dir.id && n.name == path.Base(p) && !n.hidden })
}

func (t *twin) find(is func(*twinNode) bool) *twinNode {
	for _, n := range t.nodes[1:] {
		if is(n) {
			return n
		}
	}
	return nil
}

func (t *twin) byID(id uint64) *twinNode {
	if id == 1 {
		return t.nodes[0]
	}
	return t.find(func(n *twinNode) bool { return n.id == id })
}

// hiddenAt finds what is hidden under a path, the newest if id is 0.
func (t *twin) hiddenAt(p string, id uint64) (best *twinNode) {
	dir := t.at(path.Dir(p))
	for _, n := range t.nodes[1:] {
		if dir != nil && n.parent == dir.id && n.name == path.Base(p) && n.hidden && !n.doomed && (id == 0 || n.id == id) && (best == nil || n.at > best.at) {
			best = n
		}
	}
	return best
}

// children are in the order of a walk: what is hidden first.
func (t *twin) children(id uint64, hidden bool) (all []*twinNode) {
	for _, n := range t.nodes[1:] {
		if n.parent == id && (hidden || !n.hidden) {
			all = append(all, n)
		}
	}
	key := func(n *twinNode) string {
		if n.hidden {
			return "\x00" + n.name + "\x00" + string(binary.BigEndian.AppendUint64(nil, n.at))
		}
		return n.name
	}
	slices.SortFunc(all, func(a, b *twinNode) int { return cmp.Compare(key(a), key(b)) })
	return all
}

// free says whether something can be put at a path.
func (t *twin) free(p string) Code {
	dir := t.at(path.Dir(p))
	switch {
	case p == "/":
		return Exists
	case dir == nil:
		return NotFound
	case !dir.dir:
		return NotDirectory
	case t.at(p) != nil:
		return Exists
	}
	return OK
}

func (t *twin) create(id uint64, p string, dir bool) *metapb.Reply {
	if c := t.free(p); c != OK {
		return answer(c)
	}
	parent := t.at(path.Dir(p))
	if !dir && !t.room(parent, 1, 0, nil) {
		return answer(Quota)
	}
	t.nodes = append(t.nodes, &twinNode{id: id, parent: parent.id, name: path.Base(p), dir: dir})
	return &metapb.Reply{Id: id}
}

func (t *twin) remove(at uint64, op *metapb.DeleteOp) *metapb.Reply {
	if op.Id != 0 {
		n := t.hiddenAt(op.Path, op.Id)
		switch {
		case n == nil:
			return answer(NotFound)
		case n.dir:
			n.expires = min(n.expires, t.time)
		default:
			t.drop(n)
		}
		return &metapb.Reply{Id: op.Id}
	}
	n := t.at(op.Path)
	switch {
	case n == nil:
		return answer(NotFound)
	case !op.Recursive && len(t.children(n.id, false)) > 0:
		return answer(NotEmpty)
	}
	retention := t.effective(n).GetRetentionNs()
	if !n.dir && retention == 0 {
		t.drop(n)
		return &metapb.Reply{Id: n.id}
	}
	n.hidden, n.at, n.deleted, n.expires = true, at, t.time, math.MaxInt64
	if t.time+retention > 0 { // no overflow
		n.expires = t.time + retention
	}
	return &metapb.Reply{Id: n.id}
}

func (t *twin) undelete(op *metapb.UndeleteOp) *metapb.Reply {
	n := t.hiddenAt(op.Path, op.Id)
	switch {
	case n == nil:
		return answer(NotFound)
	case t.at(op.Path) != nil:
		return answer(Exists)
	}
	n.hidden, n.at, n.deleted, n.expires = false, 0, 0, 0
	return &metapb.Reply{Id: n.id}
}

func (t *twin) purge(limit int) *metapb.Reply {
	removed := 0
	for removed < limit {
		var due *twinNode
		for _, n := range t.nodes[1:] {
			if n.hidden && n.expires <= t.time && (due == nil || n.expires < due.expires || n.expires == due.expires && n.at < due.at) {
				due = n
			}
		}
		if due == nil {
			break
		}
		for _, n := range append(t.deepest(due), due) {
			if removed == limit {
				due.doomed = true
				break
			}
			t.drop(n)
			removed++
		}
	}
	return &metapb.Reply{Count: uint64(removed)}
}

// deepest lists all below n, each behind what is in it.
func (t *twin) deepest(n *twinNode) (all []*twinNode) {
	for _, child := range t.children(n.id, true) {
		all = append(append(all, t.deepest(child)...), child)
	}
	return all
}

func (t *twin) drop(n *twinNode) {
	t.nodes = slices.DeleteFunc(t.nodes, func(o *twinNode) bool { return o == n })
	t.chunks = slices.DeleteFunc(t.chunks, func(c *twinChunk) bool { return c.epoch == 0 && t.refs(c.handle) == 0 })
}

func (t *twin) rename(at uint64, op *metapb.RenameOp) *metapb.Reply {
	from, to := op.From, op.To
	n := t.at(from)
	if n == nil {
		return answer(NotFound)
	}
	replaced := t.at(to)
	if !op.Replace || replaced == nil || replaced.dir || n.dir || replaced == n {
		replaced = nil
		if c := t.free(to); c != OK {
			return answer(c)
		}
	}
	into := t.at(path.Dir(to))
	files, chunks := t.usage(n, true)
	if !t.room(into, files, chunks, t.byID(n.parent)) {
		return answer(Quota)
	}
	if replaced != nil {
		t.remove(at, &metapb.DeleteOp{Path: to})
	}
	n.parent, n.name = into.id, path.Base(to)
	return &metapb.Reply{Id: n.id}
}

func (t *twin) snapshot(id uint64, from, to string) *metapb.Reply {
	n := t.at(from)
	if n == nil {
		return answer(NotFound)
	}
	if c := t.free(to); c != OK {
		return answer(c)
	}
	into := t.at(path.Dir(to))
	files, chunks := t.usage(n, false)
	if !t.room(into, files, chunks, nil) {
		return answer(Quota)
	}
	all := []*twinNode{n}
	for i := 0; i < len(all); i++ {
		all = append(all, t.children(all[i].id, false)...)
		for _, handle := range all[i].slots {
			if c := t.chunk(handle); c.epoch != 0 || c.intentIndex != 0 {
				return &metapb.Reply{Code: int32(LeaseHeld), Handle: handle}
			}
		}
	}
	ids := map[uint64]uint64{}
	for i, o := range all {
		c := &twinNode{id: id, parent: into.id, name: path.Base(to), dir: o.dir, slots: slices.Clone(o.slots)}
		proto.Merge(&c.own, &o.own)
		if i > 0 {
			c.id, c.parent, c.name = 1<<63|t.copied, ids[o.parent], o.name
			t.copied++
		}
		ids[o.id] = c.id
		t.nodes = append(t.nodes, c)
	}
	return &metapb.Reply{Id: id, Count: uint64(len(all))}
}

// clean reports whether a path is as it must be.
func clean(p string) bool {
	if path.Clean(p) != p || !path.IsAbs(p) || len(p) > 4096 || strings.Contains(p, "\x00") {
		return false
	}
	return !slices.ContainsFunc(strings.Split(p, "/"), func(name string) bool { return len(name) > 255 })
}
