package check

import (
	"fmt"

	"gfslab/results/rundir"
)

// compareDetails holds what a stat says of a file's chunks to the model: their
// references are counted from the files that have them.
func (r *replay) compareDetails(op *rundir.Op, at position, n *inode) {
	for i, d := range op.Reply.Details {
		if i >= len(n.chunks) {
			return // the chunks differ already
		}
		c := r.book.chunks[n.chunks[i]]
		if c == nil {
			continue
		}
		want := rundir.ChunkDetail{Handle: c.handle, Kind: kindName(c.kind), Sealed: c.sealed, Refs: uint32(c.refs)}
		if d != want {
			r.blameRead(op, at, fmt.Sprintf("chunk %+v", d), fmt.Sprintf("%+v", want))
		}
	}
	if n := len(op.Reply.Details); n > 0 {
		r.details += n
	}
}

// compareAttributes holds attributes and a directory's counters to the model.
func (r *replay) compareAttributes(op *rundir.Op, at position, n *inode) {
	rep := op.Reply
	if own := rep.Own; own != nil {
		want := n.own
		if !same(own.RetentionNS, want.retention) || !same(own.Replicas, want.replicas) || !same(own.MaxFiles, want.maxFiles) || !same(own.MaxChunks, want.maxChunks) {
			r.blameRead(op, at, "own attributes "+describeAttributes(own), describeOwn(want))
		}
	}
	if e := rep.Effective; e != nil && e.RetentionNS != nil && *e.RetentionNS != n.retention() {
		r.blameRead(op, at, fmt.Sprintf("a retention of %d ns", *e.RetentionNS), fmt.Sprintf("%d ns", n.retention()))
	}
	if n.own.maxFiles != nil && rep.Own != nil {
		r.counted++
		if rep.QuotaFiles != n.files {
			r.blameRead(op, at, fmt.Sprintf("%d files against the quota", rep.QuotaFiles), fmt.Sprintf("%d", n.files))
		}
	}
	if n.own.maxChunks != nil && rep.Own != nil && rep.QuotaChunks != n.slots {
		r.blameRead(op, at, fmt.Sprintf("%d chunks against the quota", rep.QuotaChunks), fmt.Sprintf("%d", n.slots))
	}
}

func describeOwn(a attributes) string {
	return describeAttributes(&rundir.Attributes{RetentionNS: a.retention, Replicas: a.replicas, MaxFiles: a.maxFiles, MaxChunks: a.maxChunks})
}

func describeAttributes(a *rundir.Attributes) string {
	text := ""
	if a.RetentionNS != nil {
		text += fmt.Sprintf(" retention %d", *a.RetentionNS)
	}
	if a.Replicas != nil {
		text += fmt.Sprintf(" replicas %d", *a.Replicas)
	}
	if a.MaxFiles != nil {
		text += fmt.Sprintf(" max_files %d", *a.MaxFiles)
	}
	if a.MaxChunks != nil {
		text += fmt.Sprintf(" max_chunks %d", *a.MaxChunks)
	}
	return "{" + text + " }"
}

// compareUsage counts what is below a path anew; a directory is not below itself.
func (r *replay) compareUsage(op *rundir.Op, at position) {
	n, why := r.root.lookup(op.Path)
	if !why.allow(op.Reply.Code) {
		r.blameRead(op, at, "code "+op.Reply.Code, why.String())
		return
	}
	if n == nil || op.Reply.Usage == nil {
		return
	}
	var want rundir.Usage
	n.usage(false, &want)
	if n.dir {
		want.Directories--
	}
	if *op.Reply.Usage != want {
		r.blameRead(op, at, fmt.Sprintf("usage %+v", *op.Reply.Usage), fmt.Sprintf("%+v", want))
	}
}

func (n *inode) usage(hidden bool, sum *rundir.Usage) {
	switch {
	case n.dir && !hidden:
		sum.Directories++
	case !n.dir && hidden:
		sum.HiddenFiles++
		sum.HiddenChunks += uint64(len(n.chunks))
	case !n.dir:
		sum.Files++
		sum.Chunks += uint64(len(n.chunks))
	}
	for _, kid := range n.kids {
		kid.usage(hidden, sum)
	}
	for _, h := range n.hidden {
		h.usage(true, sum)
	}
}

// compareKind holds what a reply says of a chunk, besides who has it, to the model.
func (r *replay) compareKind(op *rundir.Op, at position, c *chunkFacts) {
	rep := op.Reply
	switch {
	case rep.ChunkKind != "" && rep.ChunkKind != kindName(c.kind):
		r.blameRead(op, at, "a chunk of "+rep.ChunkKind, "a chunk of "+kindName(c.kind))
	case rep.ChunkKind != "" && rep.Sealed != c.sealed:
		r.blameRead(op, at, fmt.Sprintf("sealed %v", rep.Sealed), fmt.Sprintf("sealed %v", c.sealed))
	case rep.Refs != 0 && int(rep.Refs) != c.refs:
		r.blameRead(op, at, fmt.Sprintf("%d references", rep.Refs), fmt.Sprintf("%d files have it", c.refs))
	}
}
