package meta

import "encoding/binary"

// SessionEntries is the age, in log indexes, beyond which an unused session is
// forgotten. It is a constant because it must be the same on all replicas.
const SessionEntries = 1 << 20

// rootID is the id of "/". No position in the log makes it: indexes start at 1.
const rootID = 1

// State is the metadata of one cell. The zero State is not usable; see New.
type State struct {
	nodes    map[string]*node  // by full path
	chunks   map[uint64]*chunk // by handle
	sessions sessionTable
	// orphans are the chunks of deleted files whose lease has not ended yet.
	orphans map[uint64]struct{}

	nextHandle uint64
	time       int64 // nanoseconds, as stamped by leaders; never falls

	index    uint64 // of the last entry applied
	commands uint32 // number of commands in it

	sum     digest
	scratch []byte // for hashing; kept to avoid an allocation
}

// node is a file or a directory.
type node struct {
	id       uint64
	dir      bool
	children map[string]*node // directories: by last name
	chunks   []uint64         // files: handles, append-only
	sum      digest
}

// chunk is one chunk of a file.
type chunk struct {
	handle uint64
	fileID uint64
	slot   uint32 // its index within the file
	// version is committed by GrantActive; reserved is the highest one that any
	// intent was given, so that no version is ever given twice.
	version, reserved uint64
	members           []string // replaced as a whole, never changed in place
	lease             lease
	intent            intent
	deleted           bool // its file is gone; kept until the lease has ended
	sum               digest
}

// lease is the active grant; epoch 0 means that there is none.
type lease struct {
	epoch   uint64
	primary string
}

// intent is the pending grant; index 0 means that there is none.
type intent struct {
	index    uint64
	version  uint64
	replicas []string
}

// New returns the state before the first entry: a root directory and nothing
// else.
func New() *State { return newState(SessionEntries) }

func newState(sessionAge uint64) *State {
	s := &State{
		nodes:      make(map[string]*node),
		chunks:     make(map[uint64]*chunk),
		orphans:    make(map[uint64]struct{}),
		nextHandle: 1,
	}
	s.sessions.init(sessionAge)
	root := &node{id: rootID, dir: true, children: make(map[string]*node)}
	s.nodes["/"] = root
	s.hashNode("/", root)
	return s
}

// FileID is the id of the file or directory made by the command at (index,
// offset). Positions are unique, so ids are.
func FileID(index uint64, offset uint32) uint64 { return index<<offsetBits | uint64(offset) }

// offsetBits bounds the commands of one entry to 2^20.
const offsetBits = 20

// hashNode (re)hashes a node that is at path and adds it to the state's hash.
func (s *State) hashNode(path string, n *node) {
	b := appendString(append(s.scratch[:0], 'n'), path)
	b = appendBool(appendUints(b, n.id), n.dir)
	s.scratch = b
	n.sum = itemHash(b)
	s.sum.add(n.sum)
}

// hashChunk replaces the chunk's part of the state's hash; the first time, its
// old part is zero.
func (s *State) hashChunk(c *chunk) {
	s.sum.remove(c.sum)
	b := appendChunk(append(s.scratch[:0], 'c'), c)
	s.scratch = b
	c.sum = itemHash(b)
	s.sum.add(c.sum)
}

func appendStrings(b []byte, ss []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(ss)))
	for _, s := range ss {
		b = appendString(b, s)
	}
	return b
}
