package master

import "time"

// ReplicationStats counts what a master did about replicas, or had to.
type ReplicationStats struct {
	// Leading and WarmingUp describe the moment, as Under, Without (chunks below
	// their goal, and of those the ones without any live current replica), Queued
	// and Running (chunks that wait for work or have it done) do.
	Leading, WarmingUp              bool
	Under, Without, Queued, Running int
	// The others only grow: clones made and failed, their bytes, members dropped
	// from the log, replicas that chunkservers were told to remove and have
	// removed, and replicas reported corrupt.
	ClonedChunks, ClonedBytes, FailedClones      uint64
	DroppedMembers, NamedReplicas, RemovedByName uint64
	CorruptReplicas                              uint64
}

// ReplicationEvent is one step of the work on replicas. Observers must not block.
type ReplicationEvent struct {
	At   time.Time
	Term uint64
	// Begun is when the clone was decided: until it is asked for, a lease may have to
	// be ended. The same for what becomes of it; zero for other kinds.
	Begun time.Time
	// Kind is one of: warm (this leader may judge from now on), queued, clone (the
	// target is asked), cloned (it is a member now), failed, dropped (no member any
	// more), remove (the chunkserver is told to remove its replica), removed (it
	// says that it did), corrupt (it reports bad bytes).
	Kind    string
	Handle  uint64
	Version uint64
	Server  string // whose replica it is
	Source  string // clone, cloned: the chunkserver that is asked first
	Bytes   uint64 // cloned
	// Live and Goal are the current replicas alive before, and how many there
	// should be; Wanted says that a client waits, Hidden that the file is deleted.
	Live, Goal     int
	Wanted, Hidden bool
	Reason         string // failed, dropped, remove
}

// ReplicationStats describes the work on replicas as of now.
func (m *Master) ReplicationStats() ReplicationStats {
	warming := m.warmingUp()
	r := m.upkeep
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.total
	s.Leading, s.WarmingUp = r.term != 0, warming
	s.Under, s.Without, s.Queued, s.Running = r.under.count, r.without.count, r.queue.waiting(), r.running
	return s
}

// count adds to the counters, those of the term and those of all.
func (r *replication) count(add func(*ReplicationStats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	add(&r.total)
	add(&r.inTerm)
}
