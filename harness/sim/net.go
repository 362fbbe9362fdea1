package sim

import (
	"bytes"

	"gfslab/consensus"
	"gfslab/consensus/engine"
)

// network carries frames between nodes. Each directed link has its own random
// stream.
type network struct {
	w     *world
	links [][]link
}

type link struct {
	rng  stream
	cut  bool
	last int64 // when the newest frame of an ordered link arrives
	held [][]byte
}

func newNetwork(w *world, nodes int) *network {
	n := &network{w: w}
	for a := range nodes {
		row := make([]link, nodes)
		for b := range row {
			row[b].rng = newStream(w.seed, 'n', uint64(a), uint64(b))
		}
		n.links = append(n.links, row)
	}
	return n
}

// send encodes a message and puts it on its way.
func (n *network) send(from *node, m engine.Message) {
	w := n.w
	to := int(m.To) - 1
	if to < 0 || to >= len(w.nodes) || to == from.index {
		w.fail("addressee", "node %d sends to node %d", from.number(), m.To)
	}
	l := &n.links[from.index][to]
	if !from.knows(m.To) {
		return
	}
	frame := engine.AppendFrame(make([]byte, 0, engine.FrameSize(m.Body)), m.Body)
	w.report.Messages++
	if l.cut {
		if w.swarm.Held && len(l.held) < maxHeld {
			l.held = append(l.held, frame)
		}
		return
	}
	n.carry(from.index, to, frame)
}

// knows reports whether the node's transport talks to a peer: to those that it
// was told of, and to newcomers that have called.
func (n *node) knows(id consensus.NodeID) bool {
	return n.isPeer(id) || n.strangers&(1<<id) != 0 && id > n.sched.Highest()
}

func (n *node) isPeer(id consensus.NodeID) bool {
	for _, p := range n.sched.Peers() {
		if p.ID == id {
			return true
		}
	}
	return false
}

// welcomes reports whether the node's transport listens to a peer: to those that
// it talks to, and to identities that it cannot have heard of yet.
func (n *node) welcomes(id consensus.NodeID) bool {
	if n.isPeer(id) {
		return true
	}
	stranger := id > n.sched.Highest()
	if stranger {
		n.strangers |= 1 << id
	}
	return stranger
}

// maxHeld is what fits into the buffers of a connection.
const maxHeld = 256

func (n *network) carry(from, to int, frame []byte) {
	w, l := n.w, &n.links[from][to]
	if l.rng.chance(w.swarm.Drop) {
		return
	}
	copies := 1
	if !w.swarm.Ordered && l.rng.chance(w.swarm.Duplicate) {
		copies = 2
	}
	for i := range copies {
		if i > 0 {
			frame = bytes.Clone(frame) // a frame belongs to the core that gets it
		}
		at := w.now + 50 + w.swarm.Delay.draw(&l.rng)
		if l.rng.chance(w.swarm.Straggle) {
			at += int64(l.rng.intn(longest))
		}
		if w.swarm.Ordered {
			at = max(at, l.last)
			l.last = at
		}
		w.queue.push(event{at: at, kind: evFrame, node: int32(to), from: int32(from), data: frame})
	}
}

// arrive hands a frame to its node, unless the link was cut meanwhile.
func (n *network) arrive(e *event) {
	l := &n.links[e.from][e.node]
	to := n.w.nodes[e.node]
	switch {
	case l.cut && n.w.swarm.Held && len(l.held) < maxHeld:
		l.held = append(l.held, e.data)
	case l.cut || !to.up || !to.welcomes(consensus.NodeID(e.from+1)):
	default:
		n.w.note(uint64(e.at), uint64(e.from), uint64(e.node))
		n.w.trace = mixBytes(n.w.trace, e.data)
		to.in.frames = append(to.in.frames, frame{e.from, e.data})
		to.poke()
	}
}

func (n *network) cut(links [][2]int) {
	for _, l := range links {
		if a, b := l[0]-1, l[1]-1; a >= 0 && b >= 0 && a < len(n.links) && b < len(n.links) && a != b {
			n.links[a][b].cut = true
		}
	}
}

// heal ends all cuts and releases what was held. It reports whether there was
// any cut.
func (n *network) heal() (any bool) {
	for a := range n.links {
		for b := range n.links[a] {
			l := &n.links[a][b]
			any = any || l.cut
			l.cut = false
			held := l.held
			l.held = nil
			for _, frame := range held {
				n.carry(a, b, frame)
			}
		}
	}
	return any
}
