package sim

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"gfslab/consensus"
	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

// client runs one operation after the other, each until it has an answer: it
// retries at other nodes under the same sequence number, as the GFS client does.
type client struct {
	w     *world
	index int
	rng   stream
	names int // how many sessions it has had
	seq   uint64
	// generation counts its sends; answers to earlier ones are void.
	generation uint32
	target     int // index of the node that it takes for the leader
	current    *operation
	tries      int
	redirected bool   // the next attempt goes to the node that a refusal named
	seen       uint64 // the highest index of an answer
	// intents are the replies to its grant intents, by chunk.
	intents map[uint64]uint64
}

// operation is what a client wants; its call is one attempt at it.
type operation struct {
	command []byte // nil: a read
	stale   bool   // a stale read, at any node
	handle  uint64 // of a grant intent
	// after is the highest index acknowledged to anyone before the operation began.
	after uint64
}

// call is one request at a node.
type call struct {
	client     *client
	generation uint32
	command    []byte
	// floor is what a read must see: the highest index applied anywhere when it
	// was asked, or for a stale read the highest that its client has seen.
	stale bool
	floor uint64
	answer
}

// answer is what a node says to a call.
type answer struct {
	outcome consensus.Outcome
	hint    int // the leader's number, 0 if unknown
	index   uint64
	value   []byte
}

func newClient(w *world, index int) *client {
	c := &client{w: w, index: index, rng: newStream(w.seed, 'c', uint64(index)), names: 1, intents: map[uint64]uint64{}}
	c.target = c.rng.intn(w.swarm.Nodes)
	c.wait(w.swarm.Think.draw(&c.rng))
	return c
}

// wait lets the client act after a while, unless something happens before.
func (c *client) wait(d int64) {
	c.generation++
	c.w.queue.push(event{at: c.w.now + d, kind: evClient, from: int32(c.index), life: c.generation})
}

// act starts an operation, or tries again when the answer has not come.
func (c *client) act() {
	switch {
	case c.current == nil:
		c.begin()
	case c.tries > 30:
		// The outcome is unknown for good: as in the product, the session ends.
		c.current = nil
		c.names++
		c.seq = 0
		c.begin()
	default:
		if !c.redirected {
			c.target = c.rng.intn(len(c.w.nodes))
		}
		c.redirected = false
		c.send()
	}
}

func (c *client) begin() {
	c.tries = 0
	c.current = &operation{after: c.w.judge.acked}
	if s := &c.w.swarm; !c.rng.chance(s.ReadShare) {
		c.seq++
		c.current.command = c.compose()
	} else if s.Limits.ReadMode == consensus.ReadStale || c.rng.chance(s.StaleShare) {
		c.current.stale = true
		c.target = c.rng.intn(len(c.w.nodes))
	}
	c.send()
}

// patience is how long a client waits for an answer.
func (c *client) patience() int64 {
	return int64(2*c.w.swarm.Limits.ElectionTicks+c.rng.intn(20)) * tick
}

func (c *client) send() {
	c.tries++
	c.wait(c.patience())
	k := &call{client: c, generation: c.generation, command: c.current.command, stale: c.current.stale}
	if c.rng.chance(c.w.swarm.Drop) {
		return
	}
	c.w.queue.push(event{at: c.w.now + 50 + c.w.swarm.Delay.draw(&c.rng), kind: evRequest, node: int32(c.target), call: k})
}

// request arrives at a node.
func (w *world) request(n *node, k *call) {
	switch {
	case !n.up:
		return
	case k.stale:
		k.floor = k.client.seen
		n.readers.stale = append(n.readers.stale, k)
		n.answerStale()
	case !n.leads():
		n.refuse([]*call{k})
	case k.command == nil:
		k.floor = w.judge.appliedMax()
		n.readers.waiting = append(n.readers.waiting, k)
	default:
		n.pipe.queue = append(n.pipe.queue, k)
	}
	n.poke()
}

// answer is what a node says; the client hears of it later, or never.
func (w *world) answer(n *node, k *call, a answer) {
	if a.outcome == consensus.OK && k.command != nil {
		w.judge.acknowledged(n, a.index)
	}
	c := k.client
	if c.rng.chance(w.swarm.Drop) {
		return
	}
	k.answer = a
	w.queue.push(event{at: w.now + 50 + w.swarm.Delay.draw(&c.rng), kind: evReply, call: k})
}

