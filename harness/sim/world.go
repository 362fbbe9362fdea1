package sim

import (
	"fmt"
	"io"

	"gfslab/consensus"
	"gfslab/consensus/engine"
)

// world is a cluster with its network, disks, clocks and clients.
type world struct {
	seed     uint64
	backend  Backend
	protocol engine.Protocol
	swarm    Swarm
	report   *Report
	judge    *judge
	trace    uint64

	queue   queue
	now     int64 // microseconds
	ticks   int   // nominal ticks that have begun
	nodes   []*node
	clients []*client
	net     *network

	explain  io.Writer // nil: silent
	faultRng stream
	// given are the faults to come of a replay; faults are those that happened.
	given  []Fault
	faults []Fault
	// over says, at the beginning of a tick, that the part with faults has ended;
	// nil during the part without.
	over     func() bool
	ended    bool
	settling bool
}

func newWorld(sc *Scenario, p engine.Protocol, report *Report) *world {
	w := &world{seed: sc.Seed, backend: sc.Backend, protocol: p, swarm: sc.Swarm, report: report,
		faultRng: newStream(sc.Seed, 'f'), given: sc.Faults}
	w.judge = newJudge(w)
	var peers []consensus.Peer
	for i := range w.swarm.Nodes {
		peers = append(peers, peerOf(i))
	}
	w.net = newNetwork(w, len(peers)+maxNewcomers)
	for i := range peers {
		n := newNode(w, i)
		n.config.Peers = peers
		w.nodes = append(w.nodes, n)
	}
	w.judge.members = []consensus.Members{consensus.Founders(peers)}
	return w
}

func peerOf(index int) consensus.Peer {
	return consensus.Peer{ID: consensus.NodeID(index + 1), Addr: fmt.Sprintf("n%d", index+1)}
}

// open starts every node and client.
func (w *world) open() {
	for _, n := range w.nodes {
		n.start()
	}
	for i := range w.swarm.Clients {
		w.clients = append(w.clients, newClient(w, i))
	}
	w.queue.push(event{at: tick, kind: evFault})
}

// note adds to the trace.
func (w *world) note(xs ...uint64) { w.trace = mix(w.trace, xs...) }

// say tells what happens to whoever replays a world.
func (w *world) say(format string, args ...any) {
	if w.explain != nil {
		fmt.Fprintf(w.explain, "%8.2f  %s\n", float64(w.now)/tick, fmt.Sprintf(format, args...))
	}
}

// step lets the next event happen.
func (w *world) step() {
	e := w.queue.pop()
	w.now = e.at
	switch e.kind {
	case evFault:
		w.beginTick()
	case evFrame:
		w.net.arrive(&e)
	case evRequest:
		w.request(w.nodes[e.node], e.call)
	case evReply:
		e.call.client.reply(e.call)
	case evClient:
		if c := w.clients[e.from]; c.generation == e.life {
			c.act()
		}
	default:
		if n := w.nodes[e.node]; n.up && n.life == e.life {
			n.happens(e.kind)
		}
	}
}

func (n *node) happens(k kind) {
	switch k {
	case evTick:
		n.tick()
	case evTurn:
		n.turn()
	case evWrote:
		n.wrote()
	case evApply:
		n.apply()
	case evFile:
		n.file()
	case evSave:
		n.save()
	}
}

// beginTick begins a nominal tick: time for faults.
func (w *world) beginTick() {
	w.ticks++
	w.queue.push(event{at: w.now + tick, kind: evFault})
	if w.settling {
		return
	}
	if w.over() {
		w.ended = true
		return
	}
	if w.given != nil {
		w.replayFaults()
	} else {
		w.drawFaults(w.report.options)
	}
}
