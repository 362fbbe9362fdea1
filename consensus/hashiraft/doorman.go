package hashiraft

import (
	"github.com/hashicorp/raft"

	"gfslab/consensus"
)

// doorman stands between the connections and the library, and looks at requests
// for votes. A server of Raft votes for whom it deems fit, whatever its own
// configuration says; the library refuses candidates that are no voters in it.
// If the leader dies when its newest voter is known to some only, those who do
// not know the newcomer refuse it, and it refuses the others, whose logs are
// shorter: nobody leads until the old leader is back. So the doorman lets those
// in whom the cluster may have added after what this replica has heard; one that
// has left is refused.
type doorman struct {
	roster *roster
	// promise is nil unless reads rely on it.
	promise *promise
	// standing is what a vote depends on here.
	standing func() standing
}

type standing struct {
	term                uint64
	leader              consensus.NodeID // 0 = none is known
	lastIndex, lastTerm uint64
}

// relay passes requests on until stop closes.
func (d *doorman) relay(from <-chan raft.RPC, to chan<- raft.RPC, stop <-chan struct{}) {
	for {
		var rpc raft.RPC
		select {
		case rpc = <-from:
		case <-stop:
			return
		}
		answer := d.look(&rpc)
		if answer.answered {
			continue
		}
		select {
		case to <- rpc:
		case <-stop:
			return
		}
		if answer.voting != nil && !d.await(answer, stop) {
			return
		}
	}
}

// verdict says what becomes of a request: it is answered, or the library's
// answer comes by voting and goes to reply.
type verdict struct {
	answered bool
	voting   <-chan raft.RPCResponse
	reply    chan<- raft.RPCResponse
}

func (d *doorman) look(rpc *raft.RPC) verdict {
	switch args := rpc.Command.(type) {
	case *raft.TimeoutNowRequest:
		if d.promise != nil && !d.promise.takeOver(args) {
			rpc.Respond(&raft.TimeoutNowResponse{}, errPromised)
			return verdict{answered: true}
		}
	case *raft.RequestPreVoteRequest:
		if d.newcomer(args.ID) {
			rpc.Respond(d.preVote(args), nil)
			return verdict{answered: true}
		}
	case *raft.RequestVoteRequest:
		newcomer := d.newcomer(args.ID)
		if d.promise != nil && !d.promise.admit(args) {
			rpc.Respond(&raft.RequestVoteResponse{RPCHeader: args.RPCHeader, Term: args.Term}, nil)
			return verdict{answered: true}
		}
		if newcomer {
			args.ID = nil // the library knows its address, and does not ask who it is
		}
		if d.promise != nil {
			answer := make(chan raft.RPCResponse, 1)
			v := verdict{voting: answer, reply: rpc.RespChan}
			rpc.RespChan = answer
			return v
		}
	}
	return verdict{}
}

// await waits until the library has answered a request for a vote, as no promise
// is made meanwhile. It takes one request after the other anyway.
func (d *doorman) await(v verdict, stop <-chan struct{}) bool {
	select {
	case a := <-v.voting:
		d.promise.voted()
		v.reply <- a
		return true
	case <-stop:
		return false
	}
}

// newcomer says that a candidate is no voter here, but may be one by now.
func (d *doorman) newcomer(candidate []byte) bool {
	id := raft.ServerID(candidate)
	e := d.roster.electors.Load()
	for _, s := range e.servers {
		if s.ID == id {
			return s.Suffrage != raft.Voter
		}
	}
	return len(e.servers) > 0 && nodeID(id) > e.highest
}

// preVote answers a newcomer as the library would answer a voter.
func (d *doorman) preVote(args *raft.RequestPreVoteRequest) *raft.RequestPreVoteResponse {
	s := d.standing()
	resp := &raft.RequestPreVoteResponse{RPCHeader: args.RPCHeader, Term: max(s.term, args.Term)}
	upToDate := args.LastLogTerm > s.lastTerm || args.LastLogTerm == s.lastTerm && args.LastLogIndex >= s.lastIndex
	resp.Granted = s.leader == 0 && args.Term >= s.term && upToDate
	return resp
}
