package multipaxos

import (
	"encoding/binary"
	"fmt"
	"maps"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
	"gfslab/paxos"
)

// Protocol is the backend as the engine opens it.
func Protocol(l consensus.Limits) engine.Protocol {
	kept := l.Switches.OldSlots == consensus.RaftMode().OldSlots
	return engine.Protocol{Name: "multipaxos", Contiguous: kept, Open: NewCore}
}

// Open starts a replica on the log in deps.Dir.
func Open(cfg consensus.Config, deps engine.Deps) (consensus.Replica, error) {
	r, err := engine.Open(cfg, deps, Protocol(cfg.Limits))
	if err != nil {
		return nil, err
	}
	return r, nil
}

// NewCore opens the protocol over a recovered log.
func NewCore(cfg consensus.Config, log *storage.Log, start engine.Start) (engine.Core, error) {
	hard, err := decodeHardState(log.HardState())
	if err != nil {
		return nil, err
	}
	pc, err := config(cfg.Limits)
	if err != nil {
		return nil, err
	}
	kept, err := sameAlpha(log, uint64(pc.Window))
	if err != nil {
		return nil, err
	}
	pc.ID, pc.HardState, pc.Storage, pc.Seed = paxos.NodeID(cfg.Self), hard, store{log}, cfg.Seed
	pc.Snapshot = snapshotOf(start.Snapshot)
	if pc.Join = len(start.Founders.Voters) == 0; pc.Join {
		start.Founders = consensus.Founders(cfg.Peers)
	}
	founders, err := encodeMembers(start.Founders)
	if err != nil {
		return nil, fmt.Errorf("multipaxos: %w", err)
	}
	pc.Peers, pc.Founders = founders.Voters, founders.Data
	node, err := paxos.New(pc)
	if err != nil {
		return nil, fmt.Errorf("multipaxos: %w", err)
	}
	if !kept { // only now: what was refused above leaves no trace
		b := storage.Batch{Stable: []storage.KV{{Key: keyAlpha, Value: binary.AppendUvarint(nil, uint64(pc.Window))}}}
		if err := log.Commit(&b); err != nil {
			return nil, err
		}
	}
	return newCore(cfg.Self, node), nil
}

// keyAlpha is the stable key of alpha, the number of slots after which a change of the
// members governs.
const keyAlpha = "multipaxos.alpha"

// sameAlpha refuses another alpha than the one kept in the log, if there is one: a node
// that read the same entries with another alpha would count the votes of some slots by
// other members than the rest does (rule 16).
func sameAlpha(log *storage.Log, alpha uint64) (kept bool, err error) {
	value, ok := log.Stable(keyAlpha)
	if !ok {
		return false, nil
	}
	was, n := binary.Uvarint(value)
	switch {
	case n != len(value):
		return true, fmt.Errorf("multipaxos: the alpha kept in the log, %x, cannot be read", value)
	case was != alpha:
		return true, fmt.Errorf("multipaxos: the window is %d, and this log was begun with %d: in all nodes of a cluster it is the same for good, for a change of the members takes effect so many slots later (rule 16); set the window to %d again, or, if the other nodes have another, replace this one by a new node", alpha, was, was)
	}
	return true, nil
}

// minMessageBytes is what one message may carry at least.
const minMessageBytes = 1 << 20

func config(l consensus.Limits) (paxos.Config, error) {
	s, err := switches(l.Switches)
	var lease time.Duration
	if l.ReadMode == consensus.ReadLease {
		lease = l.ElectionTimeout()
	}
	return paxos.Config{
		Lease: lease, MaxDrift: l.MaxClockDrift,
		ElectionTicks: l.ElectionTicks, HeartbeatTicks: l.HeartbeatTicks,
		Window: l.Window, MaxMessageBytes: max(l.BatchBytes, minMessageBytes),
		LeaderDiskParallel: l.LeaderDiskParallel, PrePrepare: l.PreVote, CheckQuorum: l.CheckQuorum,
		Phase1Quorum: l.Phase1Quorum, Phase2Quorum: l.Phase2Quorum, Switches: s,
	}, err
}

// Check says what NewCore would refuse of l in a cluster of that many voters.
func Check(l consensus.Limits, voters int) error {
	c, err := config(l)
	if err == nil {
		err = paxos.CheckQuorums(voters, l.Phase1Quorum, l.Phase2Quorum)
	}
	if err == nil {
		err = c.Switches.Safe(voters, l.Phase1Quorum)
	}
	return err
}

// Effective says how l is translated for this backend.
func Effective(l consensus.Limits) map[string]string {
	c, _ := config(l) // what is wrong with l, NewCore says
	out := engine.Effective(l)
	maps.Copy(out, effectiveSwitches(l))
	maps.Copy(out, map[string]string{
		"library":           "gfslab/paxos",
		"pre_prepare":       fmt.Sprint(c.PrePrepare),
		"slot_window":       fmt.Sprint(c.Window),
		"lease":             c.Lease.String(),
		"max_message_bytes": fmt.Sprint(c.MaxMessageBytes),
		"election_jitter":   "seeded from Config.Seed and the node's id",
	})
	return out
}
