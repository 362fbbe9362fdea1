package sim

import (
	"errors"
	"fmt"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/batch"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
	"gfslab/internal/fault/disk"
	"gfslab/master"
)

// node is one replica: what the engine's shell is to a Scheduler in the product,
// with every effect in the hands of the world. Each life of it opens the log
// anew.
type node struct {
	w      *world
	index  int
	id     consensus.NodeID
	config consensus.Config
	rng    stream
	// rate is how fast its clock runs.
	rate float64

	fs     *disk.FS
	shadow shadow // what must be on its disk
	up     bool
	life   uint32
	paused int64 // it does nothing before this moment
	// stalled: no write completes before this moment.
	stalled int64
	live
}

// live is what a node has for one life only.
type live struct {
	opened int64
	// strangers are newcomers that have called and are not known to be members, a
	// bit each.
	strangers uint64
	log       *storage.Log
	core      engine.Core
	sched     *engine.Scheduler
	machine   *master.Machine
	fx        engine.Effects
	in        input
	taken     []frame // room for the next turn's
	awake     bool    // a turn is scheduled
	writing   *storage.Batch
	applier   applier
	files     files
	decoded   batch.Decoded
	pipe      pipeline
	readers   readers
}

// input is what came in since the last turn.
type input struct {
	frames  []frame
	wrote   bool
	ticked  bool
	applied uint64
	rare    []func() // whatever is rare: reports about files, requests of an operator
}

type frame struct {
	from int32
	data []byte
}

func newNode(w *world, index int) *node {
	n := &node{w: w, index: index, id: consensus.NodeID(index + 1), rng: newStream(w.seed, 'd', uint64(index))}
	n.fs = disk.NewMem(n.rng.next())
	n.rate = 1 + w.swarm.Drift*(n.rng.float()-0.5)
	n.config = consensus.Config{Cluster: "sim", Self: n.id, Limits: w.swarm.Limits}.WithDefaults()
	return n
}

func (n *node) number() int { return n.index + 1 }

func (n *node) leads() bool { return n.up && n.sched.Status().Role == consensus.Leader }

const logDir = "log"

// start opens a new life on what the disk holds.
func (n *node) start() {
	n.life++
	w := n.w
	nonce := newStream(w.seed, 'l', uint64(n.index), uint64(n.life))
	opts := storage.Options{FS: n.fs, Dir: logDir, SegmentBytes: w.swarm.SegmentBytes, TailBytes: w.swarm.TailBytes}
	log, err := storage.Open(opts)
	if err != nil {
		w.fail("restart", "node %d: %v", n.number(), err)
	}
	if err := n.shadow.recovered(log); err != nil {
		w.fail("durable-log", "node %d restarts: %v", n.number(), err)
	}
	n.live = live{log: log, machine: master.NewMachine(nil, nil), opened: w.now}
	cfg := n.config
	cfg.StateMachine, cfg.Seed = n.machine, nonce.next()
	recovered, err := engine.Recover(cfg, log, w.protocol)
	if err != nil {
		w.fail("restart", "node %d: %v", n.number(), err)
	}
	if err := n.shadow.mended(log, recovered.Snapshot.SnapshotMeta); err != nil {
		w.fail("durable-log", "node %d restarts: %v", n.number(), err)
	}
	if n.core, err = w.protocol.Open(cfg, log, recovered.Start); err != nil {
		w.fail("restart", "node %d: %v", n.number(), err)
	}
	l := &cfg.Limits
	n.sched = engine.NewScheduler(engine.SchedulerOptions{
		Node: n.id, Core: n.core, FirstRead: nonce.next() >> 1, Window: l.Window, ElectionTicks: l.ElectionTicks,
		ReadMode: l.ReadMode, SnapshotEvery: l.SnapshotEvery, TrailingEntries: l.TrailingEntries,
		Recovered: recovered, Peers: cfg.Peers,
	})
	n.pipe = pipeline{nonce: nonce.next(), open: map[uint64]*flight{}}
	n.files.io = engine.NewSnapshotIO(log)
	n.up = true
	w.judge.started(n, recovered.Snapshot.SnapshotMeta)
	w.queue.push(event{at: w.now + int64(n.rng.intn(tick)), kind: evTick, node: int32(n.index), life: n.life})
	n.poke()
}

