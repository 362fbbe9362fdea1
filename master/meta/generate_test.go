package meta

import (
	"encoding/binary"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"gfslab/master/meta/metapb"
)

// universe is every path that a generated command uses, apart from broken ones.
var universe = []string{"/", "/a", "/b", "/ab", "/a/x", "/a/y", "/b/x", "/a-", "/a/x/p", "/a/x/q", "/b/x/p", "/a/x/p/r"}

var servers = []string{"cs1", "cs2", "cs3", "cs4"}

// generator draws commands for a state. Handles, versions, indexes and epochs are
// drawn near those that exist, so that the interesting branches are reached.
type generator struct {
	*rapid.T
	s *State
}

func (g generator) oneIn(n int, label string) bool {
	return rapid.IntRange(1, n).Draw(g.T, label+"?") == n
}

func (g generator) path(label string) string {
	if g.oneIn(30, label) {
		return rapid.SampledFrom([]string{"", "a", "/a/", "//", "/.", "/a/../b", "/a//x", "/" + strings.Repeat("n", 256), "/nul\x00"}).Draw(g.T, label)
	}
	return rapid.SampledFrom(universe).Draw(g.T, label)
}

// such is mostly a path with what is wanted, if there is one.
func (g generator) such(label string, wanted func(n node, found bool) bool) string {
	var all []string
	for _, p := range universe {
		if wanted(g.s.lookup(p)) {
			all = append(all, p)
		}
	}
	if len(all) == 0 || g.oneIn(5, label) {
		return g.path(label)
	}
	return rapid.SampledFrom(all).Draw(g.T, label)
}

func (g generator) file(label string) string {
	return g.such(label, func(n node, found bool) bool { return found && !n.dir })
}

func (g generator) existing(label string) string {
	return g.such(label, func(n node, found bool) bool { return found && n.id != rootID })
}

func (g generator) free(label string) string {
	return g.such(label, func(_ node, found bool) bool { return !found })
}

func (g generator) near(label string, v uint64) uint64 {
	if !g.oneIn(10, label) {
		return v
	}
	return v + uint64(rapid.IntRange(0, 2).Draw(g.T, label))
}

// names draws some chunkservers, mostly of the likely ones.
func (g generator) names(label string, numbers []uint32) (names []string) {
	for _, n := range numbers {
		names = append(names, g.s.servers[n])
	}
	if len(names) == 0 || g.oneIn(10, label) {
		names = servers
	}
	n := rapid.IntRange(min(1, rapid.IntRange(0, 9).Draw(g.T, label+" any")), len(names)).Draw(g.T, label+" count")
	return slices.Clone(rapid.Permutation(names).Draw(g.T, label)[:n])
}

// hidden draws a path under which something is hidden, and its id.
func (g generator) hidden() (p string, id uint64) {
	type place struct {
		path string
		id   uint64
	}
	var all []place
	for _, p := range universe {
		entries, _, _ := g.s.ListPage(p, ListOptions{Hidden: true})
		for _, e := range entries {
			all = append(all, place{strings.TrimSuffix(p, "/") + "/" + strings.TrimSuffix(e.Name, "/"), e.ID})
		}
	}
	if len(all) == 0 || g.oneIn(10, "hidden") {
		return g.path("path"), rapid.Uint64Range(0, 3).Draw(g.T, "id")
	}
	at := rapid.SampledFrom(all).Draw(g.T, "hidden")
	return at.path, at.id
}

func (g generator) command() *metapb.Command {
	cmd := &metapb.Command{StampNs: g.s.time + rapid.Int64Range(-5, 20).Draw(g.T, "stamp")}
	if !g.oneIn(4, "session") {
		cmd.Client = rapid.SampledFrom([]string{"c1", "c2", "c3", "c4"}).Draw(g.T, "client")
		var last uint64
		if x, found := g.s.loadSession(cmd.Client); found {
			last = x.seq
		}
		cmd.Seq = last + uint64(rapid.SampledFrom([]int{1, 1, 1, 0, 2}).Draw(g.T, "seq"))
		if last > 1 && g.oneIn(10, "old") {
			cmd.Seq = last - 1
		}
	}
	if rapid.Bool().Draw(g.T, "namespace") {
		g.namespace(cmd)
	} else {
		g.chunk(cmd)
	}
	return cmd
}

