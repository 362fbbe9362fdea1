package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/tidwall/btree"
)

// MaxSessions bounds the sessions that are kept; the one that was unused for
// longest goes first. It is a constant because it must be the same on all
// replicas. A client that comes back after so many others with a command that
// was done before has it done again.
const MaxSessions = 1 << 18

// Store is the state. The zero Store is not usable; see New.
type Store struct {
	items    *btree.Map[string, item]
	sessions *btree.Map[string, session]
	// uses are the sessions' clients by the revision of their last command.
	uses        *btree.Map[uint64, string]
	maxSessions int

	index    uint64 // of the last entry applied
	commands uint32 // number of commands in it
	sum      digest
	scratch  []byte // for hashing; kept to avoid an allocation
}

// item is a key's value. Its fields are never changed in place: trees share it.
type item struct {
	value    string
	revision uint64
	sum      digest
}

// session is a client's last command.
type session struct {
	seq   uint64
	used  uint64 // revision that its last command would have made
	reply Reply
	sum   digest
}

// New returns the state before the first entry.
func New() *Store { return newStore(MaxSessions) }

func newStore(maxSessions int) *Store {
	return &Store{
		items: btree.NewMap[string, item](0), sessions: btree.NewMap[string, session](0), uses: btree.NewMap[uint64, string](0),
		maxSessions: maxSessions,
	}
}

// Apply executes the commands of the entry at index, in order, and returns an
// encoded Reply for each. The commands are not kept.
func (s *Store) Apply(index uint64, commands [][]byte) (results [][]byte) {
	if index <= s.index {
		panic("store: entries applied out of order")
	}
	s.index, s.commands = index, uint32(len(commands))
	results = make([][]byte, len(commands))
	for i, raw := range commands {
		results[i] = s.applyOne(index, uint32(i), raw).Append(make([]byte, 0, 24))
	}
	return results
}

func (s *Store) applyOne(index uint64, offset uint32, raw []byte) Reply {
	cmd, err := ParseCommand(raw)
	if err != nil || offset >= 1<<offsetBits {
		return Reply{Code: Invalid, Index: index, Offset: offset}
	}
	x, known := session{}, false
	if cmd.Client != "" {
		x, known = s.sessions.Get(cmd.Client)
		switch {
		case known && cmd.Seq == x.seq:
			x.reply.Replayed = true
			return x.reply
		case known && cmd.Seq < x.seq:
			return Reply{Code: Stale, Index: index, Offset: offset}
		}
	}
	r := s.execute(Revision(index, offset), cmd)
	r.Index, r.Offset = index, offset
	if cmd.Client != "" {
		if known {
			s.uses.Delete(x.used)
		}
		s.keep(cmd.Client, session{seq: cmd.Seq, used: Revision(index, offset), reply: r, sum: x.sum})
	}
	return r
}

func (s *Store) execute(revision uint64, cmd Command) Reply {
	old, exists := s.items.Get(cmd.Key)
	switch cmd.Op {
	case Delete:
		if !exists {
			return Reply{Code: NotFound}
		}
		s.items.Delete(cmd.Key)
		s.sum.remove(old.sum)
		return Reply{}
	case CompareAndSwap:
		switch {
		case !exists && !cmd.Absent:
			return Reply{Code: NotFound}
		case exists && (cmd.Absent || !equal(old.value, cmd.Expect)):
			return Reply{Code: Conflict, Revision: old.revision}
		}
	}
	s.setItem(cmd.Key, item{value: string(cmd.Value), revision: revision, sum: old.sum})
	return Reply{Revision: revision}
}

func equal(s string, b []byte) bool { return s == string(b) }

// setItem stores an item whose sum is still that of the key's old value.
func (s *Store) setItem(key string, it item) {
	s.sum.remove(it.sum)
	s.scratch = appendItem(append(s.scratch[:0], 'i'), key, it)
	it.sum = digestOf(s.scratch)
	s.sum.add(it.sum)
	s.items.Set(key, it)
}

// keep stores a session whose sum is still that of its last state, and forgets
// the oldest if there are too many.
func (s *Store) keep(client string, x session) {
	s.sum.remove(x.sum)
	s.scratch = appendSession(append(s.scratch[:0], 's'), client, x)
	x.sum = digestOf(s.scratch)
	s.sum.add(x.sum)
	s.sessions.Set(client, x)
	s.uses.Set(x.used, client)
	for s.sessions.Len() > s.maxSessions {
		_, oldest, _ := s.uses.PopMin()
		gone, _ := s.sessions.Delete(oldest)
		s.sum.remove(gone.sum)
	}
}

// Get looks a key up: OK or NotFound. The caller owns the value.
func (s *Store) Get(key string) (value []byte, revision uint64, code Code) {
	it, ok := s.items.Get(key)
	if !ok {
		return nil, 0, NotFound
	}
	return []byte(it.value), it.revision, OK
}

// Applied returns the index of the last entry applied and the number of commands
// in it: the position that a lookup made now sees.
func (s *Store) Applied() (index uint64, commands uint32) { return s.index, s.commands }

// Sizes returns the numbers of keys and sessions.
func (s *Store) Sizes() (keys, sessions int) { return s.items.Len(), s.sessions.Len() }

// Hash returns the hash of the whole state, 32 hexadecimal digits. The position
// in the log is not part of it: an entry that changes nothing leaves it alone.
func (s *Store) Hash() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], s.sum.a)
	binary.BigEndian.PutUint64(b[8:], s.sum.b)
	return hex.EncodeToString(b[:])
}

// digest is the sum, lane by lane modulo 2^64, of the hashes of a set of items,
// so that a change costs no more than what it touches.
type digest struct{ a, b uint64 }

func (d *digest) add(o digest)    { d.a += o.a; d.b += o.b }
func (d *digest) remove(o digest) { d.a -= o.a; d.b -= o.b }

// digestOf hashes one item's encoding, which begins with a byte for its kind.
func digestOf(encoding []byte) digest {
	sum := sha256.Sum256(encoding)
	return digest{binary.LittleEndian.Uint64(sum[:8]), binary.LittleEndian.Uint64(sum[8:16])}
}

// appendItem and appendSession are the forms under the hash and in a snapshot.
func appendItem(b []byte, key string, it item) []byte {
	return appendString(appendUints(appendString(b, key), it.revision), it.value)
}

func appendSession(b []byte, client string, x session) []byte {
	b = appendUints(appendString(b, client), x.seq, x.used)
	return x.reply.Append(b)
}
