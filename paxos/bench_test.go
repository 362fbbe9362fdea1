package paxos

import "testing"

// BenchmarkSteadyState drives three nodes with instant disks and links: each
// iteration proposes one slot, and every eight are flushed together. What it
// reports is the cost of the core alone, for one slot on all three nodes.
func BenchmarkSteadyState(b *testing.B) {
	nodes := make([]*Node, 3)
	for i := range nodes {
		c := config(NodeID(i+1), 3)
		c.Window, c.Storage = 64, &last{}
		n, err := New(c)
		if err != nil {
			b.Fatal(err)
		}
		nodes[i] = n
	}
	var flight []Message
	run := func() {
		for busy := true; busy; {
			busy = false
			for _, n := range nodes {
				for n.HasReady() {
					busy = true
					rd := n.Ready()
					flight = append(flight, rd.SendNow...)
					if rd.Token != 0 {
						n.cfg.Storage.(*last).keep(rd.Entries)
						n.Persisted(rd.Token)
					}
					flight = append(flight, rd.SendAfterPersist...)
					if k := len(rd.Apply); k > 0 {
						n.Applied(rd.Apply[k-1].Slot)
					}
				}
			}
			for _, m := range flight {
				if err := nodes[m.To-1].Step(m); err != nil {
					b.Fatal(err)
				}
			}
			clear(flight)
			flight = flight[:0]
		}
	}
	nodes[0].Campaign()
	run()
	value := make([]byte, 100)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := nodes[0].Propose(value); err != nil {
			b.Fatal(err)
		}
		if i%8 == 7 {
			run()
		}
	}
}

// last is a disk that remembers only where it ends: enough while nothing has to
// be read back.
type last struct{ slot uint64 }

func (l *last) keep(es []Entry) {
	if len(es) > 0 {
		l.slot = es[len(es)-1].Slot
	}
}
func (l *last) Entries(lo, hi uint64, maxBytes int) ([]Entry, error) { return nil, errDisk }
func (l *last) Compacted() uint64                                    { return 0 }
func (l *last) Bounds() (uint64, uint64)                             { return 0, l.slot }
