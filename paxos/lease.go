package paxos

import "time"

// A lease lets the leader answer reads without asking (rule 17). A node that
// answers a heartbeat grants it: for a while it promises nothing to others. Every
// phase-1 quorum has a granter in it, so nobody else leads meanwhile. The leader
// counts from before it sent the heartbeat, the granter from when it arrived, and
// either allows for the drift of the other's clock. Grants are not written down: a
// granter that restarts behaves as if it had granted just before.

// grant is what this node promised the leader of to.
type grant struct {
	to    Ballot
	until time.Duration
}

// SetTime tells the time since any fixed moment of this life, on a clock that never
// jumps. Call it before the events of a turn, after they have come in. If it is
// never called, a tick counts as a nanosecond.
func (n *Node) SetTime(now time.Duration) {
	if !n.clocked {
		n.clocked, n.clock = true, now
		n.grant.until = now + n.cfg.leaseAtGranter()
	}
	n.clock = max(n.clock, now)
}

func (c *Config) leaseAtGranter() time.Duration {
	return time.Duration(float64(c.Lease) * (1 + c.MaxDrift))
}

func (c *Config) leaseAtLeader() time.Duration {
	return time.Duration(float64(c.Lease) * (1 - c.MaxDrift))
}

// granting reports whether this node may promise nothing but to the leader it
// granted a lease, or to whom that leader made way for.
func (n *Node) granting() bool { return n.cfg.Lease > 0 && n.clock < n.grant.until }

// withholds reports whether a grant forbids the promise that m asks for.
func (n *Node) withholds(m *Message) bool {
	return n.granting() && m.Ballot != n.grant.to && m.Ballot != n.promised && (m.Promised.IsZero() || m.Promised != n.promised)
}

// giveLease grants the lease that the heartbeat m asks for. Only a durable promise
// will keep this node from helping a rival of before.
func (n *Node) giveLease(m, reply *Message) {
	if n.cfg.Lease == 0 || m.Time == 0 || n.out.durablePromise != m.Ballot {
		return
	}
	n.grant = grant{m.Ballot, max(n.grant.until, n.clock+n.cfg.leaseAtGranter())}
	reply.Time = m.Time
}

// stamp is the send time that a heartbeat carries, 0 to ask for no lease. One who
// told another to take over never has a lease at that ballot again: the grants no
// longer bind.
func (n *Node) stamp() uint64 {
	if n.cfg.Lease == 0 || n.lead.noLease {
		return 0
	}
	return max(1, uint64(n.clock))
}

// leased reports whether this leader knows of everything chosen through the slot
// before, because nobody else can have led since.
func (n *Node) leased(slot uint64) bool {
	l := n.lead
	if n.cfg.Lease == 0 || l.noLease || slot >= l.limit || n.chosen < l.barrier {
		return false
	}
	l.granted[n.members.self] = uint64(n.clock)
	since := n.governing(slot).reached(l.granted)
	return since != 0 && n.clock < time.Duration(since)+n.cfg.leaseAtLeader()
}
