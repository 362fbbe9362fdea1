package paxos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Errors of the methods of Node.
var (
	// ErrNotLeader: only a leader proposes and confirms reads.
	ErrNotLeader = errors.New("paxos: not the leader")
	// ErrWindowFull: Window slots are proposed and not chosen, or a new leader
	// still re-proposes what it found. Propose again after the next Persisted or
	// Step.
	ErrWindowFull = errors.New("paxos: the window is full")
	// ErrNotPeer: a message came from, or was meant for, a node that it should not.
	ErrNotPeer = errors.New("paxos: message is not from a peer to this node")
	// ErrMalformed: no node of this package sends such a message.
	ErrMalformed = errors.New("paxos: malformed message")
)

const (
	// MaxAhead bounds how far above its known-chosen prefix a node accepts. The
	// node that lags behind by more catches up first; meanwhile such Accepts are as
	// good as lost. So a log has no wider gaps, whatever the others did without it.
	MaxAhead = 1 << 20
	// maxRise bounds how far one message may raise the rounds heard of. No cluster
	// holds 2^32 elections while a node is away, and a number out of thin air must
	// not use up the ballots.
	maxRise = 1 << 32
)

// Node is one member: acceptor, learner and possible leader. It is not safe for
// concurrent use. Given the same calls in the same order it returns the same
// results.
type Node struct {
	cfg     Config
	members members
	rng     *rand.Rand
	// configs are the configurations that may still be asked for, by slot; those from
	// inUse on govern slots that are not chosen yet. What is known of them ends with
	// those made at or below configBase and the chosen prefix.
	configs    []*configuration
	inUse      int
	configBase uint64
	marks      []uint64 // accepted slots that may change the members
	shown      showing

	role     Role
	promised Ballot
	leader   NodeID
	// highest is the highest ballot seen anywhere; the next one of this node's
	// own exceeds it.
	highest Ballot

	log slotLog
	acc acceptance
	// chosen <- handed out in Ready.Apply <- applied, each a contiguous prefix.
	chosen, handed, applied uint64
	// snapshot is the slot of the newest snapshot on this disk; floor see snapshot.go.
	snapshot, floor uint64
	notice          notice
	fetch           fetch

	attempt attempt     // while PreCandidate
	cand    *candidacy  // while Candidate
	lead    *leadership // while Leader

	now      uint64 // ticks since New
	elapsed  int    // ticks since contact with a leader, or since the attempt began
	timeout  int
	backoffs int // rejections in a row

	clock   time.Duration
	clocked bool // by SetTime
	grant   grant

	out      outbox
	counters Counters
}

// New returns a follower that continues from what the last incarnation left.
func New(cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	m, err := cfg.members()
	if err != nil {
		return nil, err
	}
	cfg.Applied = max(cfg.Applied, cfg.Snapshot.Slot)
	n := &Node{
		cfg: cfg, members: m, rng: rand.New(rand.NewPCG(cfg.Seed, uint64(cfg.ID))),
		promised: cfg.HardState.Promised, highest: cfg.HardState.Promised,
		log:    newSlotLog(cfg.Storage, 4*cfg.Window),
		chosen: max(cfg.HardState.Chosen, cfg.Applied), handed: cfg.Applied, applied: cfg.Applied,
	}
	n.snapshot, n.floor = cfg.Snapshot.Slot, cfg.Snapshot.Slot
	if !cfg.Join {
		n.configs = []*configuration{{Members: Members{Voters: slices.Clone(m.ids), MaxID: slices.Max(m.ids), Data: cfg.Founders}, sealed: true}}
	}
	// A snapshot may be ahead of this node's own log: what is applied need not be on
	// its own disk. So what the log says of the snapshot's slots proves nothing, not
	// even later, when the chosen prefix on disk has passed them.
	if cfg.HardState.Chosen < n.snapshot {
		n.dropTail(cfg.Snapshot)
	}
	n.log.compact(n.snapshot, cfg.Snapshot.Ballot)
	n.out.next, n.out.written = 1, cfg.HardState
	n.out.durablePromise, n.out.durableChosen = cfg.HardState.Promised, n.chosen
	if n.log.last < n.chosen {
		return nil, fmt.Errorf("paxos: slot %d is known chosen, but the log ends at %d", n.chosen, n.log.last)
	}
	if c := cfg.Storage.Compacted(); c > n.snapshot {
		return nil, fmt.Errorf("paxos: the log is cut through slot %d, and the snapshot ends at %d", c, n.snapshot)
	}
	if n.keeps() && n.log.prefix(n.chosen) < n.log.last && !cfg.Unsafe {
		return nil, fmt.Errorf("paxos: slot %d is missing, and the log goes on to %d: it was written with other switches", n.log.whole+1, n.log.last)
	}
	n.recoverConfigs()
	n.fetch.target = n.edge()
	n.show(cfg.Applied)
	n.acc.recover(n)
	n.grant.until = cfg.leaseAtGranter()
	n.resetTimeout()
	return n, n.log.err
}

