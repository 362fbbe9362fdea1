package sim

import (
	"errors"
	"fmt"

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

	// Of this life.
	log     *storage.Log
	core    engine.Core
	sched   *engine.Scheduler
	machine *master.Machine
	fx      engine.Effects
	in      input
	awake   bool // a turn is scheduled
	writing *storage.Batch
	applies []storage.Entry
	working bool // an application is scheduled
	applied uint64
	decoded batch.Decoded
	pipe    pipeline
	readers readers
}

// input is what came in since the last turn.
type input struct {
	frames  []frame
	wrote   bool
	ticked  bool
	applied uint64
}

type frame struct {
	from int32
	data []byte
}

func newNode(w *world, index int) *node {
	n := &node{w: w, index: index, id: consensus.NodeID(index + 1), rng: newStream(w.seed, 'd', uint64(index))}
	n.fs = disk.NewMem(n.rng.next())
	n.rate = 1 + w.swarm.Drift*(n.rng.float()-0.5)
	return n
}

func (n *node) number() int { return n.index + 1 }

func (n *node) leads() bool { return n.up && n.sched.Status().Role == consensus.Leader }

const logDir = "log"

// start opens a new life on what the disk holds.
func (n *node) start() {
	n.life++
	w := n.w
	opts := storage.Options{FS: n.fs, Dir: logDir, SegmentBytes: w.swarm.SegmentBytes, TailBytes: w.swarm.TailBytes}
	log, err := storage.Open(opts)
	if err != nil {
		w.fail("restart", "node %d: %v", n.number(), err)
	}
	if err := n.shadow.recovered(log); err != nil {
		w.fail("durable-log", "node %d restarts: %v", n.number(), err)
	}
	n.log, n.machine = log, master.NewMachine(nil, nil)
	nonce := newStream(w.seed, 'l', uint64(n.index), uint64(n.life))
	cfg := n.config
	cfg.StateMachine, cfg.Seed = n.machine, nonce.next()
	if n.core, err = w.factory(cfg, log, engine.Start{Founders: w.founders}); err != nil {
		w.fail("restart", "node %d: %v", n.number(), err)
	}
	n.sched = engine.NewScheduler(engine.SchedulerOptions{
		Node: n.id, Core: n.core, FirstRead: nonce.next() >> 1, Window: cfg.Limits.Window, ElectionTicks: cfg.Limits.ElectionTicks,
	})
	n.fx, n.in, n.awake, n.writing, n.applies, n.working, n.applied = engine.Effects{}, input{}, false, nil, nil, false, 0
	n.pipe, n.readers = pipeline{nonce: nonce.next(), open: map[uint64]*flight{}}, readers{}
	n.up = true
	w.judge.started(n)
	w.queue.push(event{at: w.now + int64(n.rng.intn(tick)), kind: evTick, node: int32(n.index), life: n.life})
	n.poke()
}

