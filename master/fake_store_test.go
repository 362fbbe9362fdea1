package master

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gfslab/api"
)

// fakeStore is what a fakeChunkserver would have on its disk, and what it reports
// of it. It obeys no lower term than it has seen.
type fakeStore struct {
	mu       sync.Mutex
	down     bool // no heartbeats
	boot     int
	term     uint64
	replicas map[uint64]*fakeCopy
	rack     string
	used     uint64 // 0: not reported
	capacity uint64
	gone     map[int][]uint64 // removed since the last report, by master
	full     map[int]bool     // masters that had a full report of this boot
	sequence uint64
	removed  []uint64 // by name, in order
	deaf     bool     // removes nothing
	cloning  time.Duration
}

type fakeCopy struct {
	version, length uint64
	corrupt         bool
	tokens          []uint64 // writes
}

func (s *fakeStore) change(f func(s *fakeStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replicas == nil {
		s.replicas, s.gone, s.full = make(map[uint64]*fakeCopy), make(map[int][]uint64), make(map[int]bool)
	}
	f(s)
}

// put puts a replica there behind the masters' backs.
func (s *fakeStore) put(handle, version, length uint64) {
	s.change(func(s *fakeStore) { s.replicas[handle] = &fakeCopy{version: version, length: length} })
}

func (s *fakeStore) get(handle uint64) (c fakeCopy, found bool) {
	s.change(func(s *fakeStore) {
		if r := s.replicas[handle]; r != nil {
			c, found = *r, true
		}
	})
	return c, found
}

// restart begins another boot; kill stops the heartbeats.
func (s *fakeStore) restart() {
	s.change(func(s *fakeStore) { s.boot++; s.down, s.sequence = false, 0; clear(s.full); clear(s.gone) })
}
func (s *fakeStore) kill() { s.change(func(s *fakeStore) { s.down = true }) }

func (s *fakeStore) prepare(r *api.GrantRequest) (ok bool) {
	s.change(func(s *fakeStore) {
		c := s.replicas[r.Handle]
		if r.Term < s.term || s.down || c == nil && r.Existing || c != nil && c.version > r.Version {
			return
		}
		if c == nil {
			c = new(fakeCopy)
			s.replicas[r.Handle] = c
		}
		s.term, c.version, ok = r.Term, r.Version, true
	})
	return ok
}

func (s *fakeStore) copyTo(r *api.CopyChunkRequest) (ok bool) {
	s.change(func(s *fakeStore) {
		from := s.replicas[r.From]
		if r.Term < s.term || s.down || from == nil || from.version < r.Version {
			return
		}
		s.term, ok = r.Term, true
		copied := *from
		copied.version = r.Version
		s.replicas[r.To] = &copied
	})
	return ok
}

// report is the next heartbeat for a master, nil if there is none.
func (s *fakeStore) report(master int) (r *api.HeartbeatRequest) {
	s.change(func(s *fakeStore) {
		if s.down {
			return
		}
		s.sequence++
		r = &api.HeartbeatRequest{Boot: string(rune('a' + s.boot)), Sequence: s.sequence, Full: !s.full[master], Rack: s.rack, UsedBytes: s.used, CapacityBytes: s.capacity}
		for _, h := range slices.Sorted(maps.Keys(s.replicas)) {
			c := s.replicas[h]
			r.Chunks = append(r.Chunks, &api.ChunkReport{Handle: h, Version: c.version, Length: c.length, Corrupt: c.corrupt})
		}
		r.Gone, s.gone[master] = s.gone[master], nil
	})
	return r
}

func (s *fakeStore) obey(master int, r *api.HeartbeatReply) {
	s.change(func(s *fakeStore) {
		s.full[master] = !r.WantFull
		if !r.Leader || r.Term < s.term || s.deaf {
			return
		}
		s.term = r.Term
		for _, x := range r.Remove {
			if c := s.replicas[x.Handle]; c != nil && c.version <= x.Version {
				delete(s.replicas, x.Handle)
				s.removed = append(s.removed, x.Handle)
				for m := range s.full {
					s.gone[m] = append(s.gone[m], x.Handle)
				}
			}
		}
	})
}

// Clone fetches a replica from the first source that has a good one.
func (c *fakeChunkserver) Clone(ctx context.Context, r *api.CloneRequest) (*api.CloneReply, error) {
	if ok, err := c.enter(ctx, "clone"); !ok || err != nil {
		return &api.CloneReply{Code: api.Code_CORRUPT, Reason: "refused"}, err
	}
	if c.onClone != nil {
		c.onClone(r, false)
		defer c.onClone(r, true)
	}
	for name, s := range c.cell.servers {
		if s.actingAt(r.Handle) >= r.Version && !c.cell.late { // older ones are fenced
			c.cell.t.Errorf("chunk %d is cloned while %s acts as primary", r.Handle, name)
		}
	}
	timer := time.NewTimer(c.store.cloning)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	reply := &api.CloneReply{Code: api.Code_CORRUPT, Reason: "no good source"}
	for _, address := range r.Sources {
		source := c.cell.servers[strings.TrimPrefix(address, "addr-")]
		copied, found := source.store.get(r.Handle)
		if !found || copied.version < r.Version {
			if c.cell.late {
				continue
			}
			c.cell.t.Errorf("%s is a source of chunk %d version %d, and has %v, %v", source.name, r.Handle, r.Version, copied, found)
			continue
		}
		if copied.corrupt {
			continue
		}
		c.store.change(func(s *fakeStore) {
			keeps := r.Version
			if own := s.replicas[r.Handle]; own != nil {
				keeps = max(keeps, own.version)
			}
			if r.Term < s.term || keeps > max(r.Version, r.VoidVersion) {
				reply = &api.CloneReply{Code: api.Code_STALE, Reason: "a higher version or term was seen"}
				return
			}
			s.term = r.Term
			s.replicas[r.Handle] = &fakeCopy{version: keeps, length: copied.length, tokens: copied.tokens}
			reply = &api.CloneReply{Bytes: copied.length}
		})
		break
	}
	return reply, nil
}

// actingAt is the version at which the chunkserver may act as primary now.
func (c *fakeChunkserver) actingAt(handle uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.until[handle]) {
		return c.grants[handle].Version
	}
	return 0
}

// overwrite gives a replica of exactly this version other contents, which are a number
// and stand where the length does.
func (s *fakeStore) overwrite(handle, version, contents uint64) (ok bool) {
	s.change(func(s *fakeStore) {
		if c := s.replicas[handle]; c != nil && c.version == version && !s.down {
			c.length, ok = contents, true
		}
	})
	return ok
}
