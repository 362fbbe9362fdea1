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
	wantFull, old := m.servers.note(r)
	if old != nil {
		if err := old.Close(); err != nil {
			m.o.Logger.Warn("closing the connection to an old chunkserver address", "chunkserver", r.Chunkserver, "error", err)
		}
	}
	st := m.replica.Status()
	members, index := m.o.Directory.Newer(r.MembersIndex)
	reply := &api.HeartbeatReply{Term: st.Term, Leader: isLeader(st), Members: members, MembersIndex: index, WantFull: wantFull}
	if reply.Leader && len(r.Claims) > 0 {
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

// note takes a heartbeat over. wantFull says that a full report is missing; old
// is the connection to the chunkserver's last address, to be closed.
//
// A report that is older than one taken over already (same boot, no higher
// sequence) says nothing new. After a gap in the sequence, what was not reported
// may be there all the same, until the next full report. Sequence 0 is not
// counted.
func (t *chunkservers) note(r *api.HeartbeatRequest) (wantFull bool, old *grpc.ClientConn) {
	var fresh *replicaSet
	if r.Full { // may be large: not under the lock
		fresh = newReplicaSet()
		fresh.report(r.Chunks)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byName[r.Chunkserver]
	if c == nil {
		c = &chunkserver{name: r.Chunkserver, recent: decaying{half: recentHalf}}
		t.byName[r.Chunkserver] = c
		close(t.heard)
		t.heard = make(chan struct{})
	}
	if c.addr != r.Address || c.boot != r.Boot || c.replicas == nil {
		old, c.conn = c.conn, nil
		c.addr, c.boot = r.Address, r.Boot
		c.replicas, c.complete, c.sequence = newReplicaSet(), false, 0
		c.suspects, c.removing, c.removed = make(map[uint64]time.Time), make(map[uint64]time.Time), nil
	}
	if r.Sequence != 0 && r.Sequence <= c.sequence {
		return !c.complete, old
	}
	c.heard, c.rack = t.o.Now(), r.Rack
	c.used, c.capacity = r.UsedBytes, r.CapacityBytes
	switch {
	case r.Full:
		c.replicas, c.complete = fresh, true
	default:
		if r.Sequence > c.sequence+1 {
			c.complete = false
		}
		c.replicas.report(r.Chunks)
		for _, handle := range r.Gone {
			c.replicas.drop(handle)
		}
	}
	c.sequence = max(c.sequence, r.Sequence)
	return !c.complete, old
}

// report takes reported replicas over.
func (r *replicaSet) report(chunks []*api.ChunkReport) {
	for _, c := range chunks {
		r.put(c.Handle, heldReplica{version: uint32(c.Version), length: uint32(c.Length)}, c.Corrupt)
	}
}
