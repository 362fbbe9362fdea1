package check

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/anishathalye/porcupine"

	"gfslab/results/rundir"
)

// nsNode is one path of the client-side model. An id of 0 and a chunk handle of 0
// stand for values that no client has seen yet: the first one to see them fixes
// them.
type nsNode struct {
	path   string
	dir    bool
	id     uint64
	chunks string // 8 bytes a handle, so that nodes can be compared
}

func (n nsNode) key() string { return n.path }

// nsState is a namespace as a table of paths. It is never changed.
type nsState struct {
	nodes table[nsNode]
	hash  uint64
}

var nsSeed = maphash.MakeSeed()

func (n nsNode) hash() uint64 { return maphash.Comparable(nsSeed, n) }

func (s *nsState) get(path string) *nsNode { return s.nodes.get(path) }

// with returns the state with n put in place of what is at its path.
func (s *nsState) with(n nsNode) *nsState {
	hash := s.hash + n.hash()
	if there := s.get(n.path); there != nil {
		if *there == n {
			return s
		}
		hash -= there.hash()
	}
	return &nsState{s.nodes.with(n), hash}
}

func (s *nsState) without(path string) *nsState {
	return &nsState{s.nodes.without(path), s.hash - s.get(path).hash()}
}

// begins lists the nodes whose paths begin so.
func (s *nsState) begins(prefix string) (out []nsNode) {
	for n := range s.nodes.from(prefix) {
		if !strings.HasPrefix(n.path, prefix) {
			break
		}
		out = append(out, n)
	}
	return out
}

// below lists the nodes under a directory, however deep.
func (s *nsState) below(path string) []nsNode { return s.begins(path + "/") }

// nsModel is the sequential specification of a namespace as its clients know it.
type nsModel struct {
	scope func(path string) bool
	grows bool // chunks may be added by nobody in this history
	// shares: chunks may be replaced by private copies, by nobody in this history.
	shares bool
	// quotas: a directory may be full, whatever is in it here.
	quotas bool
	// only is the path of a component with a single file, in a directory that is
	// always there; shown has the names in each listing of that.
	only  string
	shown map[*rundir.Op]map[string]bool
	// glimpses are the listings of a directory that is always there, of which this
	// component is a piece.
	glimpses map[*rundir.Op]glimpse
}

// filePartition is the component of a single path.
func filePartition(path string, m nsModel) partition {
	m.scope, m.only = func(p string) bool { return p == path }, path
	return m.partition()
}

func namespacePartition(scope func(string) bool, m nsModel) partition {
	m.scope = scope
	return m.partition()
}

func (m nsModel) partition() partition {
	return partition{
		names: &m,
		model: porcupine.Model{
			Init: func() any { return &nsState{} },
			Step: func(state, input, output any) (bool, any) {
				next := m.step(state.(*nsState), input.(*rundir.Op), output.(*rundir.Reply))
				return next != nil, next
			},
			Equal: func(a, b any) bool {
				x, y := a.(*nsState), b.(*nsState)
				return x.hash == y.hash && equalTables(x.nodes.blocks, y.nodes.blocks)
			},
			Hash:              func(s any) uint64 { return s.(*nsState).hash },
			DescribeOperation: m.describe,
			DescribeState:     func(s any) string { return s.(*nsState).String() },
		},
		drop: func(op *rundir.Op) bool { return !mutates(op.Kind) },
	}
}

// step returns the state after an operation, or nil when the operation could not
// have answered so. A nil reply is an unknown outcome: whatever it does, it does.
func (m nsModel) step(s *nsState, op *rundir.Op, out *rundir.Reply) *nsState {
	var why codes
	var next *nsState
	if purged := m.gone(s, op, out); purged != nil {
		return purged
	}
	switch op.Kind {
	case rundir.KindCreate, rundir.KindMkdir:
		if why = m.vacant(s, op.Path); why == nil {
			next = s.with(nsNode{path: op.Path, dir: op.Kind == rundir.KindMkdir})
		}
	case rundir.KindDelete:
		next, why = m.remove(s, op)
	case rundir.KindUndelete:
		next, why = m.undelete(s, op)
	case rundir.KindSnapshot:
		next, why = m.snapshot(s, op.Path, op.Path2)
	case rundir.KindRename:
		next, why = m.rename(s, op.Path, op.Path2)
	case rundir.KindAllocate:
		return m.allocate(s, op, out)
	default:
		return m.look(s, op, out)
	}
	switch {
	case out == nil && next == nil:
		return s
	case out == nil:
		return next
	case next != nil && m.refuses(op.Kind, out.Code):
		return s
	case !why.allow(out.Code):
		return nil
	case next == nil:
		return s
	}
	return next.tell(op, out.FileID)
}