func (g generator) namespace(cmd *metapb.Command) {
	switch rapid.IntRange(0, 16).Draw(g.T, "op") {
	case 0, 1:
		cmd.Op = &metapb.Command_Create{Create: &metapb.PathOp{Path: g.free("path")}}
	case 2, 3:
		cmd.Op = &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: g.free("path")}}
	case 4, 5:
		cmd.Op = &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: g.existing("path"), Recursive: g.oneIn(2, "recursive")}}
	case 6:
		p, id := g.hidden()
		cmd.Op = &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: p, Id: id}}
	case 7, 8:
		p, id := g.hidden()
		if g.oneIn(2, "last") {
			id = 0
		}
		cmd.Op = &metapb.Command_Undelete{Undelete: &metapb.UndeleteOp{Path: p, Id: id}}
	case 9:
		cmd.Op = &metapb.Command_Purge{Purge: &metapb.PurgeOp{Limit: rapid.Uint32Range(0, 4).Draw(g.T, "limit")}}
	case 10:
		to, replace := g.free("to"), g.oneIn(2, "replace")
		if replace {
			to = g.existing("to")
		}
		cmd.Op = &metapb.Command_Rename{Rename: &metapb.RenameOp{From: g.existing("from"), To: to, Replace: replace}}
	case 11, 12, 15, 16:
		cmd.Op = &metapb.Command_Snapshot{Snapshot: &metapb.RenameOp{From: g.existing("from"), To: g.free("to")}}
	case 13, 14:
		cmd.Op = &metapb.Command_SetAttributes{SetAttributes: g.attributes()}
	}
}

func (g generator) attributes() *metapb.SetAttributesOp {
	op := &metapb.SetAttributesOp{Path: g.existing("path")}
	if g.oneIn(3, "retention") {
		op.RetentionNs = proto.Int64(rapid.SampledFrom([]int64{0, 5, 30, 30, 1<<63 - 1, -1}).Draw(g.T, "retention"))
	}
	if g.oneIn(3, "replicas") {
		op.Replicas = proto.Uint32(rapid.SampledFrom([]uint32{1, 2, 3, 64, 0, 65}).Draw(g.T, "replicas"))
	}
	if g.oneIn(2, "files") {
		op.MaxFiles = proto.Uint64(rapid.Uint64Range(0, 3).Draw(g.T, "files"))
	}
	if g.oneIn(2, "chunks") {
		op.MaxChunks = proto.Uint64(rapid.Uint64Range(0, 3).Draw(g.T, "chunks"))
	}
	if g.oneIn(3, "clear") {
		op.Clear = rapid.SliceOfN(rapid.SampledFrom([]string{"retention", "replicas", "max_files", "max_chunks", "max_chunks", "mode"}), 1, 2).Draw(g.T, "clear")
	}
	return op
}

