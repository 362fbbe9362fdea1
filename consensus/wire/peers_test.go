package wire

import (
	"testing"
	"testing/synctest"
	"time"

	"gfslab/consensus"
)

// TestPeersChange: three nodes; 3 is replaced by 4, which 1 is told of and 2 is
// not; then 5 comes, of which nobody was told.
func TestPeersChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewMemory()
		var all []consensus.Peer
		for id := consensus.NodeID(1); id <= 5; id++ {
			all = append(all, consensus.Peer{ID: id, Addr: string(rune('a'+id)) + ":1"})
		}
		boxes, ts := map[consensus.NodeID]*inbox{}, map[consensus.NodeID]*Transport{}
		start := func(self consensus.NodeID, peers []consensus.Peer, highest consensus.NodeID) {
			boxes[self] = newInbox()
			tr, err := NewTransport(TransportOptions{Cluster: "test", Self: self, Peers: peers, Network: n, Handler: boxes[self].handle})
			if err == nil {
				err = tr.SetPeers(peers, highest)
			}
			if err != nil {
				t.Fatal(err)
			}
			ts[self] = tr
			t.Cleanup(func() { _ = tr.Close() })
		}
		say := func(from, to consensus.NodeID) bool {
			return ts[from].Send(to, 1, func(b []byte) []byte { return append(b, byte(from)) })
		}
		heard := func(by, from consensus.NodeID) (count int) {
			b := boxes[by]
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, f := range b.from {
				if f == from {
					count++
				}
			}
			return count
		}
		expect := func(from, to consensus.NodeID, want bool) {
			t.Helper()
			before := heard(to, from)
			say(from, to)
			time.Sleep(time.Second) // in a bubble
			say(from, to)           // what waits for a connection that fails is given up
			time.Sleep(time.Second)
			if got := heard(to, from) > before; got != want {
				t.Fatalf("node %d hears of node %d: %v, want %v", to, from, got, want)
			}
		}
		founders := all[:3]
		for _, p := range founders {
			start(p.ID, founders, 3)
		}
		for _, a := range founders {
			for _, b := range founders {
				if a != b {
					expect(a.ID, b.ID, true)
				}
			}
		}
		members := []consensus.Peer{all[0], all[1], all[3]}
		start(4, members, 4)
		if err := ts[1].SetPeers(members, 4); err != nil {
			t.Fatal(err)
		}
		expect(1, 4, true)
		expect(4, 1, true)
		expect(4, 2, true) // it was not told, but 4 is higher than all it knows
		expect(2, 4, true) // and it can answer
		expect(3, 1, false)
		expect(1, 3, false)
		expect(3, 2, true) // 2 does not know better
		if err := ts[2].SetPeers(members, 4); err != nil {
			t.Fatal(err)
		}
		expect(3, 2, false)
		expect(2, 4, true)

		start(5, all, 5)
		expect(5, 2, true)
		if err := ts[2].SetPeers(members, 5); err != nil {
			t.Fatal(err)
		}
		expect(5, 2, false) // it was a member, and is none any more
		expect(2, 5, false)

		// A peer moves.
		if err := ts[4].Close(); err != nil {
			t.Fatal(err)
		}
		moved := []consensus.Peer{all[0], all[1], {ID: 4, Addr: "elsewhere:1"}}
		start(4, moved, 5)
		if err := ts[2].SetPeers(moved, 5); err != nil {
			t.Fatal(err)
		}
		expect(2, 4, true)
		if err := ts[2].SetPeers([]consensus.Peer{{ID: 0, Addr: "x:1"}}, 5); err == nil {
			t.Error("a peer without an id was taken")
		}
		expect(2, 4, true)
	})
}

// TestAFormerPeerHearsWhatWaited: what was sent before a peer was let go still
// leaves, so that it can learn why.
func TestAFormerPeerHearsWhatWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := []*inbox{newInbox(), newInbox()}
		ts, peers := open(t, NewMemory(), boxes, nil)
		time.Sleep(time.Second) // connected
		ts[0].Send(2, 1, func(b []byte) []byte { return append(b, 'x') })
		if err := ts[0].SetPeers(peers[:1], 2); err != nil {
			t.Fatal(err)
		}
		boxes[1].wait(t, 1)
		if ts[0].Send(2, 1, func(b []byte) []byte { return append(b, 'x') }) {
			t.Error("a message to a former peer was taken")
		}
	})
}
