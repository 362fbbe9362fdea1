// Package paxostest runs the Paxos core in a simulated world: one goroutine, a
// seed, virtual ticks; a network that drops, doubles, reorders, delays and cuts;
// disks that are slow and forget; and monitors that judge every step.
//
// It is not a test of engines, sockets or files, and needs no *testing.T: Run
// can be called from a command.
package paxostest

import (
	"fmt"

	"gfslab/paxos"
)

// Report is what one seed showed.
type Report struct {
	Seed  uint64
	Nodes int
	// Mode is the protocol: the switches and the quorums, as %+v prints them.
	Mode  string
	Ticks int
	// Proposals were taken by a leader; Acknowledged were applied by the life
	// that proposed them.
	Proposals, Acknowledged      int
	ReadsConfirmed, ReadsRefused int
	Crashes, Partitions          int
	Elections, LeaderChanges     uint64
	GapsFilled, ValuesAdopted    uint64
	CatchUps, Rejections         uint64
	Snapshots                    int
	Installs, LeaseReads         uint64
	Changes, Transfers           int // of members, sealed; of the lead, begun
	Sieges                       int // attacks on leases
	// Trace is a hash of everything that was delivered and applied: the same seed
	// and code give the same trace.
	Trace uint64
	// Violation is the first broken invariant, nil if there was none.
	Violation *Violation
	// Stall says why the healed cluster does not make progress, empty if it does.
	Stall string
}

// Failed reports whether the seed shows a bug.
func (r *Report) Failed() bool { return r.Violation != nil || r.Stall != "" }

func (r *Report) String() string {
	verdict := "ok"
	if r.Violation != nil {
		verdict = "VIOLATION " + r.Violation.Error()
	} else if r.Stall != "" {
		verdict = "STALL " + r.Stall
	}
	return fmt.Sprintf("seed %d: %d nodes, %s, %d ticks, %d proposals, trace %016x: %s", r.Seed, r.Nodes, r.Mode, r.Ticks, r.Proposals, r.Trace, verdict)
}

// Run simulates one seed. It is deterministic.
func Run(seed uint64, opt Options) (report Report) {
	opt = opt.withDefaults()
	report.Seed = seed
	var w *world
	defer func() {
		if w != nil {
			report.Ticks, report.Trace, report.Acknowledged = w.now, w.trace, w.acked
		}
		switch r := recover().(type) {
		case nil:
		case *Violation:
			report.Violation = r
		case string: // the core's own assertions
			report.Violation = &Violation{Monitor: "assertion", Detail: r, Tick: report.Ticks}
		default:
			panic(r)
		}
	}()
	w = newWorld(seed, drawSwarm(seed), &report)
	report.Nodes = len(w.peers)
	c := w.swarm.config
	report.Mode = fmt.Sprintf("%+v, quorums %d and %d", c.Switches, c.Phase1Quorum, c.Phase2Quorum)
	for w.now < opt.Ticks || report.Proposals < opt.Proposals || report.Crashes < opt.Crashes || report.Partitions < opt.Partitions {
		w.faults(opt)
		w.tick()
		if w.now > 20*opt.Ticks {
			break // the healed world will tell whether it is stuck
		}
	}
	report.Stall = w.settle()
	for _, p := range w.peers {
		if p.up {
			w.harvest(p)
		}
	}
	report.Changes = len(w.rules) - 1
	return report
}

// settle ends all faults and demands progress: one leader, a fresh proposal
// acknowledged, a fresh read confirmed, and every node at the same slot. It
// returns why that did not come about in time.
func (w *world) settle() string {
	w.calm = true
	w.swarm.ease()
	w.healLinks()
	for _, p := range w.peers {
		if !p.up && !p.gone {
			w.start(p)
		}
		for i := range p.writes {
			p.writes[i].due = min(p.writes[i].due, w.now+1)
		}
	}
	// What flew and lay around may first have to be sorted out; then elections
	// with backoff, then a page of catch-up a round trip.
	c := w.swarm.config
	healed := w.now
	limit := healed + 60*c.ElectionTicks + 4*(w.swarm.delay+1)*int(w.appliedMax+100)
	acked, reads := w.acked, w.report.ReadsConfirmed
	for w.now < limit {
		// Where nothing is taken behind a gap, a laggard with small pages cannot catch up
		// with a leader whose quorum does without it; it must once the load ends.
		w.idle = c.Switches.Acceptance == paxos.Contiguous && w.acked >= acked+100
		w.tick()
		if w.acked >= acked+10 && w.report.ReadsConfirmed >= reads+10 && w.quiesce() {
			return ""
		}
	}
	why := fmt.Sprintf("%d ticks after the heal: %d acknowledged, %d reads;", w.now-healed, w.acked-acked, w.report.ReadsConfirmed-reads)
	for _, p := range w.peers {
		if !p.up {
			why += fmt.Sprintf(" node %d gone;", p.id)
			continue
		}
		st := p.node.Status()
		why += fmt.Sprintf(" node %d %v of %v chosen %d applied %d last %d;", p.id, st.Role, st.Ballot, st.Chosen, st.Applied, st.Last)
	}
	return why
}

// quiesce reports whether all nodes follow one leader and none is far behind.
func (w *world) quiesce() bool {
	var ballot paxos.Ballot
	var low, high uint64
	for _, p := range w.peers {
		if !w.isMember(p.id) {
			continue
		}
		if p.gone {
			return false
		}
		st := p.node.Status()
		if ballot.IsZero() {
			ballot, low, high = st.Ballot, st.Applied, st.Applied
		}
		if st.Ballot != ballot || st.Leader != ballot.Node {
			return false
		}
		low, high = min(low, st.Applied), max(high, st.Applied)
	}
	return w.newest().sealed && high-low <= uint64(w.swarm.config.Window*(w.swarm.delay+2)*8)
}
