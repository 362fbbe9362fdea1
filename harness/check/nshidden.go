package check

import (
	"fmt"
	"strings"

	"gfslab/results/rundir"
)

// What is deleted stays in the table under its path, a NUL byte and a number that
// rises with each delete: so it moves with the directories above it, and goes when
// one of them is deleted, as in the service.

const hiddenMark = "\x00"

// isHidden reports whether a path of the model leads through what is hidden.
func isHidden(path string) bool { return strings.Contains(path, hiddenMark) }

// hiddenUnder lists what is hidden under a path, the last delete last. What is in a
// hidden directory is not in it.
func (s *nsState) hiddenUnder(path string) []nsNode {
	prefix := path + hiddenMark
	var out []nsNode
	for _, n := range s.begins(prefix) {
		if !strings.Contains(n.path[len(prefix):], "/") {
			out = append(out, n)
		}
	}
	return out
}

// hiddenWith is the one with an id, or the last one if that is 0. One whose id
// nobody has been told may be the one.
func (s *nsState) hiddenWith(path string, id uint64) *nsNode {
	all := s.hiddenUnder(path)
	var unseen *nsNode
	for i := len(all) - 1; i >= 0; i-- {
		switch n := &all[i]; {
		case id == 0 || n.id == id:
			return n
		case n.id == 0 && unseen == nil:
			unseen = n
		}
	}
	return unseen
}

// move puts a node and all below it under another path.
func (s *nsState) move(n nsNode, to string) *nsState {
	from := n.path
	moved := s.without(from)
	for _, b := range s.below(from) {
		moved = moved.without(b.path)
		b.path = to + b.path[len(from):]
		moved = moved.with(b)
	}
	n.path = to
	return moved.with(n)
}

// drop takes a node away with all below it.
func (s *nsState) drop(n nsNode) *nsState {
	out := s.without(n.path)
	for _, b := range s.below(n.path) {
		out = out.without(b.path)
	}
	return out
}

// remove hides what is at a path, or takes away what is hidden under it. When the
// retention of something hidden is over, nobody here is told: whoever asks for it
// may find it gone.
func (m nsModel) remove(s *nsState, op *rundir.Op) (*nsState, codes) {
	if op.DeletedID != 0 {
		h := s.hiddenWith(op.Path, op.DeletedID)
		if h == nil {
			return nil, m.missing(s, op.Path)
		}
		if h.dir {
			return s, nil // it is due now, and removed some time later
		}
		return s.drop(*h), nil
	}
	n := s.get(op.Path)
	if n == nil {
		return nil, m.missing(s, op.Path)
	}
	for _, b := range s.below(op.Path) {
		if !isHidden(b.path[len(op.Path):]) && !op.Recursive {
			return nil, codes{"NOT_EMPTY"}
		}
	}
	last := 0
	if all := s.hiddenUnder(op.Path); len(all) > 0 {
		if _, err := fmt.Sscanf(all[len(all)-1].path[len(op.Path)+1:], "%d", &last); err != nil {
			return nil, codes{"INVALID"}
		}
	}
	return s.move(*n, fmt.Sprintf("%s%s%09d", op.Path, hiddenMark, last+1)), nil
}

// undelete brings back what is hidden.
func (m nsModel) undelete(s *nsState, op *rundir.Op) (*nsState, codes) {
	h := s.hiddenWith(op.Path, op.DeletedID)
	var why codes
	if s.get(op.Path) != nil {
		why = append(why, "EXISTS")
	}
	if h == nil {
		why = append(why, m.missing(s, op.Path)...)
	}
	if why != nil {
		return nil, why
	}
	return s.move(*h, op.Path), nil
}

// snapshot copies a file or a tree without what is hidden in it.
func (m nsModel) snapshot(s *nsState, from, to string) (*nsState, codes) {
	if from == "/" || strings.HasPrefix(to, from+"/") {
		return nil, codes{"INVALID"}
	}
	var why codes
	n := s.get(from)
	if n == nil {
		why = append(why, m.missing(s, from)...)
	}
	if why = append(why, m.vacant(s, to)...); why != nil {
		return nil, why
	}
	out := s.with(nsNode{path: to, dir: n.dir, chunks: n.chunks})
	for _, b := range s.below(from) {
		if !isHidden(b.path[len(from):]) {
			out = out.with(nsNode{path: to + b.path[len(from):], dir: b.dir, chunks: b.chunks})
		}
	}
	return out, nil
}

// gone reports whether an answer says that what was hidden is no more, though the
// model has it still; then the model forgets it.
func (m nsModel) gone(s *nsState, op *rundir.Op, out *rundir.Reply) *nsState {
	named := op.Kind == rundir.KindUndelete || (op.Kind == rundir.KindDelete || op.Kind == rundir.KindStat) && op.DeletedID != 0
	if out == nil || !named || out.Code != "NOT_FOUND" {
		return nil
	}
	for h := s.hiddenWith(op.Path, op.DeletedID); h != nil; h = s.hiddenWith(op.Path, op.DeletedID) {
		s = s.drop(*h)
	}
	return s
}
