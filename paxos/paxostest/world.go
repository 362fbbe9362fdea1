package paxostest

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"time"

	"gfslab/paxos"
)

// world is a cluster, its network and its clients, in one goroutine.
type world struct {
	rng *rand.Rand
	// clocks draws apart, for nothing else depends on them.
	clocks *rand.Rand
	swarm  swarm
	peers  []*peer
	*monitors
	// flight holds messages by the tick at which they arrive.
	flight map[int][]paxos.Message
	spare  [][]paxos.Message // emptied slices, for reuse
	// cutLink[a][b]: what a sends to b is lost.
	cutLink [][]bool
	calm    bool // no fault any more
	// besieged is the leader whose lease is under attack until siegeEnd.
	besieged           paxos.NodeID
	siege              siege
	siegeCut, siegeEnd int
	idle               bool // no proposal any more
	report             *Report
	trace              uint64
	nextID             uint64
	asked              map[uint64]uint64 // read id -> highest slot applied anywhere when it was asked
	acked              int               // proposals acknowledged
}

// newWorld starts a cluster. Everything random in it comes from seed.
func newWorld(seed uint64, s swarm, report *Report) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), flight: map[int][]paxos.Message{},
		report: report, asked: map[uint64]uint64{}, clocks: rand.New(rand.NewPCG(seed, 0xa0761d6478bd642f))}
	w.swarm = s
	var ids []paxos.NodeID
	for i := range w.swarm.nodes {
		ids = append(ids, paxos.NodeID(i+1))
	}
	for range max(w.swarm.ids, w.swarm.nodes) {
		w.cutLink = append(w.cutLink, make([]bool, max(w.swarm.ids, w.swarm.nodes)))
	}
	w.monitors = newMonitors(ids, s.config)
	for _, id := range ids {
		c := w.swarm.config
		c.ID, c.Peers, c.Seed = id, ids, seed*31+uint64(id)
		p := &peer{id: id, config: c, disk: &disk{}, world: w}
		w.peers = append(w.peers, p)
		w.start(p)
	}
	return w
}

// tickTime is the length of a tick on the slowest clock.
const tickTime = 1000

// tell gives p the time, on its own clock.
func (w *world) tell(p *peer) {
	if p.config.Lease > 0 {
		p.node.SetTime(time.Duration(float64(w.now) * p.rate))
	}
}

func (w *world) start(p *peer) {
	p.rate = tickTime * (1 + w.swarm.config.MaxDrift*w.clocks.Float64())
	if err := p.start(); err != nil {
		w.fail("restart", "%v", err)
	}
	w.tell(p)
	w.restarted(p)
	p.drain()
}

func (w *world) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// tick lets one tick pass: disks finish, time passes, messages arrive, clients
// ask, state machines work.
func (w *world) tick() {
	w.now++
	// What was sent at the very end of the last tick arrives first.
	if late := w.flight[w.now-1]; len(late) > 0 {
		w.flight[w.now] = append(late, w.flight[w.now]...)
	}
	delete(w.flight, w.now-1)
	for _, p := range w.peers {
		p.persist(w.now)
	}
	for _, p := range w.peers {
		if p.up {
			w.tell(p)
		}
		if p.up && (w.calm || !w.chance(w.swarm.lostTick)) {
			p.node.Tick()
			p.drain()
		}
	}
	w.deliver()
	for _, p := range w.peers {
		w.clients(p)
		w.members(p)
		p.persist(w.now)
	}
	w.deliver()
	w.retire()
	for _, p := range w.peers {
		w.snapshots(p)
		if w.swarm.applyLag && !w.calm {
			p.execute(w.rng.IntN(3))
		} else {
			p.execute(math.MaxInt)
		}
	}
}

// deliver hands over what arrives in this tick, in random order, with what is
// sent in answer without delay.
func (w *world) deliver() {
	for rounds := 0; len(w.flight[w.now]) > 0; rounds++ {
		if rounds > 10000 {
			w.fail("quiet", "messages beget messages without end")
		}
		batch := w.flight[w.now]
		w.flight[w.now] = nil
		w.rng.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
		for _, m := range batch {
			p := w.peers[m.To-1]
			if !p.up || w.cutLink[m.From-1][m.To-1] {
				continue
			}
			w.note(uint64(m.Kind), uint64(m.From), uint64(m.To), m.Ballot.Pack(), m.Lo, m.Hi, m.Chosen, uint64(len(m.Entries)))
			if err := p.node.Step(m); err != nil && !(len(w.rules) > 1 && errors.Is(err, paxos.ErrNotPeer)) {
				w.fail("step", "node %d: %v", p.id, err)
			}
			p.drain()
			p.persist(w.now)
		}
		clear(batch)
		w.spare = append(w.spare, batch[:0])
	}
}

