package meta

import (
	"time"

	"gfslab/master/meta/metapb"
)

// DefaultRetention is how long, in nanoseconds, deleted files are kept where no
// directory says otherwise.
const DefaultRetention = int64(72 * time.Hour)

// attributes are those set on a file or directory itself.
type attributes struct {
	has                 byte // which are set
	retention           int64
	replicas            uint32
	maxFiles, maxChunks uint64
	// used is what a directory with a quota counts.
	used usage

	hash digest // of what the table holds, zero for nothing
}

const (
	hasRetention = 1 << iota
	hasReplicas
	hasMaxFiles
	hasMaxChunks

	hasQuota = hasMaxFiles | hasMaxChunks
)

// attributeNames are what SetAttributesOp.clear may name.
var attributeNames = map[string]byte{
	"retention": hasRetention, "replicas": hasReplicas, "max_files": hasMaxFiles, "max_chunks": hasMaxChunks,
}

// limited reports whether there is a quota.
func (a *attributes) limited() bool { return a.has&hasQuota != 0 }

func (a *attributes) encode(b []byte) []byte {
	b = append(b, a.has)
	if a.has&hasRetention != 0 {
		b = appendUints(b, uint64(a.retention))
	}
	if a.has&hasReplicas != 0 {
		b = appendUints(b, uint64(a.replicas))
	}
	if a.has&hasMaxFiles != 0 {
		b = appendUints(b, a.maxFiles)
	}
	if a.has&hasMaxChunks != 0 {
		b = appendUints(b, a.maxChunks)
	}
	if a.limited() {
		b = appendUints(b, uint64(a.used.files), uint64(a.used.chunks))
	}
	return b
}

func decodeAttributes(value []byte) (a attributes, ok bool) {
	if len(value) == 0 {
		return a, false
	}
	a.has = value[0]
	d := decoder{b: value[1:]}
	if a.has&hasRetention != 0 {
		a.retention = int64(d.uint())
	}
	if a.has&hasReplicas != 0 {
		a.replicas = uint32(d.uint())
	}
	if a.has&hasMaxFiles != 0 {
		a.maxFiles = d.uint()
	}
	if a.has&hasMaxChunks != 0 {
		a.maxChunks = d.uint()
	}
	if a.limited() {
		a.used = usage{int64(d.uint()), int64(d.uint())}
	}
	sound := a.has != 0 && a.has < hasMaxChunks<<1 && a.retention >= 0 && a.replicas <= maxReplicas &&
		(a.has&hasReplicas == 0) == (a.replicas == 0)
	return a, sound && d.ok()
}

// loadAttributes looks up what is set on a file or directory.
func (s *State) loadAttributes(id uint64) (a attributes, found bool) {
	if s.attributes.Len() == 0 { // as mostly
		return a, false
	}
	var room [8]byte
	key := idKey(room[:0], id)
	value, found := s.attributes.Get(key)
	if !found {
		return a, false
	}
	a, _ = decodeAttributes(value)
	a.hash = itemHash('a', key, value)
	return a, true
}

// storeAttributes puts attributes that loadAttributes returned, or new ones, into
// the table; without any it takes them out.
func (s *State) storeAttributes(id uint64, a *attributes) {
	var room [8]byte
	key := idKey(room[:0], id)
	s.sum.remove(a.hash)
	a.hash = digest{}
	if a.has == 0 {
		s.attributes.Delete(key)
		return
	}
	s.scratch = a.encode(s.scratch[:0])
	a.hash = itemHash('a', key, s.scratch)
	s.sum.add(a.hash)
	s.attributes.Set(key, s.scratch)
}

// dropAttributes takes away those of a file or directory that is removed.
func (s *State) dropAttributes(id uint64) {
	if a, found := s.loadAttributes(id); found {
		if a.limited() {
			s.quotas--
		}
		a.has = 0
		s.storeAttributes(id, &a)
	}
}