// refuses reports whether an operation may have been refused for a reason that
// this history does not show: what happens below the names.
func (m nsModel) refuses(kind, code string) bool {
	switch code {
	case "QUOTA":
		return m.quotas
	case "LEASE_HELD":
		return kind == rundir.KindSnapshot
	case "NOT_SEALED":
		return kind == rundir.KindAllocate
	}
	return false
}

// tell notes the id that the answer to an operation tells; nil if it cannot be.
func (s *nsState) tell(op *rundir.Op, id uint64) *nsState {
	path := op.Path
	switch op.Kind {
	case rundir.KindRename, rundir.KindSnapshot:
		path = op.Path2
	case rundir.KindDelete:
		return s // what was hidden has its id already
	}
	n := s.get(path)
	if id == 0 || n == nil {
		return s
	}
	told := *n
	if !learn(&told.id, id) {
		return nil
	}
	return s.with(told)
}

// missing tells why a path is not there.
func (m nsModel) missing(s *nsState, path string) codes {
	for p := parentOf(path); p != "/" && m.scope(p); p = parentOf(p) {
		if n := s.get(p); n != nil && !n.dir {
			return codes{"NOT_FOUND", "NOT_DIRECTORY"}
		}
	}
	return codes{"NOT_FOUND"}
}

// vacant tells why nothing can be made at a path; nil when it can.
func (m nsModel) vacant(s *nsState, path string) codes {
	if path == "/" || s.get(path) != nil {
		return codes{"EXISTS"}
	}
	parent := parentOf(path)
	if parent == "/" || !m.scope(parent) {
		return nil
	}
	n := s.get(parent)
	switch {
	case n == nil:
		return m.missing(s, parent)
	case !n.dir:
		return codes{"NOT_DIRECTORY"}
	}
	return nil
}

func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

func (m nsModel) rename(s *nsState, from, to string) (*nsState, codes) {
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
	return s.move(*n, to), nil
}

func (s *nsState) String() string {
	var b strings.Builder
	for n := range s.nodes.from("") { // with what is hidden
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(n.path)
		if n.dir {
			b.WriteString("/")
		}
		if len(n.chunks) > 0 {
			fmt.Fprintf(&b, "%v", handlesOf(n.chunks))
		}
	}
	return "{" + b.String() + "}"
}

func handlesOf(chunks string) []uint64 {
	out := make([]uint64, 0, len(chunks)/8)
	for ; len(chunks) >= 8; chunks = chunks[8:] {
		out = append(out, binary.BigEndian.Uint64([]byte(chunks[:8])))
	}
	return out
}

func chunksOf(handles []uint64) string {
	b := make([]byte, 0, 8*len(handles))
	for _, h := range handles {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	return string(b)
}

// manyNames is how many names of a listing are written out.
const manyNames = 1000

// describeStep writes an operation with its answer for porcupine's page.
func describeStep(input, output any) string {
	op, rep := input.(*rundir.Op), output.(*rundir.Reply)
	if rep == nil {
		return describe(op) + " → outcome unknown"
	}
	text := describe(op) + " → " + rep.Code
	switch {
	case op.Value != "" || rep.Value != "" || rep.Revision != 0:
		text += fmt.Sprintf(" value %q", op.Value+rep.Value)
		if op.Kind == rundir.KindSwap {
			text += fmt.Sprintf(" expected %q", op.Expect)
		}
	case rep.Code != codeOK:
	case op.Kind == rundir.KindList:
		text += fmt.Sprintf(" %v", rep.Names[:min(len(rep.Names), manyNames)])
		if more := len(rep.Names) - manyNames; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
	case op.Kind == rundir.KindStat:
		text += fmt.Sprintf(" %s id %d chunks %v", kindOf(rep.Directory), rep.FileID, rep.Chunks)
	case op.Kind == rundir.KindAllocate:
		text += fmt.Sprintf(" chunk %d", rep.Handle)
	case op.Kind == rundir.KindAppend || op.Kind == rundir.KindReadRecord:
		text += fmt.Sprintf(" offset %d version %d", rep.ChunkOffset, rep.Version)
	case rep.Version != 0 || rep.Handle != 0:
		text += fmt.Sprintf(" chunk %d version %d epoch %d primary %s", rep.Handle, rep.Version, rep.Epoch, rep.Primary)
	}
	return text + " (node " + rep.Node + ")"
}
