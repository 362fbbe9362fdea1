package multipaxos

import (
	"math/rand/v2"
	"testing"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
	"gfslab/paxos"
)

// TestHostileFramesDoNoHarm flips bytes of true messages and invents others. A
// core may refuse each or make sense of it; taking it in must not bring it down.
// (That peers lie together about what is chosen is outside the fault model.)
func TestHostileFramesDoNoHarm(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 2))
		log, err := storage.Open(storage.Options{FS: disk.FS(faultdisk.NewMem(seed)), Dir: "log"})
		if err != nil {
			t.Fatal(err)
		}
		cfg := consensus.Config{Cluster: "x", Self: 1, Limits: consensus.Matched2()}
		for id := range consensus.NodeID(3) {
			cfg.Peers = append(cfg.Peers, consensus.Peer{ID: id + 1, Addr: "x"})
		}
		c, err := NewCore(cfg, log, engine.Start{Founders: consensus.Founders(cfg.Peers)})
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for range 300 {
			m := paxos.Message{
				Kind: paxos.Kind(rng.IntN(16)), Ballot: paxos.Ballot{Round: rng.Uint64N(4), Node: paxos.NodeID(rng.Uint64N(4))},
				Lo: rng.Uint64N(9), Hi: rng.Uint64N(9), Chosen: rng.Uint64N(6), ID: rng.Uint64N(3), Done: rng.IntN(2) == 0,
			}
			for range rng.IntN(3) {
				m.Entries = append(m.Entries, paxos.Entry{Slot: rng.Uint64N(9), Ballot: m.Ballot, Value: []byte("x")})
			}
			frame := (*body)(&m).Append(nil)
			if rng.IntN(2) == 0 {
				frame[rng.IntN(len(frame))] ^= byte(1 << rng.IntN(8))
			}
			if c.Step(consensus.NodeID(rng.Uint64N(5)), frame) != nil {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("seed %d: nothing was refused", seed)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
}
