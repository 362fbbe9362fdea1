package meta

import (
	"encoding/binary"

	"gfslab/internal/cowtree"
)

const (
	// SessionEntries is the age, in log indexes, beyond which an unused session is
	// forgotten. It is a constant because it must be the same on all replicas, as
	// SessionLimit must: the number of sessions beyond which the one that was not
	// used for longest is forgotten too.
	SessionEntries = 1 << 20
	SessionLimit   = 1 << 18
)

// rootID is the id of "/". No position in the log makes it: indexes start at 1.
const rootID = 1

// Kind says what a chunk's bytes are; the values are api.ChunkKind's.
type Kind uint8

// The kinds of chunks.
const (
	Records Kind = 0
	Bytes   Kind = 1
)

// State is the metadata of one cell. The zero State is not usable; see New.
//
// All that grows is in ordered tables of bytes, which are captured in constant
// time and cost little more than their bytes; see docs/adr/0006.
type State struct {
	tables
	sessionAge   uint64
	sessionLimit int

	// What follows from the tables. ages orders the sessions by a position at or
	// before their last use; see expireSessions. orphans are the chunks of removed
	// files whose lease has not ended yet. expiry orders what is hidden by the end
	// of its retention; see hide. parents leads from a directory to the one above.
	// quotas counts the directories that have one.
	ages    cowtree.Tree
	orphans cowtree.Tree
	expiry  cowtree.Tree
	parents cowtree.Tree
	quotas  int
	numbers map[string]uint32 // of chunkservers, by name; see servers

	nextHandle uint64
	nextCopy   uint64
	time       int64 // nanoseconds, as stamped by leaders; never falls

	index    uint64 // of the last entry applied
	commands uint32 // number of commands in it

	sum     digest
	scratch []byte // what is being encoded; kept to avoid an allocation
	handles []uint64
}

// tables are what a snapshot is made of, besides a few numbers.
type tables struct {
	names      cowtree.Tree // parent's id, name → node
	extents    cowtree.Tree // file's id, group of slots → handles
	chunks     cowtree.Tree // handle → chunk
	sessions   cowtree.Tree // client → session
	attributes cowtree.Tree // id → attributes, of files and directories that have any
	copies     cowtree.Tree // handle taken for a private copy → what it is of
	// servers are the names of the chunkservers that were ever granted a lease;
	// chunks refer to them by number. They are only ever added to.
	servers []string
}

// New returns the state before the first entry: a root directory and nothing
// else.
func New() *State { return newState(SessionEntries, SessionLimit) }

func newState(sessionAge uint64, sessionLimit int) *State {
	s := &State{sessionAge: sessionAge, sessionLimit: sessionLimit, numbers: make(map[string]uint32), nextHandle: 1}
	return s
}

// FileID is the id of the file or directory made by the command at (index,
// offset). Positions are unique, so ids are.
func FileID(index uint64, offset uint32) uint64 { return index<<offsetBits | uint64(offset) }

// copyID is the id of the n-th file or directory that a snapshot made below the
// one whose id is that of the command.
func copyID(n uint64) uint64 { return copyIDs | n }

// copyIDs begins the ids of copies; FileID stays below.
const copyIDs = 1 << 63

// maxEntries bounds the files, directories and chunks that one command touches.
const maxEntries = 200_000

// offsetBits bounds the commands of one entry to 2^20.
const offsetBits = 20

// addServer gives a chunkserver its number.
func (s *State) addServer(name string) uint32 {
	if n, known := s.numbers[name]; known {
		return n
	}
	n := uint32(len(s.servers))
	s.servers = append(s.servers, name)
	s.numbers[name] = n
	s.scratch = appendUints(s.scratch[:0], uint64(n))
	s.sum.add(itemHash('d', s.scratch, []byte(name)))
	return n
}

// idKey begins the keys of everything that belongs to an id or a handle.
func idKey(b []byte, id uint64) []byte { return binary.BigEndian.AppendUint64(b, id) }
