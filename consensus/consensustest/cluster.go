package consensustest

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/wire"
	faultdisk "gfslab/internal/fault/disk"
	faultnet "gfslab/internal/fault/net"
)

// cluster is the world of one scenario: nodes, disks, links, clients' history.
// Its methods belong to the scenario's own goroutine unless they say otherwise.
type cluster struct {
	T
	play    *play
	limits  consensus.Limits
	rng     *rand.Rand
	network wire.Network
	fabric  *faultnet.Fabric
	history *history
	nodes   []*node
	loads   []*load
	tasks   sync.WaitGroup // of beside
	// founders are the cluster's first members.
	founders []consensus.Peer
	// places is nodes, for other goroutines: it grows while they run.
	places atomic.Pointer[[]*node]

	mu       sync.Mutex
	machines []*incarnation
	leaders  map[uint64]consensus.NodeID
	configs  []config
}

// node is a place in the cluster: an address and a disk that outlive crashes.
type node struct {
	id       consensus.NodeID
	name     string
	addr     string
	fs       *faultdisk.FS
	listener net.Listener
	lives    int
	current  atomic.Pointer[incarnation] // nil while down
	// peers are what the node is told of the cluster; joins, that it exists.
	peers []consensus.Peer
	joins bool
	// removed: no member any more, and nothing is expected of it.
	removed atomic.Bool
}

// incarnation is one life of a node, from Open to Close or crash.
type incarnation struct {
	node    *node
	life    int
	replica consensus.Replica
	machine *machine
	// dead is set at the start of a crash: what the instance answers later
	// reaches nobody.
	dead atomic.Bool
	// applying is the last index of EventApplying; only the observer uses it.
	applying atomic.Uint64
	// restored counts EventRestored, saved EventSnapshot.
	restored, saved atomic.Int64
}

func newCluster(t T, p *play) *cluster {
	t.Helper()
	c := &cluster{T: t, play: p, limits: p.backend.Limits, history: &history{}, leaders: map[uint64]consensus.NodeID{}}
	if c.limits == (consensus.Limits{}) {
		c.limits = consensus.Matched2()
	}
	if p.world == Real {
		c.limits.Tick = stretched(c.limits.Tick, oversleep())
	}
	if p.scenario.limits != nil {
		p.scenario.limits(&c.limits)
	}
	c.rng = rand.New(rand.NewPCG(p.seed, 1))
	t.Logf("%s, %v world, seed %d, a tick of %v", p.backend.Name, p.world, p.seed, c.limits.Tick)
	c.network = wire.TCP()
	if p.world == Virtual {
		c.network = wire.NewMemory()
	}
	c.fabric = faultnet.NewFabric(c.network)
	for i := range max(1, p.scenario.nodes) {
		c.addNode(consensus.NodeID(i + 1))
	}
	for _, n := range c.nodes {
		c.founders = append(c.founders, n.peer())
	}
	for _, n := range c.nodes {
		n.peers = c.founders
	}
	return c
}

func (n *node) peer() consensus.Peer { return consensus.Peer{ID: n.id, Addr: n.addr} }

func (c *cluster) addNode(id consensus.NodeID) *node {
	c.Helper()
	n := &node{id: id, name: fmt.Sprintf("n%d", id)}
	c.nodes = append(c.nodes[:len(c.nodes):len(c.nodes)], n)
	c.places.Store(new(c.nodes))
	listenAt := n.name + ":7000"
	n.fs = faultdisk.NewMem(c.play.seed + uint64(id))
	if c.play.world == Virtual {
		// Time for faults to strike in the middle of things: without it every
		// command would take no time at all.
		n.fs.StallSyncs(time.Duration(300+c.rng.IntN(1500)) * time.Microsecond)
	} else {
		listenAt = "127.0.0.1:0"
		fs, err := faultdisk.NewReal(filepath.Join(c.play.dir, n.name), c.play.seed+uint64(id))
		if err != nil {
			fatalf(c, "disk of %s: %v", n.name, err)
		}
		n.fs = fs
	}
	l, err := c.fabric.Node(n.name).Listen(listenAt)
	if err != nil {
		fatalf(c, "listen for %s: %v", n.name, err)
	}
	n.listener, n.addr = l, l.Addr().String()
	return n
}

// start opens all nodes and waits for the first leader.
func (c *cluster) start() {
	c.Helper()
	c.open(c.nodes...)
	c.leader()
}

// open brings nodes up that are down.
func (c *cluster) open(nodes ...*node) {
	c.Helper()
	for _, n := range nodes {
		if n.current.Load() != nil {
			fatalf(c, "the suite opened %s twice", n.name)
		}
		if n.listener == nil {
			n.listener = c.listenAgain(n)
		}
		if err := c.openOne(n); err != nil {
			fatalf(c, "open %s (life %d): %v", n.name, n.lives, err)
		}
	}
}

// listenAgain takes the node's address once more; on TCP another process may
// hold it for a moment.
func (c *cluster) listenAgain(n *node) (l net.Listener) {
	c.Helper()
	var err error
	c.within(c.grace(), "the address "+n.addr+" to be free again", func() bool {
		l, err = c.fabric.Node(n.name).Listen(n.addr)
		return err == nil
	})
	return l
}

