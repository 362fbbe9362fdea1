package multipaxos

import (
	"fmt"
	"sync"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
	"gfslab/paxos"
)

var (
	_ engine.Core        = (*core)(nil)
	_ engine.Compactor   = (*core)(nil)
	_ engine.Changer     = (*core)(nil)
	_ engine.Transferrer = (*core)(nil)
	_ engine.Resigner    = (*core)(nil)
	_ engine.Clocked     = (*core)(nil)
	_ engine.Failer      = (*core)(nil)
)

// core is paxos.Node as an engine.Core.
type core struct {
	self paxos.NodeID
	node *paxos.Node

	mu       sync.Mutex
	counters paxos.Counters
}

func newCore(self consensus.NodeID, node *paxos.Node) *core {
	return &core{self: paxos.NodeID(self), node: node}
}

// Tick implements engine.Core.
func (c *core) Tick() { c.node.Tick() }

// SetTime implements engine.Clocked.
func (c *core) SetTime(now time.Duration) { c.node.SetTime(now) }

// Step implements engine.Core.
func (c *core) Step(from consensus.NodeID, frame []byte) error {
	m, err := decode(frame)
	if err != nil {
		return err
	}
	if !fitsPage(&m) {
		return fmt.Errorf("%w: %v with an entry outside [%d, %d)", errMalformed, m.Kind, m.Lo, m.Hi)
	}
	m.From, m.To = paxos.NodeID(from), c.self
	return c.node.Step(m)
}

// fitsPage reports whether a Promise keeps to the page that it names. The core
// takes that for granted and panics.
func fitsPage(m *paxos.Message) bool {
	if m.Kind != paxos.MsgPromise {
		return true
	}
	for i := range m.Entries {
		if s := m.Entries[i].Slot; s < m.Lo || s >= m.Hi {
			return false
		}
	}
	return true
}

// Propose implements engine.Core.
func (c *core) Propose(data []byte) error {
	_, err := c.node.Propose(data)
	return refusal(err)
}

// ReadIndex implements engine.Core. A node that does not lead answers nothing:
// the engine has seen it step down.
func (c *core) ReadIndex(id uint64) { _ = c.node.ReadIndex(id) }

// HasReady implements engine.Core.
func (c *core) HasReady() bool { return c.node.HasReady() }

// Ready implements engine.Core.
func (c *core) Ready(out *engine.Ready) {
	rd := c.node.Ready()
	out.Token = rd.Token
	if rd.HardState != nil {
		out.Persist.HardState = encodeHardState(rd.HardState)
	}
	out.Persist.TruncateFrom = rd.TruncateFrom
	out.Persist.Entries = appendEntries(out.Persist.Entries, rd.Entries)
	out.SendNow = appendMessages(out.SendNow, rd.SendNow)
	out.SendAfterPersist = appendMessages(out.SendAfterPersist, rd.SendAfterPersist)
	out.Apply = appendEntries(out.Apply, rd.Apply)
	if s := rd.Install; s != nil {
		out.Install = &storage.SnapshotMeta{Index: s.Slot, Stamp: s.Ballot.Pack(), Data: s.Data}
	}
	out.Fetch = engine.Fetch{From: consensus.NodeID(rd.Fetch.From), Index: rd.Fetch.Slot}
	for _, m := range rd.Members {
		out.Members = append(out.Members, engine.MembersChange{Index: m.Slot, Members: membersOf(m)})
	}
	for _, r := range rd.Reads {
		out.Reads = append(out.Reads, engine.Read{ID: r.ID, Index: r.Slot, Refused: r.Refused})
	}
}

func appendEntries(dst []storage.Entry, entries []paxos.Entry) []storage.Entry {
	for i := range entries {
		e := &entries[i]
		dst = append(dst, storage.Entry{Index: e.Slot, Stamp: e.Ballot.Pack(), Data: e.Value})
	}
	return dst
}

func appendMessages(dst []engine.Message, messages []paxos.Message) []engine.Message {
	for i := range messages {
		m := &messages[i]
		dst = append(dst, engine.Message{To: consensus.NodeID(m.To), Body: (*body)(m)})
	}
	return dst
}

// Persisted implements engine.Core.
func (c *core) Persisted(token uint64) { c.node.Persisted(token) }

// Applied implements engine.Core.
func (c *core) Applied(index uint64) { c.node.Applied(index) }

// SnapshotData implements engine.Compactor.
func (c *core) SnapshotData(index uint64) []byte { return c.node.SnapshotData(index) }

// Compact implements engine.Compactor.
func (c *core) Compact(index uint64, s storage.SnapshotMeta) {
	c.node.Compact(index, snapshotOf(s))
}

// Fetched implements engine.Compactor.
func (c *core) Fetched(s storage.SnapshotMeta) {
	c.node.Fetched(snapshotOf(s))
}

func snapshotOf(s storage.SnapshotMeta) paxos.Snapshot {
	return paxos.Snapshot{Slot: s.Index, Ballot: paxos.Unpack(s.Stamp), Data: s.Data}
}

// FetchFailed implements engine.Compactor.
func (c *core) FetchFailed(from consensus.NodeID) { c.node.FetchFailed(paxos.NodeID(from)) }

// Err implements engine.Failer.
func (c *core) Err() error { return c.node.Err() }

// Status implements engine.Core.
func (c *core) Status() engine.CoreStatus {
	s := c.node.Status()
	if s.Counters != c.counters {
		c.mu.Lock()
		c.counters = s.Counters
		c.mu.Unlock()
	}
	out := engine.CoreStatus{
		Role: consensus.Candidate, Term: s.Ballot.Pack(), Leader: consensus.NodeID(s.Leader), Committed: s.Chosen,
	}
	switch s.Role {
	case paxos.Leader:
		out.Role = consensus.Leader
	case paxos.Follower:
		out.Role = consensus.Follower
	}
	return out
}

// Counters implements engine.CounterSource.
func (c *core) Counters() map[string]uint64 {
	c.mu.Lock()
	p := c.counters
	c.mu.Unlock()
	return map[string]uint64{
		"paxos_elections": p.Elections, "paxos_leader_changes": p.LeaderChanges, "paxos_gaps_filled": p.GapsFilled,
		"paxos_values_adopted": p.ValuesAdopted, "paxos_catch_ups": p.CatchUps, "paxos_rejections": p.Rejections,
		"paxos_installs": p.Installs, "paxos_lease_reads": p.LeaseReads,
	}
}