// tick is due at the node's own pace. A paused process loses ticks.
func (n *node) tick() {
	n.in.ticked = true
	n.poke()
	n.w.queue.push(event{at: n.w.now + int64(float64(tick)/n.rate), kind: evTick, node: int32(n.index), life: n.life})
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

// turn does what the engine's loop does when it wakes, in its order.
func (n *node) turn() {
	n.awake = false
	if n.w.now < n.paused {
		n.poke()
		return
	}
	in := n.in
	n.in = input{}
	if in.wrote {
		n.sched.Wrote(&n.fx)
	}
	for _, f := range in.frames {
		if err := n.sched.Step(consensus.NodeID(f.from+1), f.data); err != nil {
			n.w.report.BadMessages++
		}
	}
	if in.ticked {
		n.sched.Tick()
	}
	if in.applied != 0 {
		n.sched.Applied(in.applied)
	}
	n.run()
	n.startReads()
	n.propose()
	if f, ok := n.core.(engine.Failer); ok && f.Err() != nil {
		n.w.fail("log-readable", "node %d: %v", n.number(), f.Err())
	}
}

// run lets the scheduler decide and carries out the effects.
func (n *node) run() {
	n.sched.Run(&n.fx)
	w := n.w
	if n.fx.LostLead {
		n.lostLead()
	}
	for i := range n.fx.Events {
		w.judge.event(n, &n.fx.Events[i])
	}
	for _, m := range n.fx.Send {
		w.net.send(n, m)
	}
	if n.fx.Write != nil {
		n.write(n.fx.Write)
	}
	if len(n.fx.Apply) > 0 {
		n.applies = append(n.applies, n.fx.Apply...)
		n.work()
	}
	for _, round := range n.fx.ReadsDone {
		n.answerReads(round)
	}
	n.fx.Reset()
}

// work schedules the state machine.
func (n *node) work() {
	if n.working || len(n.applies) == 0 {
		return
	}
	n.working = true
	n.w.queue.push(event{at: n.w.now + n.w.swarm.Apply.draw(&n.rng), kind: evApply, node: int32(n.index), life: n.life})
}

// stretch is how many entries are applied before the loop hears of it.
const stretch = 64

// apply executes a stretch of entries.
func (n *node) apply() {
	n.working = false
	if n.w.now < n.paused {
		n.working = true
		n.w.queue.push(event{at: n.paused, kind: evApply, node: int32(n.index), life: n.life})
		return
	}
	todo := n.applies[:min(len(n.applies), stretch)]
	for i := range todo {
		n.applyOne(&todo[i])
	}
	n.in.applied = n.applied
	rest := copy(n.applies, n.applies[len(todo):])
	clear(n.applies[rest:])
	n.applies = n.applies[:rest]
	n.poke()
	n.work()
}

func (n *node) applyOne(e *storage.Entry) {
	own := ownEntry(e)
	var replies [][]byte
	if !own {
		if err := batch.Decode(e.Data, &n.decoded); err != nil {
			n.w.fail("validity", "node %d: committed entry %d: %v", n.number(), e.Index, err)
		}
		replies = n.machine.Apply(e.Index, n.decoded.Commands)
	}
	n.w.judge.applied(n, e, replies)
	n.applied = e.Index
	if !own {
		n.complete(e.Index, &n.decoded, replies)
	}
}

// write hands a batch to the disk.
func (n *node) write(b *storage.Batch) {
	s := &n.w.swarm
	n.writing = b
	at := n.w.now + s.Disk.draw(&n.rng)
	if n.rng.chance(s.SlowWrite) {
		at += 20*tick + int64(n.rng.intn(40*tick))
	}
	n.w.queue.push(event{at: at, kind: evWrote, node: int32(n.index), life: n.life})
}

// wrote: the write that was out is durable, unless the disk stalls.
func (n *node) wrote() {
	if n.w.now < n.stalled {
		n.w.queue.push(event{at: n.stalled, kind: evWrote, node: int32(n.index), life: n.life})
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

// crash ends the life. The write under way is lost, torn or whole on the disk.
func (n *node) crash(write string) {
	if n.writing != nil && write != "" {
		if write == "torn" {
			n.fs.FailSyncs(errPowerCut)
		}
		err := n.log.Commit(n.writing)
		n.fs.FailSyncs(nil)
		switch {
		case write == "torn" && !errors.Is(err, errPowerCut), write != "torn" && err != nil:
			n.w.fail("log-writable", "node %d crashes: %v", n.number(), err)
		case write == "torn":
			n.shadow.doubt(n.writing)
		default:
			n.shadow.commit(n.writing)
		}
	}
	n.up = false
	n.fs = n.fs.Crash(n.w.swarm.Survive)
	n.w.judge.crashed(n)
	n.log, n.core, n.sched, n.machine, n.writing, n.applies = nil, nil, nil, nil, nil, nil
	n.fx, n.in, n.pipe, n.readers, n.paused = engine.Effects{}, input{}, pipeline{}, readers{}, 0
}

func (n *node) String() string {
	if !n.up {
		return fmt.Sprintf("node %d is down", n.number())
	}
	st := n.sched.Status()
	first, last := n.log.Bounds()
	return fmt.Sprintf("node %d %v of term %d (leader %d) committed %d applied %d log %d-%d", n.number(), st.Role, st.Term, st.Leader, st.Committed, n.applied, first, last)
}
