package virtual

import (
	"slices"
	"testing"

	"gfslab/results/rundir"
)

func alteredReplies() []tampering {
	change := func(name, on, kind string, do func(r *rundir.Reply)) tampering {
		return tampering{kind + ": " + name, on, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := some(t, run, okKind(kind))
			do(op.Reply)
			return []string{named(op)}
		}, name == "exists" || name == "another offset"}
	}
	const a, c, l = "append", "create", "lease-churn"
	return []tampering{
		change("another offset", a, rundir.KindAppend, func(r *rundir.Reply) { r.ChunkOffset++ }),
		change("an offset far away", a, rundir.KindAppend, func(r *rundir.Reply) { r.ChunkOffset += 1 << 30 }),
		change("another chunk", a, rundir.KindAppend, func(r *rundir.Reply) { r.Handle += 100 }),
		change("another version", a, rundir.KindAppend, func(r *rundir.Reply) { r.Version++ }),
		change("an older version", a, rundir.KindAppend, func(r *rundir.Reply) { r.Version-- }),
		change("another checksum", a, rundir.KindAppend, func(r *rundir.Reply) { r.CRC++ }),
		change("another node", a, rundir.KindAppend, func(r *rundir.Reply) { r.Node = "cs9" }),
		change("a code for another", a, rundir.KindAppend, func(r *rundir.Reply) { r.Code = "NO_CHUNK" }),
		change("other bytes", a, rundir.KindReadRecord, func(r *rundir.Reply) { r.CRC++ }),
		change("another offset", a, rundir.KindReadRecord, func(r *rundir.Reply) { r.ChunkOffset++ }),
		change("exists", c, rundir.KindCreate, func(r *rundir.Reply) { r.Code = "EXISTS" }),
		change("no such code", c, rundir.KindCreate, func(r *rundir.Reply) { r.Code = "FINE" }),
		change("another index", c, rundir.KindCreate, func(r *rundir.Reply) { r.Index++ }),
		change("another offset", c, rundir.KindCreate, func(r *rundir.Reply) { r.Offset++ }),
		change("no position", c, rundir.KindCreate, func(r *rundir.Reply) { r.Index, r.Offset = 0, 0 }),
		change("another node", c, rundir.KindCreate, func(r *rundir.Reply) { r.Node = "m9" }),
		change("not found", c, rundir.KindDelete, func(r *rundir.Reply) { r.Code = "NOT_FOUND" }),
		change("not found", c, rundir.KindStat, func(r *rundir.Reply) { r.Code = "NOT_FOUND" }),
		change("another id", c, rundir.KindStat, func(r *rundir.Reply) { r.FileID += 1000 }),
		change("no id", c, rundir.KindStat, func(r *rundir.Reply) { r.FileID = 0 }),
		change("the other kind", c, rundir.KindStat, func(r *rundir.Reply) { r.Directory = !r.Directory }),
		change("a chunk more", c+" "+a, rundir.KindStat, func(r *rundir.Reply) { r.Chunks = append(r.Chunks, 777) }),
		change("an earlier position", c+" "+a, rundir.KindStat, func(r *rundir.Reply) { r.Index, r.Offset = 2, 1 }),
		change("no position", c+" "+a, rundir.KindStat, func(r *rundir.Reply) { r.Index, r.Offset = 0, 0 }),
		change("a position of the future", c+" "+a, rundir.KindStat, func(r *rundir.Reply) { r.Index += 1 << 20 }),
		change("a name more", c, rundir.KindList, func(r *rundir.Reply) { r.Names = append(slices.Clone(r.Names), "zzz") }),
		change("no names", c, rundir.KindList, func(r *rundir.Reply) { r.Names = r.Names[:len(r.Names)/2] }),
		change("another chunk", l, rundir.KindFindLease, func(r *rundir.Reply) { r.Handle++ }),
		change("another version", l, rundir.KindFindLease, func(r *rundir.Reply) { r.Version++ }),
		change("another epoch", l, rundir.KindFindLease, func(r *rundir.Reply) { r.Epoch-- }),
		change("another primary", l, rundir.KindFindLease, func(r *rundir.Reply) { r.Primary = other(r.Primary) }),
		change("a replica less", l, rundir.KindFindLease, func(r *rundir.Reply) { r.Replicas = r.Replicas[1:] }),
		change("granted or not", l, rundir.KindFindLease, func(r *rundir.Reply) { r.Granted = !r.Granted }),
		change("no position", l, rundir.KindFindLease, func(r *rundir.Reply) { r.Index, r.Offset = 0, 0 }),
		change("not a chunk", l, rundir.KindFindLease, func(r *rundir.Reply) { r.Code = "NO_CHUNK" }),
		change("another version", l+" "+a, rundir.KindChunkInfo, func(r *rundir.Reply) { r.Version++ }),
		change("another chunk", l+" "+a, rundir.KindChunkInfo, func(r *rundir.Reply) { r.Handle += 50 }),
		change("still leased", l, rundir.KindRevoke, func(r *rundir.Reply) { r.Epoch = r.Index }),
		change("an earlier position", l, rundir.KindRevoke, func(r *rundir.Reply) { r.Index, r.Offset = 2, 1 }),
		{"an operation acknowledged to two callers", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := *mutated(t, run)
			return []string{named(&op), named(ptr(add(run, op)))}
		}, false},
		{"an append acknowledged twice under one name", a, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := *some(t, run, okKind(rundir.KindAppend))
			return []string{named(ptr(add(run, op)))}
		}, false},
		{"a mutation of another path", c, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			op.Path += "y"
			return []string{named(op), at(op)}
		}, false},
		{"a mutation of another session", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			op.Seq += 100000
			return []string{named(op), at(op)}
		}, false},
		{"a mutation without a session", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			op.Seq = 0
			return []string{named(op), at(op)}
		}, false},
		{"a mutation of another kind", c, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			op.Kind = rundir.KindMkdir
			return []string{named(op), at(op)}
		}, false},
		{"acknowledged mutations exchange their places", c, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			x, y := mutated(t, run), some(t, run, okKind(rundir.KindDelete))
			x.Reply, y.Reply = y.Reply, x.Reply
			return []string{named(x), named(y)}
		}, false},
	}
}

