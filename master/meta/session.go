package meta

import "encoding/binary"

// session is what the state remembers of one client: its last operation, whose
// position is in the reply.
type session struct {
	seq   uint64
	reply reply
	// queued is the session's key in the table of ages: the position of its last
	// use or of an earlier one.
	queued uint64

	hash digest // of what the table holds, zero for nothing
}

// MaxClientBytes bounds the name of a client.
const MaxClientBytes = 255

// encode returns the session's value and how much of it is under the hash.
func (x *session) encode(b []byte) (value []byte, hashed int) {
	start := len(b)
	r := &x.reply
	b = appendUints(b, x.seq, r.index, uint64(r.offset), uint64(r.code), r.handle, r.version, r.id, r.epoch, r.count)
	hashed = len(b) - start
	return appendUints(b, x.queued), hashed
}

func decodeSession(value []byte) (x session, hashed int, ok bool) {
	d := decoder{b: value}
	x.seq = d.uint()
	x.reply = reply{index: d.uint(), offset: uint32(d.uint()), code: Code(d.uint()), handle: d.uint(), version: d.uint(), id: d.uint(), epoch: d.uint(), count: d.uint()}
	hashed = len(value) - len(d.b)
	x.queued = d.uint()
	return x, hashed, d.ok()
}

// last is the position of the session's last use.
func (x *session) last() uint64 { return FileID(x.reply.index, x.reply.offset) }

// loadSession looks a session up in order to change it.
func (s *State) loadSession(client string) (x session, found bool) {
	var room [MaxClientBytes]byte
	key := append(room[:0], client...)
	value, found := s.sessions.Get(key)
	if !found {
		return session{}, false
	}
	x, hashed, _ := decodeSession(value)
	x.hash = itemHash('s', key, value[:hashed])
	return x, true
}

// storeSession puts a session that loadSession returned, or a new one, into the
// table.
func (s *State) storeSession(client string, x *session) {
	var room [MaxClientBytes]byte
	key := append(room[:0], client...)
	value, hashed := x.encode(s.scratch[:0])
	s.scratch = value
	s.sum.remove(x.hash)
	x.hash = itemHash('s', key, value[:hashed])
	s.sum.add(x.hash)
	s.sessions.Set(key, value)
}

// storeReply makes r the last reply of the client's session; found says whether
// it has one. A session is queued under its first use only, and again when it
// comes to the front and is younger than that: using one costs the queue nothing.
func (s *State) storeReply(x *session, found bool, client string, seq uint64, r reply) {
	x.seq, x.reply = seq, r
	if !found {
		for s.sessions.Len() >= s.sessionLimit {
			s.forgetOldest()
		}
		s.queue(client, x)
	}
	s.storeSession(client, x)
}

// queue enters a session into the table of ages.
func (s *State) queue(client string, x *session) {
	var room [8]byte
	x.queued = x.last()
	s.ages.Set(idKey(room[:0], x.queued), []byte(client))
}

// expireSessions forgets the sessions that are too old at index.
func (s *State) expireSessions(index uint64) {
	for s.ages.Len() > 0 && s.firstQueued()>>offsetBits+s.sessionAge < index {
		s.forgetOldest()
	}
}

// firstQueued is the lowest key of the table of ages, which is not empty.
func (s *State) firstQueued() uint64 {
	for key := range s.ages.From(nil) {
		return binary.BigEndian.Uint64(key)
	}
	panic("meta: no session is queued")
}

// forgetOldest takes the first session off the queue. It is queued again if it
// was used since, and else forgotten.
func (s *State) forgetOldest() {
	for key, value := range s.ages.From(nil) {
		var room [8]byte
		queued, client := append(room[:0], key...), string(value)
		x, _ := s.loadSession(client)
		s.ages.Delete(queued)
		if x.last() == x.queued {
			s.sessions.Delete([]byte(client))
			s.sum.remove(x.hash)
			return
		}
		s.queue(client, &x)
		s.storeSession(client, &x)
		return
	}
}
