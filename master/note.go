package master

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// note takes a heartbeat over. A report repeats all that was not answered, so one
// that got lost is no loss, and one that is older than what was taken over already
// (same boot, no higher sequence) says nothing new. The sequence 0 is not counted.
// One of a boot that is over is refused with FAILED_PRECONDITION.
func (t *chunkservers) note(r *api.HeartbeatRequest) (h heard, err error) {
	var fresh *replicaSet
	if r.Full { // may be large: not under the lock
		fresh = newReplicaSet()
		fresh.report(r.Chunks, fresh)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c, now := t.byName[r.Chunkserver], t.o.Now()
	if c == nil {
		c = &chunkserver{name: r.Chunkserver, recent: decaying{half: recentHalf}, incoming: make(map[uint64]bool)}
		t.byName[r.Chunkserver] = c
		close(t.heard)
		t.heard = make(chan struct{})
	}
	if c.boot.id != r.Boot && c.isOver(r, now, t.o.DeadAfter) {
		return h, status.Errorf(codes.FailedPrecondition, "heartbeat: %s was started again since boot %q", r.Chunkserver, r.Boot)
	}
	if c.addr != r.Address || c.boot.id != r.Boot || c.replicas == nil {
		h.old, c.conn = c.conn, nil
		c.begin(r, now)
	}
	c.heard = now
	if r.Sequence != 0 && r.Sequence <= c.sequence {
		h.wantFull, h.fullFrom = !c.complete, c.covered
		return h, nil
	}
	c.sequence = r.Sequence
	c.rack = r.Rack
	c.used, c.capacity = r.UsedBytes, r.CapacityBytes
	for _, x := range r.Chunks {
		if x.Corrupt && !c.replicas.isCorrupt(x.Handle) {
			h.corrupt = append(h.corrupt, x.Handle)
		}
	}
	switch {
	case r.Full:
		h.removed = c.goneBut(fresh)
		c.replicas, c.complete, c.covered = fresh, true, 0
	case r.Part != nil:
		h.removed = c.part(r)
	default:
		c.replicas.report(r.Chunks, c.replicas)
		h.removed = c.gone(r.Gone)
	}
	h.wantFull, h.fullFrom = !c.complete, c.covered
	return h, nil
}

// begin begins to know a chunkserver anew: under another boot or address.
func (c *chunkserver) begin(r *api.HeartbeatRequest, now time.Time) {
	if c.boot.id != "" && c.boot.id != r.Boot {
		c.restarted = now
		c.insistent = ""
		c.former = append(c.former, c.boot.id)
		c.former = c.former[max(0, len(c.former)-maxFormer):]
	}
	c.addr, c.boot = r.Address, bootOf(r)
	c.replicas, c.complete, c.covered, c.sequence = newReplicaSet(), false, 0, 0
	c.suspects, c.removing, c.removed = make(map[uint64]time.Time), make(map[uint64]time.Time), nil
}

// part takes over one part of a full report: what it does not mention is not there.
// Full it is when one reached the next from 0 to the end. Whatever the chunkserver
// told before this one is older, and what changed in the parts before it tells too,
// so one that is repeated does no harm; one that is missing begins everything anew.
func (c *chunkserver) part(r *api.HeartbeatRequest) (removed []uint64) {
	p := r.Part
	told := make([]uint64, 0, len(r.Chunks))
	for _, x := range r.Chunks {
		told = append(told, x.Handle)
	}
	slices.Sort(told)
	var missing []uint64
	miss := func(handle uint64) {
		if _, found := slices.BinarySearch(told, handle); !found && handle >= p.From && (p.Below == 0 || handle < p.Below) {
			missing = append(missing, handle)
		}
	}
	for _, handle := range c.replicas.between(p.From, p.Below) {
		miss(handle)
	}
	for handle := range c.suspects {
		miss(handle)
	}
	for handle := range c.removing {
		miss(handle)
	}
	missing = append(missing, r.Gone...)
	slices.Sort(missing)
	removed = c.gone(slices.Compact(missing))
	c.replicas.report(r.Chunks, c.replicas)
	if p.From <= c.covered {
		c.complete, c.covered = p.Below == 0, p.Below
	}
	return removed
}

// report takes reported replicas over. A replica's version never falls while a
// chunkserver runs, so a lower one than in before, which is what was known of this
// boot, is from an older report than what was learnt otherwise; see acked.
func (r *replicaSet) report(chunks []*api.ChunkReport, before *replicaSet) {
	for _, c := range chunks {
		version := uint32(c.Version)
		if x, found := before.get(c.Handle); found {
			version = max(version, x.version)
		}
		r.put(c.Handle, heldReplica{version: version, length: uint32(c.Length)}, c.Corrupt)
	}
}

// boot names one start of a chunkserver, and says when that was: by the count on
// its disk, which it may lose, and by its clock, which may be set back.
type boot struct {
	id      string
	count   uint64
	started int64
}

// maxFormer is how many boots of a chunkserver are remembered that were followed
// by another one.
const maxFormer = 8

func bootOf(r *api.HeartbeatRequest) boot {
	return boot{id: r.Boot, count: r.BootCount, started: r.BootStartedNs}
}

// before reports whether both count and clock say that b was over before another
// boot: nothing that can happen to one start makes both wrong.
func (b boot) before(o boot) bool {
	return b.count <= o.count && b.started <= o.started && (b.count < o.count || b.started < o.started)
}

// isOver reports whether a heartbeat is of a boot that ended before the known one
// began, and came late. Where count and clock disagree, or neither was told, one
// that was followed by another is over. Should all that be wrong, as after the
// loss of the disk with a clock set back, it holds only while the known boot is
// heard of, or, of one that was followed by another, until it has insisted on being
// there for as long as it takes to call a chunkserver dead: a process that runs must
// not be locked out, also if the one before it was heard late. Call with mu held.
func (c *chunkserver) isOver(r *api.HeartbeatRequest, now time.Time, deadAfter time.Duration) bool {
	heard := now.Sub(c.heard) <= deadAfter
	b, former := bootOf(r), slices.Contains(c.former, r.Boot)
	switch {
	case c.boot.before(b):
		return false
	case b.before(c.boot):
		return heard || former && !c.insists(r.Boot, now, deadAfter)
	}
	return former && heard
}

// insists notes that a boot was heard that seems to be over, and reports whether it
// was for so long.
func (c *chunkserver) insists(boot string, now time.Time, long time.Duration) bool {
	if c.insistent != boot {
		c.insistent, c.insisted = boot, now
	}
	return now.Sub(c.insisted) > long
}