// tick is due at the node's own pace. A paused process loses ticks.
func (n *node) tick() {
	n.in.ticked = true
	n.poke()
	n.w.queue.push(event{at: n.w.now + int64(float64(tick)/n.rate), kind: evTick, node: int32(n.index), life: n.life})
}

// clock is the node's monotonic clock, since it was opened.
func (n *node) clock() time.Duration {
	return time.Duration(float64(n.w.now-n.opened) * n.rate * float64(time.Microsecond))
}

// poke wakes the node's loop.
func (n *node) poke() {
	if n.awake {
		return
	}
	n.awake = true
	at := max(n.w.now+n.w.swarm.Turn.draw(&n.rng), n.paused)
	n.w.queue.push(event{at: at, kind: evTurn, node: int32(n.index), life: n.life})
}

// later has something done in the loop's next turn.
func (n *node) later(do func()) {
	n.in.rare = append(n.in.rare, do)
	n.poke()
}

// after lets work on the node's disk or CPU happen at a later moment, never
// while the process is paused.
func (n *node) after(delay int64, k kind) {
	n.w.queue.push(event{at: max(n.w.now+delay, n.paused), kind: k, node: int32(n.index), life: n.life})
}

// write hands a batch to the disk.
func (n *node) write(b *storage.Batch) {
	n.writing = b
	n.after(n.diskDelay(), evWrote)
}

func (n *node) diskDelay() int64 {
	s := &n.w.swarm
	d := s.Disk.draw(&n.rng)
	if n.rng.chance(s.SlowWrite) {
		d += 20*tick + int64(n.rng.intn(40*tick))
	}
	return d
}

// stalls puts work on the disk off while the disk stalls.
func (n *node) stalls(k kind) bool {
	if n.w.now >= n.stalled {
		return false
	}
	n.w.queue.push(event{at: n.stalled, kind: k, node: int32(n.index), life: n.life})
	return true
}

// wrote: the write that was out is durable.
func (n *node) wrote() {
	if n.stalls(evWrote) {
		return
	}
	if err := n.log.Commit(n.writing); err != nil {
		n.w.fail("log-writable", "node %d: %v", n.number(), err)
	}
	n.shadow.commit(n.writing)
	n.w.note('w', uint64(n.index), uint64(len(n.writing.Entries)))
	n.writing = nil
	n.in.wrote = true
	n.poke()
}

var errPowerCut = errors.New("sim: the power is cut")

// crash ends the life. What is being written is lost, torn or whole on the disk.
func (n *node) crash(write string) {
	if write == "torn" {
		n.fs.FailSyncs(errPowerCut)
	}
	if n.writing != nil && write != "" {
		err := n.log.Commit(n.writing)
		switch {
		case write == "torn" && !errors.Is(err, errPowerCut), write != "torn" && err != nil:
			n.w.fail("log-writable", "node %d crashes: %v", n.number(), err)
		case write == "torn":
			n.shadow.doubt(n.writing)
		default:
			n.shadow.commit(n.writing)
		}
	}
	if write != "" {
		n.files.cutShort()
	}
	n.fs.FailSyncs(nil)
	n.up = false
	n.fs = n.fs.Crash(n.w.swarm.Survive)
	n.w.judge.crashed(n)
	n.live, n.paused = live{}, 0
}

func (n *node) String() string {
	if !n.up {
		return fmt.Sprintf("node %d is down", n.number())
	}
	st := n.sched.Status()
	first, last := n.log.Bounds()
	s := fmt.Sprintf("node %d %v of term %d (leader %d) committed %d applied %d log %d-%d", n.number(), st.Role, st.Term, st.Leader, st.Committed, n.applier.applied, first, last)
	if at := n.sched.Snapshot().Index; at != 0 {
		s += fmt.Sprintf(" snapshot %d", at)
	}
	return s
}
