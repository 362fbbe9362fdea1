package master

import (
	"context"
	"fmt"

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
	heard, err := m.servers.note(r)
	if err != nil {
		return nil, err
	}
	m.afterReport(r.Chunkserver, &heard)
	if heard.old != nil {
		if err := heard.old.Close(); err != nil {
			m.o.Logger.Warn("closing the connection to an old chunkserver address", "chunkserver", r.Chunkserver, "error", err)
		}
	}
	st := m.replica.Status()
	members, index := m.o.Directory.Newer(r.MembersIndex)
	reply := &api.HeartbeatReply{Term: st.Term, Leader: isLeader(st), Members: members, MembersIndex: index, WantFull: heard.wantFull, FullFrom: heard.fullFrom}
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
	if p := r.Part; p != nil {
		switch {
		case r.Full || r.Sequence == 0:
			return bad("a part that is everything, or is not counted")
		case p.Below != 0 && p.Below <= p.From:
			return bad("a part from handle %d and below %d", p.From, p.Below)
		}
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
	fullFrom uint64           // of one in parts, what is below is known
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
