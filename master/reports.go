package master

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// maxClaims and maxChunkserverName bound what a heartbeat may carry.
const (
	maxClaims          = 1 << 14
	maxChunkserverName = 255
)

// Heartbeat notes that a chunkserver is alive, where, and what it stores. Every
// master does; the leader also answers claims and names replicas to remove.
// A malformed heartbeat is refused with INVALID_ARGUMENT and changes nothing.
func (m *Master) Heartbeat(ctx context.Context, r *api.HeartbeatRequest) (*api.HeartbeatReply, error) {
	if err := checkHeartbeat(r); err != nil {
		return nil, err
	}
	heard := m.servers.note(r)
	m.afterReport(r.Chunkserver, &heard)
	if heard.old != nil {
		if err := heard.old.Close(); err != nil {
			m.o.Logger.Warn("closing the connection to an old chunkserver address", "chunkserver", r.Chunkserver, "error", err)
		}
	}
	st := m.replica.Status()
	members, index := m.o.Directory.Newer(r.MembersIndex)
	reply := &api.HeartbeatReply{Term: st.Term, Leader: isLeader(st), Members: members, MembersIndex: index, WantFull: heard.wantFull}
	if reply.Leader && (len(r.Claims) > 0 || m.servers.hasRemovals(r.Chunkserver)) {
		m.leaderAnswers(ctx, r, reply)
	}
	return reply, nil
}

// leaderAnswers fills in what only a leader with proven authority may say. If it
// cannot be proven in time, the heartbeat is answered without: it must not be
// held up, because it also tells that the chunkserver is alive.
func (m *Master) leaderAnswers(ctx context.Context, r *api.HeartbeatRequest, reply *api.HeartbeatReply) {
	ctx, cancel := context.WithTimeout(ctx, m.o.CallTimeout)
	defer cancel()
	term, err := m.authority(ctx)
	if err != nil {
		return
	}
	reply.Term = term
	for _, claim := range r.Claims {
		reply.Claims = append(reply.Claims, m.confirm(term, claim))
	}
	if !m.warmingUp() {
		reply.Remove = m.nameReplicas(term, r.Chunkserver)
	}
}

func checkHeartbeat(r *api.HeartbeatRequest) error {
	bad := func(format string, args ...any) error {
		return status.Error(codes.InvalidArgument, fmt.Sprintf("heartbeat: "+format, args...))
	}
	switch {
	case r.Chunkserver == "" || r.Address == "":
		return bad("there is no chunkserver or no address")
	case len(r.Chunkserver) > maxChunkserverName || len(r.Rack) > maxChunkserverName || len(r.Address) > 2*maxChunkserverName:
		return bad("a name of more than %d bytes", maxChunkserverName)
	case len(r.Claims) > maxClaims:
		return bad("%d claims; at most %d", len(r.Claims), maxClaims)
	}
	for _, c := range r.Chunks {
		if c == nil || c.Handle == 0 || c.Version > maxVersion || c.Length > maxVersion {
			return bad("impossible report %v", c)
		}
	}
	for _, c := range r.Claims {
		if c == nil || c.Chunkserver != r.Chunkserver {
			return bad("a claim of %q", c.GetChunkserver())
		}
	}
	return nil
}

// heard is what taking a heartbeat over brought to light.
type heard struct {
	wantFull bool             // a full report is missing
	old      *grpc.ClientConn // to the chunkserver's last address, to be closed
	corrupt  []uint64         // replicas reported corrupt for the first time
	removed  []uint64         // replicas that it had been told to remove, and did
}

// afterReport counts what a report brought to light and looks at it.
func (m *Master) afterReport(name string, h *heard) {
	for _, handle := range h.corrupt {
		m.o.OnReplication(ReplicationEvent{At: m.o.Now(), Kind: "corrupt", Handle: handle, Server: name})
		m.look(handle)
	}
	for _, handle := range h.removed {
		m.o.OnReplication(ReplicationEvent{At: m.o.Now(), Kind: "removed", Handle: handle, Server: name})
	}
	if len(h.corrupt)+len(h.removed) > 0 {
		m.upkeep.count(func(s *ReplicationStats) {
			s.CorruptReplicas += uint64(len(h.corrupt))
			s.RemovedByName += uint64(len(h.removed))
		})
	}
}

// note takes a heartbeat over. A report repeats all that was not answered, so one
// that got lost is no loss, and one that is older than what was taken over already
// (same boot, no higher sequence) says nothing new. A full report numbered 1 begins
// to count anew, and another one is asked for: it may have been given up while this
// master stood still, and be older than what was known. 0 is not counted.
func (t *chunkservers) note(r *api.HeartbeatRequest) (h heard) {
	var fresh *replicaSet
	if r.Full { // may be large: not under the lock
		fresh = newReplicaSet()
		fresh.report(r.Chunks, fresh)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byName[r.Chunkserver]
	if c == nil {
		c = &chunkserver{name: r.Chunkserver, recent: decaying{half: recentHalf}, incoming: make(map[uint64]bool)}
		t.byName[r.Chunkserver] = c
		close(t.heard)
		t.heard = make(chan struct{})
	}
	if c.former != "" && c.former == r.Boot && !r.Full {
		// It was on its way when that process ended. One that lost its disk may count
		// its boots anew, but begins with a full report.
		h.wantFull = true
		return h
	}
	if c.addr != r.Address || c.boot != r.Boot || c.replicas == nil {
		h.old, c.conn = c.conn, nil
		if c.boot != "" && c.boot != r.Boot {
			c.restarted, c.former = t.o.Now(), c.boot
		}
		c.addr, c.boot = r.Address, r.Boot
		c.replicas, c.complete, c.sequence = newReplicaSet(), false, 0
		c.suspects, c.removing, c.removed = make(map[uint64]time.Time), make(map[uint64]time.Time), nil
	}
	c.heard = t.o.Now()
	if r.Sequence != 0 && r.Sequence <= c.sequence && !(r.Full && r.Sequence == 1) {
		h.wantFull = !c.complete
		return h
	}
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
		c.replicas, c.complete = fresh, true
	default:
		c.replicas.report(r.Chunks, c.replicas)
		h.removed = c.gone(r.Gone)
	}
	if c.sequence != 0 && r.Sequence == 1 {
		c.complete = false
	}
	c.sequence = r.Sequence
	h.wantFull = !c.complete
	return h
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
