package meta

// chunk is one chunk of a file. Chunkservers are given by number.
type chunk struct {
	handle uint64
	fileID uint64
	slot   uint32 // its index within the file
	// version is committed by GrantActive; reserved is the highest one that any
	// intent was given, so that no version is ever given twice.
	version, reserved uint64
	members           []uint32
	lease             lease
	intent            intent
	deleted           bool // its file is gone; kept until the lease has ended

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
	b = appendUints(append(b, flags), c.fileID, uint64(c.slot), c.version)
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
	c = chunk{handle: handle, fileID: d.uint(), slot: uint32(d.uint()), version: d.uint(), deleted: flags&chunkDeleted != 0}
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
	return c, d.ok()
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

// dropChunk takes away a chunk whose file is deleted: at once, or when its lease
// ends if one is active.
func (s *State) dropChunk(c *chunk) {
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
