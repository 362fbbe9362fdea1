package meta

// chunk is one chunk of a file. Chunkservers are given by number.
type chunk struct {
	handle uint64
	kind   Kind
	// refs is the number of slots of files that the chunk is in; 0 if deleted.
	refs uint64
	// goal is how many replicas it should have, 0 for the cell's default.
	goal uint32
	// version is committed by GrantActive; reserved is the highest one that any
	// intent was given, so that no version is ever given twice.
	version, reserved uint64
	members           []uint32
	lease             lease
	intent            intent
	sealed            bool
	length            uint64 // if sealed
	deleted           bool   // no file has it; kept until the lease has ended

	hash digest // of what the table holds, zero for nothing
}

// lease is the active grant; epoch 0 means that there is none.
type lease struct {
	epoch   uint64
	primary uint32
}

// intent is the pending grant; index 0 means that there is none. Its version is
// the chunk's reserved one: each intent reserves the next and replaces the last.
type intent struct {
	index    uint64
	replicas []uint32
}

// What else a chunk's value holds.
const (
	chunkDeleted = 1 << iota
	chunkLeased
	chunkIntended
	chunkReserved // reserved is not version
	chunkBytes
	chunkSealed
	chunkShared
	chunkGoal
)

func (c *chunk) encode(b []byte) []byte {
	var flags byte
	if c.deleted {
		flags |= chunkDeleted
	}
	if c.lease.epoch != 0 {
		flags |= chunkLeased
	}
	if c.intent.index != 0 {
		flags |= chunkIntended
	}
	if c.reserved != c.version {
		flags |= chunkReserved
	}
	if c.kind == Bytes {
		flags |= chunkBytes
	}
	if c.sealed {
		flags |= chunkSealed
	}
	if c.refs > 1 {
		flags |= chunkShared
	}
	if c.goal != 0 {
		flags |= chunkGoal
	}
	b = appendUints(append(b, flags), c.version)
	if c.sealed {
		b = appendUints(b, c.length)
	}
	if c.refs > 1 {
		b = appendUints(b, c.refs)
	}
	if c.goal != 0 {
		b = appendUints(b, uint64(c.goal))
	}
	if c.reserved != c.version {
		b = appendUints(b, c.reserved)
	}
	b = appendNumbers(b, c.members)
	if c.lease.epoch != 0 {
		b = appendUints(b, c.lease.epoch, uint64(c.lease.primary))
	}
	if c.intent.index != 0 {
		b = appendNumbers(appendUints(b, c.intent.index), c.intent.replicas)
	}
	return b
}

func decodeChunk(handle uint64, value []byte) (c chunk, ok bool) {
	if len(value) == 0 {
		return c, false
	}
	flags := value[0]
	d := decoder{b: value[1:]}
	c = chunk{handle: handle, version: d.uint(), deleted: flags&chunkDeleted != 0, sealed: flags&chunkSealed != 0}
	if flags&chunkBytes != 0 {
		c.kind = Bytes
	}
	if c.sealed {
		c.length = d.uint()
	}
	switch {
	case flags&chunkShared != 0:
		c.refs = d.uint()
	case !c.deleted:
		c.refs = 1
	}
	if flags&chunkGoal != 0 {
		c.goal = uint32(d.uint())
	}
	c.reserved = c.version
	if flags&chunkReserved != 0 {
		c.reserved = d.uint()
	}
	c.members = d.numbers()
	if flags&chunkLeased != 0 {
		c.lease = lease{epoch: d.uint(), primary: uint32(d.uint())}
	}
	if flags&chunkIntended != 0 {
		c.intent = intent{index: d.uint(), replicas: d.numbers()}
	}
	return c, d.ok() && (flags&chunkShared == 0 || c.refs > 1) && (flags&chunkGoal == 0 || c.goal > 0)
}

func appendNumbers(b []byte, numbers []uint32) []byte {
	b = appendUints(b, uint64(len(numbers)))
	for _, n := range numbers {
		b = appendUints(b, uint64(n))
	}
	return b
}

// numbers decodes chunkservers, of which a chunk has at most maxReplicas.
func (d *decoder) numbers() []uint32 {
	n := d.uint()
	if n > maxReplicas {
		d.bad = true
	}
	if n == 0 || d.bad {
		return nil
	}
	numbers := make([]uint32, n)
	for i := range numbers {
		numbers[i] = uint32(d.uint())
	}
	return numbers
}

// loadChunk looks a chunk up in order to change it.
func (s *State) loadChunk(handle uint64) (c chunk, found bool) {
	var room [8]byte
	key := idKey(room[:0], handle)
	value, found := s.chunks.Get(key)
	if !found {
		return chunk{}, false
	}
	c, _ = decodeChunk(handle, value)
	c.hash = itemHash('c', key, value)
	return c, true
}

// storeChunk puts a chunk that loadChunk returned, or a new one, into the table.
func (s *State) storeChunk(c *chunk) {
	var room [8]byte
	key := idKey(room[:0], c.handle)
	s.scratch = c.encode(s.scratch[:0])
	s.sum.remove(c.hash)
	c.hash = itemHash('c', key, s.scratch)
	s.sum.add(c.hash)
	s.chunks.Set(key, s.scratch)
}

// dropChunk takes a reference from a chunk, and with the last one the chunk: at
// once, or when its lease ends if one is active.
func (s *State) dropChunk(c *chunk) {
	c.refs--
	if c.refs > 0 {
		s.storeChunk(c)
		return
	}
	if c.lease.epoch == 0 {
		s.removeChunk(c)
		return
	}
	c.deleted = true
	c.intent = intent{}
	var room [8]byte
	s.orphans.Set(idKey(room[:0], c.handle), nil)
	s.storeChunk(c)
}

func (s *State) removeChunk(c *chunk) {
	var room [8]byte
	key := idKey(room[:0], c.handle)
	s.chunks.Delete(key)
	s.orphans.Delete(key)
	s.sum.remove(c.hash)
}
