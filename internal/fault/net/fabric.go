package net

import (
	"cmp"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"gfslab/consensus/wire"
)

// Fabric is a network with named nodes and faults between them. All methods
// may be called from any goroutine. In a testing/synctest bubble, create it
// inside the bubble.
type Fabric struct {
	under wire.Network

	mu     sync.Mutex
	owners map[string]string // address → node
	links  map[Link]*link
	nodes  map[string]*node

	stalled, refused, killed atomic.Uint64
}

// Link is one direction between two nodes.
type Link struct{ From, To string }

func (l Link) String() string { return l.From + "→" + l.To }

// Stats count what the faults have really done, so that a run can prove that
// its fault was observed.
type Stats struct {
	// Stalled reads, writes and dials met a cut link.
	Stalled uint64
	// Refused dials met a closed node.
	Refused uint64
	// Killed connections were open when CloseNode was called.
	Killed uint64
}

// link is one direction. gate is nil while the link is whole; a cut puts in a
// channel that healing closes.
type link struct{ gate atomic.Pointer[chan struct{}] }

// node is one named participant. conns are the wrapped connections that begin
// or end here; closed is not nil while the node is open, and closes with it.
type node struct {
	conns  map[*conn]struct{}
	down   bool
	closed chan struct{}
	// listeners of the present incarnation die with it.
	listeners []net.Listener
}

// NewFabric puts a fabric over a network. All links are whole.
func NewFabric(under wire.Network) *Fabric {
	return &Fabric{
		under: under, owners: map[string]string{}, links: map[Link]*link{}, nodes: map[string]*node{},
	}
}

// Node returns the network as the named node sees it. Equal names are one
// node. It serves again after OpenNode.
func (f *Fabric) Node(name string) wire.Network { return view{f: f, name: name} }

// Incarnation is Node for one life of a process: the next CloseNode closes the
// listeners opened through it too, and it refuses to dial and listen ever
// after. A crashed instance that is still being shut down can then not speak
// in the name of the next one. Of a closed node, ask only after OpenNode.
func (f *Fabric) Incarnation(name string) wire.Network {
	f.mu.Lock()
	defer f.mu.Unlock()
	return view{f: f, name: name, life: f.node(name).closed}
}

// Cut stalls what goes from one node to another; the way back stays whole.
// Cutting again changes nothing. The names need not exist yet.
func (f *Fabric) Cut(from, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gate := make(chan struct{})
	f.link(from, to).gate.CompareAndSwap(nil, &gate)
}

// Heal mends one direction and delivers what has stalled.
func (f *Fabric) Heal(from, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.link(from, to).heal()
}

// HealAll mends every link. Closed nodes stay closed.
func (f *Fabric) HealAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.links {
		l.heal()
	}
}

func (l *link) heal() {
	if gate := l.gate.Swap(nil); gate != nil {
		close(*gate)
	}
}

// Cuts lists the cut links in order.
func (f *Fabric) Cuts() []Link {
	f.mu.Lock()
	defer f.mu.Unlock()
	var cuts []Link
	for at, l := range f.links {
		if l.gate.Load() != nil {
			cuts = append(cuts, at)
		}
	}
	slices.SortFunc(cuts, func(a, b Link) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return cuts
}

// CloseNode kills every connection from and to the node, at once and in both
// directions, and refuses new ones until OpenNode. Listeners opened through
// Node stay open; those of an Incarnation close.
func (f *Fabric) CloseNode(name string) {
	f.mu.Lock()
	n := f.node(name)
	if !n.down {
		n.down = true
		close(n.closed)
	}
	conns := make([]*conn, 0, len(n.conns))
	for c := range n.conns {
		conns = append(conns, c)
	}
	listeners := n.listeners
	n.listeners = nil
	f.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close()
	}
	f.killed.Add(uint64(len(conns)))
	for _, c := range conns {
		_ = c.Close()
	}
}

// OpenNode lets the node dial and be dialed again.
func (f *Fabric) OpenNode(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.node(name); n.down {
		n.down, n.closed = false, make(chan struct{})
	}
}

// Stats returns the totals so far.
func (f *Fabric) Stats() Stats {
	return Stats{Stalled: f.stalled.Load(), Refused: f.refused.Load(), Killed: f.killed.Load()}
}

// link and node find or make; f.mu is held.
func (f *Fabric) link(from, to string) *link {
	at := Link{from, to}
	if f.links[at] == nil {
		f.links[at] = &link{}
	}
	return f.links[at]
}

func (f *Fabric) node(name string) *node {
	if f.nodes[name] == nil {
		f.nodes[name] = &node{conns: map[*conn]struct{}{}, closed: make(chan struct{})}
	}
	return f.nodes[name]
}