// members checks the founders. Who joins stands alone so far.
func (c *Config) members() (members, error) {
	if c.Join {
		return newMembers(c.ID, []NodeID{c.ID})
	}
	m, err := newMembers(c.ID, c.Peers)
	if err != nil || c.Unsafe {
		return m, err
	}
	q1, _, err := quorums(len(m.ids), c.Phase1Quorum, c.Phase2Quorum, false)
	if err != nil {
		return m, err
	}
	return m, c.Switches.Safe(len(m.ids), q1)
}

// alpha is the number of slots after which a configuration governs.
func (c *Config) alpha() uint64 { return max(c.Alpha, uint64(c.Window)) }

func (c *Config) validate() error {
	switch {
	case c.Storage == nil:
		return errors.New("paxos: there is no storage")
	case c.HeartbeatTicks < 1 || c.ElectionTicks <= c.HeartbeatTicks:
		return fmt.Errorf("paxos: election ticks (%d) must exceed heartbeat ticks (%d), which are at least 1", c.ElectionTicks, c.HeartbeatTicks)
	case c.Window < 1:
		return fmt.Errorf("paxos: the window is %d; it must be at least 1", c.Window)
	case c.Alpha != 0 && c.Alpha < uint64(c.Window):
		return fmt.Errorf("paxos: alpha is %d; it must be at least the window, %d", c.Alpha, c.Window)
	case c.Lease < 0 || c.MaxDrift < 0 || c.MaxDrift >= 1:
		return fmt.Errorf("paxos: a lease of %v with a drift of %v; neither is negative, and the drift is below 1", c.Lease, c.MaxDrift)
	case c.MaxMessageBytes < 1:
		return fmt.Errorf("paxos: max message bytes is %d; it must be at least 1", c.MaxMessageBytes)
	}
	return nil
}

// broken panics because a rule of the protocol is broken on this node: going on
// could lose what was acknowledged. (It is no assert(condition): that would
// build the arguments of a message that is never printed.)
func (n *Node) broken(rule int, format string, args ...any) {
	panic(fmt.Sprintf("paxos: node %d breaks rule %d: %s", n.cfg.ID, rule, fmt.Sprintf(format, args...)))
}

// Step takes one message. An error says that the message was useless; only the
// error of Storage (see Err) is the end of the node.
func (n *Node) Step(m Message) error {
	from := n.members.index(m.From)
	if m.From == n.cfg.ID || m.To != n.cfg.ID || from < 0 && !n.stranger(&m) {
		n.answerLeft(&m)
		return fmt.Errorf("%w: %v from %d to %d", ErrNotPeer, m.Kind, m.From, m.To)
	}
	if n.log.err != nil {
		return n.log.err
	}
	if limit := n.highest.Round + maxRise; m.Ballot.Round > limit || m.Promised.Round > limit || higher(m, limit) {
		return fmt.Errorf("%w: %v names a round far above %d", ErrMalformed, m.Kind, n.highest.Round)
	}
	// A PrePrepare names a ballot that nobody uses yet.
	if n.see(m.Promised); m.Kind != MsgPrePrepare && m.Kind != MsgPrePromise && m.Kind != MsgReject {
		n.see(m.Ballot)
	}
	switch m.Kind {
	case MsgPrePrepare:
		n.handlePrePrepare(m)
	case MsgPrePromise:
		n.handlePrePromise(from, m)
	case MsgPromise:
		n.handlePromise(from, m)
	case MsgAccepted, MsgHeartbeatReply, MsgReadConfirmReply:
		n.handleReply(from, m)
	case MsgBehind:
		n.handleBehind(from, m)
	case MsgReject:
		n.handleReject(from, m)
	case MsgCatchUp:
		n.handleCatchUp(m)
	case MsgCatchUpReply:
		n.handleCatchUpReply(m)
	case MsgPrepare, MsgAccept, MsgChosen, MsgHeartbeat, MsgReadConfirm, MsgTransfer:
		// These only the owner of a ballot sends.
		if m.Ballot.Node != m.From {
			return fmt.Errorf("%w: %v at ballot %v from %d", ErrMalformed, m.Kind, m.Ballot, m.From)
		}
		return n.stepOwner(m)
	default:
		return fmt.Errorf("%w: %v", ErrMalformed, m.Kind)
	}
	return n.log.err
}

