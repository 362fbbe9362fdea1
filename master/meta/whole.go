package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// whole holds the tables that were read against each other.
func (x *restoring) whole() error {
	if x.time < 0 || x.nextHandle == 0 || x.nextCopy >= copyIDs || x.index >= copyIDs>>offsetBits {
		return errors.New("its numbers are malformed")
	}
	if err := x.tree(); err != nil {
		return err
	}
	slices.Sort(x.files)
	for i, id := range x.files {
		if _, both := x.above[id]; both || i > 0 && x.files[i-1] == id {
			return fmt.Errorf("id %d is given twice", id)
		}
	}
	for _, id := range x.owners {
		if !x.isFile(id) {
			return fmt.Errorf("file %d has chunks and no name", id)
		}
	}
	if x.slots != 0 {
		return errors.New("files and chunks do not agree")
	}
	return x.counters()
}

func (x *restoring) isFile(id uint64) bool {
	_, found := slices.BinarySearch(x.files, id)
	return found
}

// tree checks that every directory leads up to the root.
func (x *restoring) tree() error {
	for _, dir := range x.holders {
		if _, known := x.above[dir]; !known {
			return fmt.Errorf("there are names in directory %d, which is missing", dir)
		}
	}
	sound := map[uint64]bool{0: true}
	var way []uint64
	for dir := range x.above {
		way = way[:0]
		for ; !sound[dir]; dir = x.above[dir] {
			if way = append(way, dir); len(way) > len(x.above) {
				return errors.New("a directory is above itself")
			}
		}
		for _, dir := range way {
			sound[dir] = true
		}
	}
	return nil
}

// counters checks whose attributes there are, and counts what is under quotas.
func (x *restoring) counters() error {
	used := make(map[uint64]usage, x.quotas)
	for key, value := range x.attributes.From(nil) {
		id := binary.BigEndian.Uint64(key)
		a, _ := decodeAttributes(value)
		if _, dir := x.above[id]; !dir && (a.limited() || !x.isFile(id)) {
			return fmt.Errorf("there are attributes of %d, which is missing or no directory", id)
		}
		if a.limited() {
			used[id] = a.used
		}
	}
	if len(used) == 0 {
		return nil
	}
	for key, value := range x.names.From(nil) {
		n, _, _ := decodeNode(value)
		if n.dir {
			continue
		}
		slots := int64(x.countSlots(n.id))
		for dir := binary.BigEndian.Uint64(key); dir != 0; dir = x.above[dir] {
			if u, limited := used[dir]; limited {
				used[dir] = usage{u.files - 1, u.chunks - slots}
			}
		}
	}
	for _, u := range used {
		if u != (usage{}) {
			return errors.New("a quota's counters are not what is below it")
		}
	}
	return nil
}

// mix makes a number of a handle, such that two sums of them are equal only if
// they are sums of the same.
func mix(handle uint64) uint64 {
	high, low := bits.Mul64(handle^0x9e3779b97f4a7c15, 0xd1b54a32d192ed03)
	high, low = bits.Mul64(high^low^handle, 0x8bb84b93962eacc9)
	return high ^ low
}
