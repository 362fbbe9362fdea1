package etcdraft

import (
	"fmt"
	"maps"

	"go.etcd.io/raft/v3"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
)

// Protocol is the backend as the engine opens it.
func Protocol() engine.Protocol {
	return engine.Protocol{Name: "etcdraft", Contiguous: true, Open: NewCore}
}

// Open starts a replica on the log in deps.Dir.
func Open(cfg consensus.Config, deps engine.Deps) (consensus.Replica, error) {
	r, err := engine.Open(cfg, deps, Protocol())
	if err != nil {
		return nil, err
	}
	return r, nil
}

// NewCore opens the protocol over a recovered log.
func NewCore(cfg consensus.Config, log *storage.Log, start engine.Start) (engine.Core, error) {
	if err := cfg.Limits.OwnCoreOnly(); err != nil {
		return nil, fmt.Errorf("etcdraft: %w", err)
	}
	m := start.Founders
	if start.Snapshot.Index > 0 {
		var err error
		if m, err = decodeMembers(start.Snapshot.Data); err != nil {
			return nil, fmt.Errorf("etcdraft: the snapshot through %d: %w", start.Snapshot.Index, err)
		}
	}
	s, err := newStore(m, start.Snapshot, log)
	if err != nil {
		return nil, err
	}
	rc := config(cfg.Limits)
	rc.ID, rc.Storage, rc.Logger = uint64(cfg.Self), s, logger{cfg.Logger, cfg.Self}
	rc.Applied = start.Snapshot.Index
	node, err := raft.NewRawNode(&rc)
	if err != nil {
		return nil, fmt.Errorf("etcdraft: %w", err)
	}
	return newCore(cfg, s, m, node), nil
}

// Bounds that Limits does not name: bytes of entries in one message, and of
// entries handed to the state machine and not yet applied.
const (
	minMessageBytes   = 1 << 20
	maxUnappliedBytes = 64 << 20
)

func config(l consensus.Limits) raft.Config {
	reads := raft.ReadOnlySafe
	if l.ReadMode == consensus.ReadLease {
		reads = raft.ReadOnlyLeaseBased
	}
	return raft.Config{
		ElectionTick: l.ElectionTicks, HeartbeatTick: l.HeartbeatTicks,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             uint64(max(l.BatchBytes, minMessageBytes)),
		MaxCommittedSizePerReady:  maxUnappliedBytes,
		MaxInflightMsgs:           max(l.Window, 2),
		CheckQuorum:               l.CheckQuorum,
		PreVote:                   l.PreVote,
		ReadOnlyOption:            reads,
		StepDownOnRemoval:         true,
		DisableProposalForwarding: true,
	}
}

// Effective says how l is translated for this backend.
func Effective(l consensus.Limits) map[string]string {
	c := config(l)
	out := engine.Effective(l)
	reads := "ReadOnlySafe"
	if c.ReadOnlyOption == raft.ReadOnlyLeaseBased {
		reads = "ReadOnlyLeaseBased: a leader that heard from a quorum within an election timeout, in ticks; max_clock_drift has no effect"
	}
	maps.Copy(out, map[string]string{
		"library":                     "go.etcd.io/raft/v3 v3.7.0, RawNode",
		"MaxSizePerMsg":               fmt.Sprint(c.MaxSizePerMsg),
		"MaxInflightMsgs":             fmt.Sprint(c.MaxInflightMsgs),
		"MaxCommittedSizePerReady":    fmt.Sprint(c.MaxCommittedSizePerReady),
		"AsyncStorageWrites":          "true",
		"ReadOnlyOption":              reads,
		"StepDownOnRemoval":           "true",
		"membership":                  "one node: a simple change; more: a joint configuration, left by itself",
		"snapshot_transfer":           "MsgSnap without the state; the receiver pulls the file",
		"resignation":                 "the library has none: TransferLeader to the best voter, then silence",
		"election_jitter":             "the library's own, from crypto/rand; Config.Seed has no effect",
		"hard_state_with_commit_only": "not synced; travels with the next write",
	})
	return out
}