// clients propose and read at whoever believes to lead.
func (w *world) clients(p *peer) {
	if !p.up || p.node.Status().Role != paxos.Leader {
		return
	}
	if !w.idle && (w.calm || w.chance(w.swarm.propose)) {
		for range 1 + w.rng.IntN(w.swarm.burst) {
			w.propose(p)
		}
	}
	if w.calm || w.chance(w.swarm.read) {
		w.nextID++
		w.asked[w.nextID] = w.appliedMax
		if err := p.node.ReadIndex(w.nextID); err != nil {
			w.fail("read-index", "node %d leads and says %v", p.id, err)
		}
		p.drain()
	}
}

// snapshots captures states, and brings those that were asked for.
func (w *world) snapshots(p *peer) {
	if !p.up {
		return
	}
	if w.swarm.capture > 0 && w.chance(w.swarm.capture) {
		p.capture(w.swarm.trailing)
		w.report.Snapshots++
	}
	if p.fetch.From == 0 || w.now < p.fetchDue {
		return
	}
	from := w.peers[p.fetch.From-1]
	if !from.up || w.cutLink[from.id-1][p.id-1] || !w.calm && w.chance(w.swarm.drop) {
		p.fetch = paxos.Fetch{}
		p.node.FetchFailed(from.id)
		p.drain()
		return
	}
	// It may go down between the two: when the file is durable, and the core has
	// not heard of it.
	crash := !w.calm && w.chance(w.swarm.crash*5)
	if p.fetched(from, !crash); crash {
		w.harvest(p)
		p.crash(0)
	}
}

// fetching implements sink.
func (w *world) fetching(p *peer) {
	p.fetchDue = w.now + w.rng.IntN(w.swarm.fetchDelay+1)
}

// restored implements sink.
func (w *world) restored(p *peer) {
	w.monitors.restored(p)
	w.note(uint64(p.id), p.stateAt, p.state)
}

func (w *world) propose(p *peer) {
	w.nextID++
	v := fmt.Sprintf("%d-%0*d", p.id, w.swarm.valueBytes, w.nextID)
	w.proposed[v] = true
	slot, err := p.node.Propose([]byte(v))
	if err == nil {
		w.report.Proposals++
		p.owned[slot] = v
	}
	p.drain()
}

// note adds to the trace.
func (w *world) note(xs ...uint64) {
	for _, x := range xs {
		w.trace = bits.RotateLeft64((w.trace^x)*0x9e3779b97f4a7c15, 29)
	}
}

// writeDelay implements sink.
func (w *world) writeDelay(*peer) int {
	if w.calm {
		return w.now
	}
	d := w.rng.IntN(w.swarm.diskDelay + 1)
	if w.chance(w.swarm.stall) {
		d += 20 + w.rng.IntN(40)
	}
	return w.now + d
}

// sent implements sink: the network.
func (w *world) sent(p *peer, m paxos.Message) {
	w.monitors.sent(p, m)
	if m.Kind == paxos.MsgTransfer && !w.calm && w.chance(w.swarm.siege*20) {
		w.besiege(p, deafened)
	}
	if w.cutLink[m.From-1][m.To-1] || w.shielded(m) || !w.calm && w.chance(w.swarm.drop) {
		return
	}
	copies := 1
	if !w.calm && w.chance(w.swarm.duplicate) {
		copies = 2
	}
	for range copies {
		at := w.now
		if w.swarm.delay > 0 {
			at += w.rng.IntN(w.swarm.delay + 1)
		}
		if w.siege == slowed && w.now < w.siegeEnd && m.To == w.besieged && m.Kind == paxos.MsgHeartbeatReply {
			at += w.rng.IntN(2 * w.swarm.config.ElectionTicks)
		}
		if !w.calm && w.chance(w.swarm.straggle) {
			at += w.rng.IntN(60)
		}
		queue, ok := w.flight[at]
		if last := len(w.spare) - 1; (!ok || queue == nil) && last >= 0 {
			queue, w.spare = w.spare[last], w.spare[:last]
		}
		w.flight[at] = append(queue, m)
	}
}

// applied implements sink: the state machine and the client's answer.
func (w *world) applied(p *peer, e paxos.Entry) {
	w.monitors.applied(p, e)
	w.note(uint64(p.id), e.Slot, e.Ballot.Pack())
	if v, ok := p.owned[e.Slot]; ok && v == string(e.Value) {
		w.acked++
		delete(p.owned, e.Slot)
	}
}

// read implements sink.
func (w *world) read(p *peer, r paxos.Read) {
	asked, ok := w.asked[r.ID]
	if !ok {
		w.fail("read-once", "node %d answers read %d twice, or it was never asked", p.id, r.ID)
	}
	delete(w.asked, r.ID)
	w.monitors.read(p, r, asked)
	if r.Refused {
		w.report.ReadsRefused++
	} else {
		w.report.ReadsConfirmed++
	}
}