func (c *cluster) openOne(n *node) error {
	c.Helper()
	n.lives++
	inc := &incarnation{node: n, life: n.lives}
	inc.machine = newMachine(func(format string, args ...any) {
		if !inc.dead.Load() {
			c.Errorf("state machine of "+n.name+": "+format, args...)
		}
	})
	inc.machine.ballast = c.play.scenario.ballast
	if c.play.scenario.applyDelay > 0 {
		inc.machine.delay.Store(int64(c.play.scenario.applyDelay))
	}
	cfg := consensus.Config{
		Cluster: "suite", Self: n.id, Limits: c.limits, StateMachine: inc.machine,
		Seed:    c.play.seed ^ uint64(n.id)<<32 ^ uint64(n.lives)<<48,
		Observe: func(e consensus.Event) { c.observe(inc, e) },
		Logger:  c.logger(),
	}
	cfg.Peers, cfg.Join = n.peers, n.joins
	env := Env{FS: n.fs, Dir: "data", Network: c.fabric.Node(n.name), Listener: n.listener}
	n.listener = nil
	var err error
	if !c.bounded("Open of "+n.name, func() { inc.replica, err = c.play.backend.Open(cfg, env) }) {
		c.FailNow()
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.machines = append(c.machines, inc)
	c.mu.Unlock()
	n.current.Store(inc)
	return nil
}

// LogVariable, set to anything, sends the backends' log to standard error.
const LogVariable = "GFSLAB_SUITE_LOG"

func (c *cluster) logger() *slog.Logger {
	if os.Getenv(LogVariable) == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// crash takes nodes down at one instant, as a power cut would: no connection,
// no later write, and of what was not synced keep percent survives.
func (c *cluster) crash(keep int, nodes ...*node) {
	c.Helper()
	var olds []*incarnation
	for _, n := range nodes {
		if inc := n.current.Swap(nil); inc != nil {
			inc.dead.Store(true)
			olds = append(olds, inc)
		}
	}
	for _, inc := range olds {
		c.fabric.CloseNode(inc.node.name)
	}
	for _, inc := range olds {
		inc.machine.freeze()
		inc.node.fs = inc.node.fs.Crash(keep)
	}
	c.closeAll(olds)
	for _, inc := range olds {
		c.fabric.OpenNode(inc.node.name)
	}
}

// stop closes nodes in good order.
func (c *cluster) stop(nodes ...*node) {
	c.Helper()
	var olds []*incarnation
	for _, n := range nodes {
		if inc := n.current.Swap(nil); inc != nil {
			olds = append(olds, inc)
		}
	}
	c.closeAll(olds)
}

func (c *cluster) closeAll(incs []*incarnation) {
	c.Helper()
	var wg sync.WaitGroup
	for _, inc := range incs {
		wg.Go(func() {
			c.bounded("Close of "+inc.node.name, func() {
				if err := inc.replica.Close(); err != nil && !inc.dead.Load() {
					c.Errorf("close %s: %v", inc.node.name, err)
				}
			})
		})
	}
	wg.Wait()
}

// close ends the cluster whatever has happened.
func (c *cluster) close() {
	c.fabric.HealAll()
	for _, n := range c.nodes {
		n.fs.StallSyncs(0)
	}
	for _, l := range c.loads {
		l.cancel()
	}
	c.stop(c.nodes...)
	for _, l := range c.loads {
		l.stop()
	}
	c.tasks.Wait()
	for _, n := range c.nodes {
		if n.listener != nil {
			n.listener.Close()
		}
	}
}

// beside calls f beside the scenario, and returns what waits for its end. It
// must end by itself.
func (c *cluster) beside(f func()) (wait func()) {
	done := make(chan struct{})
	c.tasks.Go(func() { defer close(done); f() })
	return func() { <-done }
}

// evidence is complete once the cluster is closed.
func (c *cluster) evidence() evidence {
	c.mu.Lock()
	defer c.mu.Unlock()
	ev := evidence{Ops: c.history.operations(), Configs: c.configs}
	for _, inc := range c.machines {
		ev.Applied = append(ev.Applied, appliedList{inc.node.id, inc.life, inc.machine.record()})
	}
	return ev
}

// isolate cuts a node's links to its peers, both ways; clients still reach it.
func (c *cluster) isolate(n *node) {
	for _, p := range c.others(n) {
		c.fabric.Cut(n.name, p.name)
		c.fabric.Cut(p.name, n.name)
	}
}

func (c *cluster) others(n *node) []*node {
	var rest []*node
	for _, p := range c.nodes {
		if p != n && !p.removed.Load() {
			rest = append(rest, p)
		}
	}
	return rest
}

// up lists the members that run. Any goroutine.
func (c *cluster) up() []*incarnation {
	var list []*incarnation
	for _, n := range *c.places.Load() {
		if inc := n.current.Load(); inc != nil && !n.removed.Load() {
			list = append(list, inc)
		}
	}
	return list
}
