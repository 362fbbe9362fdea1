package etcdraft

import (
	"fmt"
	"maps"

	"go.etcd.io/raft/v3"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
)

// Open starts a replica on the log in deps.Dir.
func Open(cfg consensus.Config, deps engine.Deps) (consensus.Replica, error) {
	r, err := engine.Open(cfg, deps, "etcdraft", NewCore)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// NewCore opens the protocol over a recovered log.
func NewCore(cfg consensus.Config, log *storage.Log, _ engine.Start) (engine.Core, error) {
	if err := cfg.Limits.OwnCoreOnly(); err != nil {
		return nil, fmt.Errorf("etcdraft: %w", err)
	}
	s, err := newStore(cfg, log)
	if err != nil {
		return nil, err
	}
	rc := config(cfg.Limits)
	rc.ID, rc.Storage, rc.Logger = uint64(cfg.Self), s, logger{cfg.Logger, cfg.Self}
	node, err := raft.NewRawNode(&rc)
	if err != nil {
		return nil, fmt.Errorf("etcdraft: %w", err)
	}
	return newCore(cfg, s, node), nil
}

// Bounds that Limits does not name: bytes of entries in one message, and of
// entries handed to the state machine and not yet applied.
const (
	minMessageBytes   = 1 << 20
	maxUnappliedBytes = 64 << 20
)

func config(l consensus.Limits) raft.Config {
	return raft.Config{
		ElectionTick: l.ElectionTicks, HeartbeatTick: l.HeartbeatTicks,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             uint64(max(l.BatchBytes, minMessageBytes)),
		MaxCommittedSizePerReady:  maxUnappliedBytes,
		MaxInflightMsgs:           max(l.Window, 2),
		CheckQuorum:               l.CheckQuorum,
		PreVote:                   l.PreVote,
		ReadOnlyOption:            raft.ReadOnlySafe,
		DisableProposalForwarding: true,
	}
}

// Effective says how l is translated for this backend.
func Effective(l consensus.Limits) map[string]string {
	c := config(l)
	out := engine.Effective(l)
	maps.Copy(out, map[string]string{
		"library":                     "go.etcd.io/raft/v3 v3.7.0, RawNode",
		"MaxSizePerMsg":               fmt.Sprint(c.MaxSizePerMsg),
		"MaxInflightMsgs":             fmt.Sprint(c.MaxInflightMsgs),
		"MaxCommittedSizePerReady":    fmt.Sprint(c.MaxCommittedSizePerReady),
		"AsyncStorageWrites":          "true",
		"ReadOnlyOption":              "ReadOnlySafe",
		"election_jitter":             "the library's own, from crypto/rand; Config.Seed has no effect",
		"hard_state_with_commit_only": "not synced; travels with the next write",
	})
	return out
}