// higher reports whether an entry names a round above limit.
func higher(m Message, limit uint64) bool {
	for i := range m.Entries {
		if m.Entries[i].Ballot.Round > limit {
			return true
		}
	}
	return false
}

func (n *Node) stepOwner(m Message) error {
	switch m.Kind {
	case MsgPrepare:
		n.handlePrepare(m)
		return n.log.err
	case MsgTransfer:
		n.handleTransfer(m)
		return n.log.err
	}
	for i, e := range m.Entries {
		kept := n.keeps() && !m.Ballot.Less(e.Ballot) && e.Slot == m.Tip.Slot+uint64(i)+1
		if e.Slot == 0 || e.Ballot != m.Ballot && !kept {
			return fmt.Errorf("%w: entry %d at %v in an Accept at %v", ErrMalformed, e.Slot, e.Ballot, m.Ballot)
		}
	}
	if !n.follow(m) {
		return n.log.err
	}
	switch m.Kind {
	case MsgAccept:
		if n.keeps() {
			n.appendKept(m)
			break
		}
		n.acceptAll(m)
	case MsgHeartbeat:
		n.answerHeartbeat(m)
	case MsgReadConfirm:
		n.send(Message{Kind: MsgReadConfirmReply, To: m.From, Ballot: m.Ballot, ID: m.ID, Chosen: n.chosen})
	}
	n.learnNotice(m.Ballot, m.Chosen)
	return n.log.err
}

// Tick tells that one tick has passed.
func (n *Node) Tick() {
	n.now++
	n.elapsed++
	if !n.clocked {
		n.clock++
	}
	switch {
	case n.role == Leader:
		n.tickLeader()
	case n.elapsed >= n.timeout && !n.granting():
		n.Campaign()
	case n.role != Follower && n.elapsed%n.cfg.HeartbeatTicks == 0:
		n.retryElection()
	}
	n.tickFetch()
}

// answerHeartbeat says what this node has from the leader.
func (n *Node) answerHeartbeat(m Message) {
	r := n.acc.durable.last()
	a := Message{Kind: MsgHeartbeatReply, To: m.From, Ballot: m.Ballot, ID: m.ID, Lo: r.lo, Hi: r.hi, Chosen: n.chosen}
	if n.boundary() != 0 {
		a.Settled = n.out.durableChosen
	}
	n.giveLease(&m, &a)
	n.send(a)
}

func (n *Node) see(b Ballot) {
	if n.highest.Less(b) {
		n.highest = b
	}
}

// setPromised raises the promise. It is durable with the coming token.
func (n *Node) setPromised(b Ballot) {
	if n.below(b, n.promised) || b == n.promised {
		n.broken(1, "the promise would fall from %v to %v", n.promised, b)
	}
	if b.Round == n.promised.Round {
		// What speaks of the vote that is given up must not leave: it will never be
		// durable.
		n.out.after = slices.DeleteFunc(n.out.after, func(m Message) bool { return m.Ballot == n.promised })
	}
	n.promised = b
	n.see(b)
	n.acc.reset(b)
	// A node that votes once a round may have fetched what the round's leader
	// proposed before it heard of that leader.
	for _, slot := range n.log.dirty {
		if e, _ := n.log.get(slot); e.Ballot == b {
			n.acc.accepted.add(slot)
		}
	}
}

// becomeFollower ends whatever the node was doing. leader is 0 while unknown.
// A leader that steps aside falls silent at once (rule 10).
func (n *Node) becomeFollower(leader NodeID) {
	if n.role == Leader {
		n.refuseReads()
	}
	n.role, n.leader = Follower, leader
	n.cand, n.lead = nil, nil
	n.elapsed = 0
	n.resetTimeout()
}

// resetTimeout draws the time until the next attempt. After rejections the
// range of the draw doubles, so that duelling candidates part (rule 9).
func (n *Node) resetTimeout() {
	e := n.cfg.ElectionTicks
	n.timeout = e + n.rng.IntN(e)
	if n.backoffs > 0 {
		n.timeout += n.rng.IntN(e << min(n.backoffs, 4))
	}
}

// Err returns the error of Storage that ended the node, nil while it works.
func (n *Node) Err() error { return n.log.err }

// Status returns what the node believes.
func (n *Node) Status() Status {
	return Status{
		ID: n.cfg.ID, Role: n.role, Ballot: n.promised, Promised: n.promised, Leader: n.leader,
		Chosen: n.chosen, Applied: n.applied, Last: n.log.last, Counters: n.counters,
		Barrier: n.role == Leader && n.applied >= n.lead.barrier,
	}
}
