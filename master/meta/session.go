package meta

// session is what the state remembers of one client: its last operation.
type session struct {
	client string
	seq    uint64
	last   uint64 // log index of the last command that used it
	reply  reply
	sum    digest

	older, newer *session // in order of last; a list through the table
}

// sessionTable holds the sessions by client, and in order of their last use.
type sessionTable struct {
	byClient       map[string]*session
	oldest, newest *session
	age            uint64
}

func (t *sessionTable) init(age uint64) {
	t.byClient = make(map[string]*session)
	t.oldest, t.newest = nil, nil
	t.age = age
}

// pushNewest links a session that is in no list.
func (t *sessionTable) pushNewest(x *session) {
	x.older, x.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = x
	} else {
		t.oldest = x
	}
	t.newest = x
}

func (t *sessionTable) unlink(x *session) {
	if x.older != nil {
		x.older.newer = x.newer
	} else {
		t.oldest = x.newer
	}
	if x.newer != nil {
		x.newer.older = x.older
	} else {
		t.newest = x.older
	}
}

// expireSessions forgets the sessions that are too old at index.
func (s *State) expireSessions(index uint64) {
	t := &s.sessions
	for x := t.oldest; x != nil && x.last+t.age < index; x = t.oldest {
		t.unlink(x)
		delete(t.byClient, x.client)
		s.sum.remove(x.sum)
	}
}

// storeReply makes r the session's last reply.
func (s *State) storeReply(x *session, client string, seq uint64, r reply) {
	t := &s.sessions
	if x == nil {
		x = &session{client: client}
		t.byClient[client] = x
	} else {
		t.unlink(x)
	}
	x.seq, x.last, x.reply = seq, r.index, r
	t.pushNewest(x)
	s.hashSession(x)
}

func (s *State) hashSession(x *session) {
	s.sum.remove(x.sum)
	b := appendString(append(s.scratch[:0], 's'), x.client)
	b = appendUints(b, x.seq, x.last)
	b = appendReply(b, &x.reply)
	s.scratch = b
	x.sum = itemHash(b)
	s.sum.add(x.sum)
}

func appendReply(b []byte, r *reply) []byte {
	return appendUints(b, uint64(r.code), r.handle, r.version, r.id, r.epoch, r.index, uint64(r.offset))
}
