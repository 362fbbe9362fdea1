package check

import (
	"fmt"
	"slices"

	"gfslab/results/rundir"
)

// compareRead compares a client's lookup with the model at its position. The
// replay stands there now.
func (r *replay) compareRead(op *rundir.Op) {
	at := position{op.Reply.Index, op.Reply.Offset}
	if own := sees(r.f.agreed(), op) != at; !own && !r.whole(op) {
		return
	}
	switch op.Kind {
	case rundir.KindStat:
		r.compareStat(op, at)
	case rundir.KindList:
		r.compareList(op, at)
	case rundir.KindUsage:
		r.compareUsage(op, at)
	case rundir.KindChunkInfo, rundir.KindFindLease, rundir.KindRevoke:
		r.compareChunk(op, at)
	}
}

func (r *replay) compareStat(op *rundir.Op, at position) {
	rep := op.Reply
	n, why := r.root.find(op.Path, op.DeletedID)
	if !why.allow(rep.Code) {
		r.blameRead(op, at, "code "+rep.Code, why.String())
		return
	}
	if n == nil {
		return
	}
	switch {
	case rep.Directory != n.dir:
		r.blameRead(op, at, kindOf(rep.Directory), kindOf(n.dir))
	case n.id != 0 && rep.FileID != n.id:
		r.blameRead(op, at, fmt.Sprintf("id %d", rep.FileID), fmt.Sprintf("id %d", n.id))
	case !slices.Equal(rep.Chunks, n.chunks):
		r.blameRead(op, at, fmt.Sprintf("chunks %v", rep.Chunks), fmt.Sprintf("chunks %v", n.chunks))
	}
	if n.id == 0 && n != r.root && rep.FileID != 0 {
		if trouble := r.learn(at, n, rep.FileID); trouble != "" {
			r.blame(op, at, "%s", trouble)
		}
	}
	r.compareDetails(op, at, n)
	r.compareAttributes(op, at, n)
}

func kindOf(dir bool) string {
	if dir {
		return "a directory"
	}
	return "a file"
}

// compareChunk holds every reply about a chunk to the log. A grant's reply and a
// revocation's stand right after their own commands.
func (r *replay) compareChunk(op *rundir.Op, at position) {
	rep := op.Reply
	handle, why := op.Handle, codes(nil)
	if handle == 0 { // by path and index
		var n *inode
		n, why = r.root.find(op.Path, op.DeletedID)
		switch {
		case n == nil:
		case n.dir:
			why = codes{"IS_DIRECTORY"}
		case int(op.Chunk) >= len(n.chunks):
			why = codes{"NO_CHUNK"}
		default:
			handle = n.chunks[op.Chunk]
		}
	}
	c := r.book.live(handle)
	if why == nil && c == nil {
		why = codes{"NO_CHUNK"}
	}
	if len(why) == 0 && op.Kind != rundir.KindChunkInfo && rep.Code != codeOK && rep.Code != "NO_CHUNK" || rep.Code == "WARMING_UP" {
		r.compareRefusal(op, at, c)
		return // no grant could be made, or it is not known yet where the replicas are
	}
	if !why.allow(rep.Code) {
		r.blameRead(op, at, "code "+rep.Code, why.String())
		return
	}
	if len(why) > 0 {
		return
	}
	switch {
	case rep.Handle != handle:
		r.blameRead(op, at, fmt.Sprintf("chunk %d", rep.Handle), fmt.Sprintf("chunk %d", handle))
	case rep.Version != c.version || rep.Epoch != c.epoch:
		r.blameRead(op, at, fmt.Sprintf("version %d epoch %d", rep.Version, rep.Epoch), fmt.Sprintf("version %d epoch %d", c.version, c.epoch))
	case rep.Primary != c.primary:
		r.blameRead(op, at, fmt.Sprintf("primary %q", rep.Primary), fmt.Sprintf("primary %q", c.primary))
	case !knownNames(op, rep.Replicas, c.members):
		r.blameRead(op, at, fmt.Sprintf("replicas %v", rep.Replicas), fmt.Sprintf("replicas %v", c.members))
	case op.Kind == rundir.KindFindLease && rep.Epoch == 0:
		r.blameRead(op, at, "no lease", "one is due: it asked for the holder")
	case op.Kind == rundir.KindFindLease && rep.Granted && rep.Epoch != rep.Index:
		r.blameRead(op, at, fmt.Sprintf("a grant of its own with epoch %d", rep.Epoch), "that the epoch of a grant is its index")
	case op.Kind == rundir.KindFindLease && c.refs > 1:
		r.blameRead(op, at, "a lease", fmt.Sprintf("that %d files share the chunk", c.refs))
	}
	r.compareKind(op, at, c)
}

// compareRefusal holds a refused grant's reason to the state, where it has one.
func (r *replay) compareRefusal(op *rundir.Op, at position, c *chunkFacts) {
	if c == nil {
		return
	}
	switch code := op.Reply.Code; {
	case code == "SHARED" && c.refs < 2:
		r.blameRead(op, at, "code SHARED", "that one file alone has the chunk")
	case code == "SEALED" && !c.sealed:
		r.blameRead(op, at, "code SEALED", "that the chunk is not sealed")
	}
}

// knownNames compares the replicas that a reply names with the members. A lookup
// names those of them that are known to be there.
func knownNames(op *rundir.Op, told, members []string) bool {
	if op.Kind == rundir.KindChunkInfo {
		return subsetOf(told, members)
	}
	return sameNames(told, members)
}

// sameNames compares two sets of names.
func sameNames(a, b []string) bool {
	return len(a) == len(b) && subsetOf(a, b) && subsetOf(b, a)
}
