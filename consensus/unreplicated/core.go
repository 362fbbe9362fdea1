package unreplicated

import (
	"encoding/binary"
	"errors"
	"fmt"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
)

// Open starts the replica on the log in deps.Dir.
func Open(cfg consensus.Config, deps engine.Deps) (consensus.Replica, error) {
	r, err := engine.Open(cfg, deps, engine.Protocol{Name: "unreplicated", Alone: true, Open: NewCore})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Effective says how l is translated for this backend.
func Effective(l consensus.Limits) map[string]string {
	out := engine.Effective(l)
	for _, k := range []string{"election_ticks", "heartbeat_ticks", "leader_disk_parallel", "pre_vote", "check_quorum"} {
		out[k] = "has no effect: there are no peers"
	}
	return out
}

var _ engine.Compactor = (*core)(nil)

// core commits what its own disk has.
type core struct {
	id      consensus.NodeID
	log     *storage.Log
	term    uint64 // one more at each start
	started bool   // the new term was handed out to be written

	token    uint64
	last     uint64 // newest index proposed
	durable  uint64 // newest index known durable
	released uint64 // newest index handed to the state machine
	applied  uint64
	proposed []storage.Entry
	writes   []write // handed out, not yet durable
	ready    []storage.Entry
	reads    []engine.Read
}

type write struct {
	token   uint64
	entries []storage.Entry
}

// maxReplay bounds the bytes read back from the log at a time after a start.
const maxReplay = 4 << 20

// NewCore opens the control over a recovered log.
func NewCore(cfg consensus.Config, log *storage.Log, start engine.Start) (engine.Core, error) {
	if err := cfg.Limits.OwnCoreOnly(); err != nil {
		return nil, fmt.Errorf("unreplicated: %w", err)
	}
	if len(cfg.Peers) != 1 {
		return nil, fmt.Errorf("unreplicated: %d peers given; it runs alone", len(cfg.Peers))
	}
	c := &core{id: cfg.Self, log: log, term: 1}
	if b := log.HardState(); b != nil {
		if len(b) != 8 {
			return nil, errors.New("unreplicated: the hard state is malformed")
		}
		c.term = binary.LittleEndian.Uint64(b) + 1
	}
	// Everything in the log is durable, hence committed.
	_, c.last = log.Bounds()
	c.last = max(c.last, start.Snapshot.Index)
	c.durable = c.last
	c.released, c.applied = start.Snapshot.Index, start.Snapshot.Index
	return c, nil
}

func (c *core) Tick() {}

func (c *core) Step(from consensus.NodeID, _ []byte) error {
	return fmt.Errorf("unreplicated: a message from node %d", from)
}

func (c *core) Propose(data []byte) error {
	c.last++
	c.proposed = append(c.proposed, storage.Entry{Index: c.last, Stamp: c.term, Data: data})
	return nil
}

func (c *core) ReadIndex(id uint64) {
	c.reads = append(c.reads, engine.Read{ID: id, Index: c.durable})
}

func (c *core) HasReady() bool {
	return !c.started || len(c.proposed) > 0 || len(c.reads) > 0 || c.canRelease()
}

// canRelease holds entries back while a replay is being applied, so that a long
// log is not read into memory as a whole.
func (c *core) canRelease() bool {
	return len(c.ready) > 0 || c.released < c.durable && c.released == c.applied
}

func (c *core) Ready(rd *engine.Ready) {
	if !c.started || len(c.proposed) > 0 {
		c.token++
		rd.Token = c.token
		if !c.started {
			c.started = true
			rd.Persist.HardState = binary.LittleEndian.AppendUint64(nil, c.term)
		}
		rd.Persist.Entries = append(rd.Persist.Entries, c.proposed...)
		c.writes = append(c.writes, write{c.token, c.proposed})
		c.proposed = nil
	}
	rd.Reads = append(rd.Reads, c.reads...)
	c.reads = c.reads[:0]
	if !c.canRelease() {
		return
	}
	if len(c.ready) > 0 && c.ready[0].Index == c.released+1 {
		rd.Apply = append(rd.Apply, c.ready...)
	} else { // what was there before this start, or piled up behind it
		entries, err := c.log.Entries(c.released+1, c.durable+1, maxReplay, rd.Apply)
		if err != nil || len(entries) == 0 {
			panic(fmt.Sprintf("unreplicated: reading entry %d back: %v", c.released+1, err))
		}
		rd.Apply = entries
	}
	c.released = rd.Apply[len(rd.Apply)-1].Index
	for len(c.ready) > 0 && c.ready[0].Index <= c.released {
		c.ready = c.ready[1:]
	}
}

func (c *core) Persisted(token uint64) {
	for len(c.writes) > 0 && c.writes[0].token <= token {
		entries := c.writes[0].entries
		c.writes = c.writes[1:]
		if n := len(entries); n > 0 {
			c.durable = entries[n-1].Index
			// Only a stretch that follows what was released is kept at hand.
			if c.released == entries[0].Index-1 || len(c.ready) > 0 {
				c.ready = append(c.ready, entries...)
			}
		}
	}
}

func (c *core) Applied(index uint64) { c.applied = index }

// SnapshotData implements engine.Compactor: there is nothing to keep.
func (c *core) SnapshotData(uint64) []byte { return nil }

// Compact implements engine.Compactor. What was applied is never read back.
func (c *core) Compact(uint64, storage.SnapshotMeta) {}

// Fetched and FetchFailed implement engine.Compactor; nothing is ever fetched.
func (c *core) Fetched(storage.SnapshotMeta) {}
func (c *core) FetchFailed(consensus.NodeID) {}

func (c *core) Status() engine.CoreStatus {
	return engine.CoreStatus{Role: consensus.Leader, Term: c.term, Leader: c.id, Committed: c.durable}
}
