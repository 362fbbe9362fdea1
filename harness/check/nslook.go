package check

import (
	"slices"
	"strings"

	"gfslab/results/rundir"
)

// allocate adds a chunk to a file. Without a reply its handle is unseen.
func (m nsModel) allocate(s *nsState, op *rundir.Op, out *rundir.Reply) *nsState {
	n := s.get(op.Path)
	index := int(op.Chunk)
	if out == nil {
		if n == nil || n.dir || index != len(n.chunks)/8 {
			return s
		}
		return s.with(n.withChunks(append(handlesOf(n.chunks), 0)))
	}
	switch {
	case n == nil:
		return s.when(m.missing(s, op.Path).allow(out.Code))
	case n.dir:
		return s.when(out.Code == "IS_DIRECTORY")
	}
	chunks := handlesOf(n.chunks)
	switch out.Code {
	case codeOK: // the file had index chunks
		if chunks = m.extend(chunks, index); len(chunks) != index {
			return nil
		}
		return s.with(n.withChunks(append(chunks, out.Handle)))
	case "EXISTS":
		if chunks = m.extend(chunks, index+1); len(chunks) <= index || !m.learn(&chunks[index], out.Handle) {
			return nil
		}
		return s.with(n.withChunks(chunks))
	case "INVALID":
		return s.when(index > len(chunks))
	}
	return s.when(m.refuses(op.Kind, out.Code))
}

// look answers a lookup; what the client learns of ids and handles is kept.
func (m nsModel) look(s *nsState, op *rundir.Op, out *rundir.Reply) *nsState {
	if out == nil {
		return s
	}
	if op.Path == "/" && op.Kind == rundir.KindStat {
		return s.when(out.Code == codeOK && out.Directory)
	}
	if op.Kind == rundir.KindList && m.only != "" && op.Path == parentOf(m.only) {
		n, name, shown := s.get(m.only), m.only[len(op.Path)+1:], m.shown[op]
		return s.when(shown[name] == (n != nil && !n.dir) && shown[name+"/"] == (n != nil && n.dir))
	}
	if g, part := m.glimpses[op]; part {
		return s.when(s.showsPart(op, g))
	}
	n := s.get(op.Path)
	if op.DeletedID != 0 {
		n = s.hiddenWith(op.Path, op.DeletedID)
	}
	if n == nil && op.Path != "/" {
		return s.when(m.missing(s, op.Path).allow(out.Code))
	}
	switch op.Kind {
	case rundir.KindStat:
		return m.stat(s, *n, out)
	case rundir.KindList:
		if n != nil && !n.dir {
			return s.when(out.Code == "NOT_DIRECTORY")
		}
		return s.when(out.Code == codeOK && s.shows(op, out))
	case rundir.KindChunkInfo:
		return m.location(s, n, int(op.Chunk), out)
	}
	return nil
}

func (m nsModel) stat(s *nsState, n nsNode, out *rundir.Reply) *nsState {
	chunks := m.extend(handlesOf(n.chunks), len(out.Chunks))
	if out.Code != codeOK || out.Directory != n.dir || len(chunks) != len(out.Chunks) || !learn(&n.id, out.FileID) {
		return nil
	}
	for i := range chunks {
		if !m.learn(&chunks[i], out.Chunks[i]) {
			return nil
		}
	}
	return s.with(n.withChunks(chunks))
}

func (m nsModel) location(s *nsState, n *nsNode, index int, out *rundir.Reply) *nsState {
	if n == nil || n.dir {
		return s.when(out.Code == "IS_DIRECTORY")
	}
	chunks := handlesOf(n.chunks)
	if out.Code != codeOK {
		return s.when(out.Code == "NO_CHUNK" && index >= len(chunks) || out.Code == "WARMING_UP")
	}
	if chunks = m.extend(chunks, index+1); index >= len(chunks) || !m.learn(&chunks[index], out.Handle) {
		return nil
	}
	return s.with(n.withChunks(chunks))
}

// maxChunksSeen bounds the chunks of one file in the model: an index out of all
// reason must not cost the judge its memory.
const maxChunksSeen = 1 << 16

// extend adds unseen chunks up to n of them, where somebody may have added some.
func (m nsModel) extend(chunks []uint64, n int) []uint64 {
	if n > maxChunksSeen {
		return chunks
	}
	for m.grows && len(chunks) < n {
		chunks = append(chunks, 0)
	}
	return chunks
}

// learn fixes a value that was not seen before, and reports whether it fits.
func learn(have *uint64, told uint64) bool {
	if *have == 0 {
		*have = told
	}
	return *have == told
}

func (n nsNode) withChunks(handles []uint64) nsNode {
	n.chunks = chunksOf(handles)
	return n
}

// when is the state itself if it allows the answer, else nil.
func (s *nsState) when(allowed bool) *nsState {
	if allowed {
		return s
	}
	return nil
}

// learn is learn for a chunk of a file, which may have got a copy of its own.
func (m nsModel) learn(have *uint64, told uint64) bool {
	if m.shares {
		*have = told
	}
	return learn(have, told)
}

// shows reports whether a listing fits the state: all of it, or a page.
func (s *nsState) shows(op *rundir.Op, out *rundir.Reply) bool {
	want := s.listed(op)
	if n := len(out.Names); out.Next != "" && n > 0 && n <= len(want) {
		return slices.Equal(want[:n], out.Names)
	}
	return slices.Equal(want, out.Names)
}

// listed is all that a listing without limit would show.
func (s *nsState) listed(op *rundir.Op) []string {
	dir := op.Path
	if dir == "/" {
		dir = ""
	}
	out := []string{}
	for _, n := range s.begins(dir + "/" + firstName(op.Prefix)) {
		name := n.path[len(dir)+1:]
		if isHidden(name) || !op.Recursive && strings.Contains(name, "/") {
			continue
		}
		if n.dir {
			name += "/"
		}
		if strings.HasPrefix(name, op.Prefix) && (op.After == "" || name > op.After) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
