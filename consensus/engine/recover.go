package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// Protocol names a backend, and says what the engine must know of its log.
type Protocol struct {
	// Name is kept in the log; a log of another name is refused.
	Name string
	// Contiguous: an entry vouches for all before it, as in Raft. What stands above
	// an entry that contradicts a snapshot is then worth nothing. Without it,
	// entries above a snapshot are votes, and are kept. Our own core's logs are so
	// when the switches let old slots keep their ballots.
	Contiguous bool
	// Alone: it has no peers, and needs no network.
	Alone bool
	Open  Factory
}

// The stable keys of the engine.
const (
	keyIdentity = "engine.identity" // names the owner of a log
	keyFounders = "engine.founders" // the configuration before the first entry
)

// Recovered is what a log says of its replica before the core is opened.
type Recovered struct {
	Start Start
	// Snapshot is the newest one on disk, Compacted the index through which the log
	// is cut. LastEntry is the newest entry in the log, 0 if it is empty.
	Snapshot             storage.SnapshotInfo
	Compacted, LastEntry uint64
	// LoadTime is what it took to restore the state machine.
	LoadTime time.Duration
}

// Recover prepares a log, and cfg's state machine, for the core: it notes or
// checks the owner, restores the newest snapshot, and finishes the installation
// of a fetched one that a crash cut short. A snapshot that cannot be read is an
// error: an older state is never taken in its place.
func Recover(cfg consensus.Config, log *storage.Log, p Protocol) (Recovered, error) {
	var r Recovered
	founders, err := identify(cfg, p.Name, log)
	if err != nil {
		return r, err
	}
	r.Start.Founders = founders
	start := time.Now()
	if err := r.restore(cfg, log); err != nil {
		return r, err
	}
	r.LoadTime = time.Since(start)
	r.Compacted = log.Compacted()
	if at := r.Snapshot.Index; r.Compacted < at && r.Snapshot.Fetched {
		mend := &storage.Batch{CompactTo: at}
		chain := p.Contiguous || cfg.Limits.Switches.OldSlots == "keep"
		if stamp, ok := log.Stamp(at); chain && (!ok || stamp != r.Snapshot.Stamp) {
			mend.TruncateFrom = 1
		}
		if err := log.Commit(mend); err != nil {
			return r, err
		}
		r.Compacted = at
	}
	if r.Compacted > r.Snapshot.Index {
		return r, fmt.Errorf("the log begins above entry %d, but the newest snapshot ends at %d", r.Compacted, r.Snapshot.Index)
	}
	_, r.LastEntry = log.Bounds()
	return r, nil
}

func (r *Recovered) restore(cfg consensus.Config, log *storage.Log) error {
	file, err := log.OpenSnapshotFile()
	if errors.Is(err, storage.ErrNoSnapshot) {
		return nil
	}
	if err != nil {
		return err
	}
	r.Snapshot, r.Start.Snapshot = file.Info, file.Info.SnapshotMeta
	err = file.Check()
	if err == nil {
		err = restoreFrom(cfg.StateMachine, file)
	}
	return errors.Join(err, file.Close())
}

func restoreFrom(machine consensus.StateMachine, file *storage.SnapshotFile) error {
	body, err := file.Body()
	if err == nil {
		err = machine.Restore(body)
	}
	if err != nil {
		return fmt.Errorf("restoring the snapshot through %d: %w", file.Info.Index, err)
	}
	return nil
}

// identify writes into a new log whose it is and who founded the cluster, and
// reads it from another.
func identify(cfg consensus.Config, protocol string, log *storage.Log) (consensus.Members, error) {
	var b storage.Batch
	want := fmt.Sprintf("%s/%s/%d", protocol, cfg.Cluster, cfg.Self)
	switch got, ok := log.Stable(keyIdentity); {
	case !ok:
		b.Stable = append(b.Stable, storage.KV{Key: keyIdentity, Value: []byte(want)})
	case string(got) != want:
		return consensus.Members{}, fmt.Errorf("the log belongs to %q, not to %q", got, want)
	}
	encoded, ok := log.Stable(keyFounders)
	if !ok {
		var founders []consensus.Peer
		if !cfg.Join {
			founders = cfg.Peers
		}
		encoded = encodePeers(founders)
		b.Stable = append(b.Stable, storage.KV{Key: keyFounders, Value: encoded})
	}
	if len(b.Stable) > 0 {
		if err := log.Commit(&b); err != nil {
			return consensus.Members{}, err
		}
	}
	peers, err := decodePeers(encoded)
	return consensus.Founders(peers), err
}

func encodePeers(peers []consensus.Peer) []byte {
	b := binary.AppendUvarint(nil, uint64(len(peers)))
	for _, p := range peers {
		b = binary.AppendUvarint(b, uint64(p.ID))
		b = binary.AppendUvarint(b, uint64(len(p.Addr)))
		b = append(b, p.Addr...)
	}
	return b
}

func decodePeers(b []byte) (peers []consensus.Peer, err error) {
	bad := false
	uvarint := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			bad, n = true, len(b)
		}
		b = b[n:]
		return v
	}
	for n := uvarint(); n > 0 && !bad; n-- {
		p := consensus.Peer{ID: consensus.NodeID(uvarint())}
		length := uvarint()
		if length > uint64(len(b)) {
			bad = true
			break
		}
		p.Addr, b = string(b[:length]), b[length:]
		peers = append(peers, p)
	}
	if bad || len(b) > 0 {
		return nil, errors.New("the founders kept in the log cannot be read")
	}
	return peers, nil
}