// inherited is the nearest of what is set on id, on the directory dir that it is
// in, and on those above, for one attribute.
func (s *State) inherited(id, dir uint64, which byte) (a attributes, found bool) {
	if s.attributes.Len() == 0 {
		return a, false
	}
	for next := dir; id != 0; id, next = next, s.parent(next) {
		if a, found = s.loadAttributes(id); found && a.has&which != 0 {
			return a, true
		}
	}
	return attributes{}, false
}

// retention is that of what is in the directory dir with the given id.
func (s *State) retention(id, dir uint64) int64 {
	if a, found := s.inherited(id, dir, hasRetention); found {
		return a.retention
	}
	return DefaultRetention
}

// goal is that of a new chunk of the file id in the directory dir.
func (s *State) goal(id, dir uint64) uint32 {
	a, _ := s.inherited(id, dir, hasReplicas)
	return a.replicas
}

// setAttributes sets and clears attributes of a file or directory.
func (s *State) setAttributes(op *metapb.SetAttributesOp) reply {
	n, dir, found := s.lookupIn(op.Path)
	if !found {
		return reply{code: NotFound}
	}
	if !n.dir && (op.MaxFiles != nil || op.MaxChunks != nil) {
		return reply{code: NotDirectory}
	}
	old, _ := s.loadAttributes(n.id)
	a := old
	a.set(op)
	switch {
	case a.limited() && !old.limited():
		u, all := s.count(n, maxEntries)
		if !all {
			return reply{code: TooLarge}
		}
		a.used = u
		s.quotas++
	case !a.limited() && old.limited():
		a.used = usage{}
		s.quotas--
	case !n.dir && a.replicas != old.replicas && s.countSlots(n.id) > maxEntries:
		return reply{code: TooLarge}
	}
	s.storeAttributes(n.id, &a)
	if !n.dir && a.replicas != old.replicas {
		s.setGoals(n.id, s.goal(n.id, dir))
	}
	return reply{id: n.id}
}

// set makes the changes; op is well-formed.
func (a *attributes) set(op *metapb.SetAttributesOp) {
	for _, name := range op.Clear {
		a.has &^= attributeNames[name]
	}
	if op.RetentionNs != nil {
		a.has, a.retention = a.has|hasRetention, *op.RetentionNs
	}
	if op.Replicas != nil {
		a.has, a.replicas = a.has|hasReplicas, *op.Replicas
	}
	if op.MaxFiles != nil {
		a.has, a.maxFiles = a.has|hasMaxFiles, *op.MaxFiles
	}
	if op.MaxChunks != nil {
		a.has, a.maxChunks = a.has|hasMaxChunks, *op.MaxChunks
	}
	if a.has&hasReplicas == 0 {
		a.replicas = 0
	}
}

// validAttributes reports whether the values and names make sense, none of them
// both set and cleared.
func validAttributes(op *metapb.SetAttributesOp) bool {
	if len(op.Clear) > len(attributeNames) {
		return false
	}
	set := attributes{}
	set.set(&metapb.SetAttributesOp{RetentionNs: op.RetentionNs, Replicas: op.Replicas, MaxFiles: op.MaxFiles, MaxChunks: op.MaxChunks})
	for _, name := range op.Clear {
		if bit, known := attributeNames[name]; !known || set.has&bit != 0 {
			return false
		}
	}
	return op.GetRetentionNs() >= 0 && (op.Replicas == nil || *op.Replicas >= 1 && *op.Replicas <= maxReplicas)
}

// setGoals makes goal that of all chunks of a file.
func (s *State) setGoals(fileID uint64, goal uint32) {
	s.handles = s.handlesOf(s.handles[:0], fileID)
	for _, handle := range s.handles {
		if c, found := s.loadChunk(handle); found && c.goal != goal {
			c.goal = goal
			s.storeChunk(&c)
		}
	}
}

// lookupIn follows a valid path and tells the directory that its last name is in,
// 0 for the root.
func (s *State) lookupIn(path string) (n node, dir uint64, found bool) {
	if path == "/" {
		return root, 0, true
	}
	p, code := s.lookupParent(path, 0)
	if code != OK {
		return node{}, 0, false
	}
	n, found = s.child(p.dir, p.name)
	return n, p.dir, found
}