func (g generator) chunk(cmd *metapb.Command) {
	handle := rapid.Uint64Range(0, g.s.nextHandle).Draw(g.T, "handle")
	if known, _ := g.s.ChunksFrom(1, 100); len(known) > 0 && !g.oneIn(10, "handle") {
		handle = rapid.SampledFrom(known).Draw(g.T, "chunk").Handle
	}
	c, _ := g.s.loadChunk(handle)
	version := g.near("version", c.version)
	server := rapid.SampledFrom(servers).Draw(g.T, "server")
	op := rapid.IntRange(0, 14).Draw(g.T, "op")
	switch { // what takes several steps is gone on with
	case c.lease.epoch != 0 && g.oneIn(3, "seal"):
		op = 8
	case c.intent.index != 0 && g.oneIn(2, "activate"):
		op = 4
	}
	switch op {
	case 0, 1:
		p, slot := g.file("path"), rapid.Uint32Range(0, 3).Draw(g.T, "slot")
		if n, found := g.s.lookup(p); found && !g.oneIn(4, "slot") {
			slot = uint32(g.s.countSlots(n.id))
		}
		cmd.Op = &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{
			Path: p, ChunkIndex: slot,
			Kind: rapid.SampledFrom([]int32{0, 0, 1, 2}).Draw(g.T, "kind"), Strict: g.oneIn(2, "strict"),
		}}
	case 2, 3:
		cmd.Op = &metapb.Command_GrantIntent{GrantIntent: &metapb.GrantIntentOp{
			Handle: handle, ExpectVersion: version, Replicas: g.names("replicas", c.members), Fences: g.near("fences", c.lease.epoch),
		}}
	case 4, 5:
		active := &metapb.GrantActiveOp{Handle: handle, IntentIndex: g.near("intent", c.intent.index), Acked: g.names("acked", c.intent.replicas)}
		if len(active.Acked) > 0 {
			active.Primary = active.Acked[0]
		}
		cmd.Op = &metapb.Command_GrantActive{GrantActive: active}
	case 6, 7:
		epoch := c.lease.epoch
		if epoch == 0 {
			epoch = c.intent.index
		}
		cmd.Op = &metapb.Command_LeaseEnd{LeaseEnd: &metapb.LeaseEndOp{Handle: handle, Epoch: g.near("epoch", epoch)}}
	case 8:
		cmd.Op = &metapb.Command_Seal{Seal: &metapb.SealOp{Handle: handle, Version: version, Epoch: g.near("epoch", c.lease.epoch), Length: rapid.Uint64Range(0, 1).Draw(g.T, "length")}}
	case 9:
		cmd.Op = &metapb.Command_AddMember{AddMember: &metapb.AddMemberOp{Handle: handle, Version: version, Server: server}}
	case 10:
		cmd.Op = &metapb.Command_RemoveMember{RemoveMember: &metapb.RemoveMemberOp{Handle: handle, Version: version, Server: server}}
	case 11, 12, 13, 14:
		g.copy(cmd)
	}
}

// copy is about a slot of a file, mostly one that is shared.
func (g generator) copy(cmd *metapb.Command) {
	type slot struct {
		file   uint64
		slot   uint32
		handle uint64
	}
	var all []slot
	w, _ := g.s.WalkFrom("/", 0)
	for !w.Step(g.s, 100, func(id uint64, _ bool, handles []uint64) {
		for i, h := range handles {
			if c, _ := g.s.loadChunk(h); c.refs > 1 {
				all = append(all, slot{id, uint32(i), h})
			}
		}
	}) {
	}
	at := slot{file: rapid.Uint64Range(0, 3).Draw(g.T, "file")}
	if len(all) > 0 && !g.oneIn(10, "any") {
		at = rapid.SampledFrom(all).Draw(g.T, "slot")
	}
	at.handle = g.near("handle", at.handle)
	c, _ := g.s.loadChunk(at.handle)
	op := &metapb.CopyCommitOp{File: at.file, Slot: at.slot, Handle: at.handle, Version: g.near("version", c.version)}
	for key, value := range g.s.copies.From(nil) {
		if p, _ := decodeCopy(value); p.handle == at.handle && p.file == at.file {
			op.Copy = binary.BigEndian.Uint64(key)
		}
	}
	if op.Copy == 0 || g.oneIn(5, "begin") {
		cmd.Op = &metapb.Command_CopyBegin{CopyBegin: &metapb.CopyBeginOp{File: at.file, Slot: at.slot, Handle: at.handle}}
		return
	}
	op.Copy = g.near("copy", op.Copy)
	if c.version > 0 || g.oneIn(5, "members") {
		op.Members = g.names("members", c.members)
	}
	cmd.Op = &metapb.Command_CopyCommit{CopyCommit: op}
}