func ptr[T any](v T) *T { return &v }

func other(node string) string {
	if node == "cs1" {
		return "cs2"
	}
	return "cs1"
}

// staleReads puts reads into the history that come after a change and do not see
// it: at the position where they were right, and at the one where they are due.
func staleReads() []tampering {
	after := func(run *rundir.Run, first, later *rundir.Op) rundir.Op {
		stale := *first
		stale.Thread, stale.Client = 99, "c99.0"
		stale.Due, stale.Start, stale.End = later.End+1000, later.End+1000, later.End+2000
		stale.Attempts = []rundir.Attempt{{Node: first.Reply.Node, Start: stale.Start, End: stale.End}}
		reply := *first.Reply
		stale.Reply = &reply
		return add(run, stale)
	}
	// pair finds a read and a later one of the same that saw something else.
	pair := func(t *testing.T, run *rundir.Run, kind string, differ func(a, b *rundir.Reply) bool) (first, later *rundir.Op) {
		for i := range run.Ops {
			a := &run.Ops[i]
			if a.Kind != kind || a.Reply == nil {
				continue
			}
			for j := i + 1; j < len(run.Ops); j++ {
				b := &run.Ops[j]
				if b.Kind == kind && b.Path == a.Path && b.Handle == a.Handle && b.Chunk == a.Chunk && b.Reply != nil && b.Start > a.End && differ(a.Reply, b.Reply) {
					return a, b
				}
			}
		}
		absent("no such pair of reads")
		return nil, nil
	}
	both := func(name, on, kind string, differ func(a, b *rundir.Reply) bool) []tampering {
		return []tampering{
			{"a stale " + name + " inserted", on, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
				first, later := pair(t, run, kind, differ)
				stale := after(run, first, later)
				return []string{named(&stale), at(&stale), "node " + stale.Reply.Node}
			}, true},
			{"a stale " + name + " inserted that claims to be fresh", on, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
				first, later := pair(t, run, kind, differ)
				stale := after(run, first, later)
				stale.Reply.Index, stale.Reply.Offset = later.Reply.Index, later.Reply.Offset
				return []string{named(&stale), at(&stale), "node " + stale.Reply.Node}
			}, false},
		}
	}
	return slices.Concat(
		both("stat", "create", rundir.KindStat, func(a, b *rundir.Reply) bool { return a.Code == "NOT_FOUND" && b.Code == "OK" }),
		both("listing", "create", rundir.KindList, func(a, b *rundir.Reply) bool { return len(a.Names) < len(b.Names) && len(a.Names) > 0 }),
		both("chunk-info", "lease-churn", rundir.KindChunkInfo, func(a, b *rundir.Reply) bool { return a.Version < b.Version && a.Version > 0 }),
		both("chunk-info", "append", rundir.KindChunkInfo, func(a, b *rundir.Reply) bool { return a.Code == "OK" && a.Version < b.Version }),
	)
}