// reply arrives at a client.
func (c *client) reply(k *call) {
	if k.generation != c.generation {
		return
	}
	switch k.outcome {
	case consensus.OK:
		c.finish(k)
	case consensus.Fail:
		c.target = c.rng.intn(len(c.w.nodes))
		if k.hint > 0 && k.hint <= len(c.w.nodes) {
			c.target = k.hint - 1
		}
		c.redirected = true
		c.wait(tick / 2)
	default:
		c.target = c.rng.intn(len(c.w.nodes))
		c.send()
	}
}

func (c *client) finish(k *call) {
	w := c.w
	c.seen = max(c.seen, k.index)
	if k.command == nil {
		w.report.Reads++
	} else {
		w.report.Acknowledged++
		r := new(metapb.Reply)
		if err := proto.Unmarshal(k.value, r); err != nil {
			w.fail("reply", "client %d: %v", c.index, err)
		}
		w.judge.replied(c, k, r)
		if c.current.handle != 0 && meta.Code(r.Code) == meta.OK {
			c.intents[c.current.handle] = r.Index
		}
	}
	c.current = nil
	c.wait(w.swarm.Think.draw(&c.rng))
}

// compose makes a command. It looks at the agreed state, so that many of the
// commands succeed.
func (c *client) compose() []byte {
	r := &c.rng
	cmd := &metapb.Command{Client: fmt.Sprintf("c%d.%d", c.index, c.names), Seq: c.seq, StampNs: c.w.now * 1000}
	if r.chance(c.w.swarm.TreeShare) {
		c.composeTree(cmd)
		return encode(cmd)
	}
	switch p := r.intn(100); {
	case p < 25:
		cmd.Op = &metapb.Command_Create{Create: &metapb.PathOp{Path: c.file()}}
	case p < 35:
		cmd.Op = &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: c.directory()}}
	case p < 45:
		cmd.Op = &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: c.file()}}
	case p < 58:
		op := &metapb.RenameOp{From: c.file(), To: c.file()}
		if r.intn(5) == 0 {
			op = &metapb.RenameOp{From: c.directory(), To: c.directory()}
		}
		cmd.Op = &metapb.Command_Rename{Rename: op}
	case p < 75:
		op := &metapb.AllocateOp{Path: c.file()}
		if info, code := c.w.judge.state.Stat(op.Path); code == meta.OK {
			op.ChunkIndex = uint32(len(info.Chunks))
		}
		cmd.Op = &metapb.Command_Allocate{Allocate: op}
	default:
		c.composeLease(cmd, p)
	}
	return encode(cmd)
}

func encode(cmd *metapb.Command) []byte {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(cmd)
	if err != nil {
		panic(fmt.Sprintf("sim: encoding a command: %v", err)) // no field of it can fail
	}
	return raw
}

// composeLease makes a command about the lease of some chunk.
func (c *client) composeLease(cmd *metapb.Command, p int) {
	r := &c.rng
	handle := uint64(1 + r.intn(8))
	chunk, _ := c.w.judge.state.Chunk(handle)
	switch {
	case chunk.Epoch != 0 && p < 90:
		cmd.Op = &metapb.Command_LeaseEnd{LeaseEnd: &metapb.LeaseEndOp{Handle: handle, Epoch: chunk.Epoch}}
	case c.intents[handle] != 0 && p < 88:
		cmd.Op = &metapb.Command_GrantActive{GrantActive: &metapb.GrantActiveOp{
			Handle: handle, IntentIndex: c.intents[handle], Primary: "cs1", Acked: []string{"cs1", "cs2"}[:1+r.intn(2)]}}
	default:
		cmd.Op = &metapb.Command_GrantIntent{GrantIntent: &metapb.GrantIntentOp{
			Handle: handle, ExpectVersion: chunk.Version, Replicas: []string{"cs1", "cs2", "cs3"}[:2+r.intn(2)]}}
		c.current.handle = handle
	}
}

func (c *client) directory() string { return fmt.Sprintf("/d%d", c.rng.intn(3)) }

func (c *client) file() string {
	if c.rng.intn(3) == 0 {
		return fmt.Sprintf("/f%d", c.rng.intn(6))
	}
	return fmt.Sprintf("%s/f%d", c.directory(), c.rng.intn(4))
}
