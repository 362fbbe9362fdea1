package sim

import (
	"slices"
	"testing"
	"time"

	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
)

// planted is a core with a bug in the way it is driven.
type planted struct {
	engine.Core
	bug func(c engine.Core, rd *engine.Ready)
}

func (p *planted) Ready(rd *engine.Ready) {
	p.Core.Ready(rd)
	p.bug(p.Core, rd)
}

// TestPlantedBugs: the judges find bugs in the order of writes, messages and
// applications, in few seeds, and a failing seed shrinks to a schedule that still
// fails.
func TestPlantedBugs(t *testing.T) {
	for _, x := range []struct {
		name string
		want string // the judge that must find it
		bug  func(c engine.Core, rd *engine.Ready)
	}{
		{"answers leave before the write", "durable-quorum", func(_ engine.Core, rd *engine.Ready) {
			rd.SendNow, rd.SendAfterPersist = append(rd.SendNow, rd.SendAfterPersist...), nil
		}},
		{"an entry is left out", "applied-prefix", func(_ engine.Core, rd *engine.Ready) {
			rd.Apply = slices.DeleteFunc(rd.Apply, func(e storage.Entry) bool { return e.Index == 20 })
		}},
		{"reads are answered at once", "read-linearizable", func(c engine.Core, rd *engine.Ready) {
			for i := range rd.Reads {
				rd.Reads[i].Index = 0
			}
		}},
	} {
		for _, b := range Backends() {
			how := setup{wrap: func(c engine.Core) engine.Core { return &planted{c, x.bug} }}
			found := false
			for seed := uint64(1); seed <= 20 && !found; seed++ {
				r := how.run(b, seed, Options{})
				if r.Kind() != x.want {
					continue
				}
				found = true
				small := how.shrink(&r, time.Second/4)
				again := how.replay(small)
				t.Logf("%s: %s: seed %d; shrunk from %d faults in %d ticks to %d in %d: %s",
					x.name, b, seed, len(r.Scenario.Faults), r.Ticks, len(small.Faults), small.Ticks, small.About)
				if again.Kind() != x.want {
					t.Errorf("%s: %s: the shrunk schedule shows %q, not %q", x.name, b, again.Kind(), x.want)
				}
				if len(small.Faults) > len(r.Scenario.Faults) || small.Ticks > r.Scenario.Ticks {
					t.Errorf("%s: %s: the schedule grew", x.name, b)
				}
			}
			if !found {
				t.Errorf("%s: %s: no seed shows it", x.name, b)
			}
		}
	}
}
