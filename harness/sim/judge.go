package sim

import (
	"bytes"
	"fmt"

	"gfslab/consensus"
	"gfslab/consensus/batch"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

// Violation is a broken promise.
type Violation struct {
	// Judge is which promise.
	Judge  string
	Detail string
	Tick   int
}

func (v *Violation) Error() string { return fmt.Sprintf("tick %d: %s: %s", v.Tick, v.Judge, v.Detail) }

// fail stops the run; Run turns it into the report's violation.
func (w *world) fail(judge, format string, args ...any) {
	panic(&Violation{Judge: judge, Detail: fmt.Sprintf(format, args...), Tick: w.ticks})
}

// judge knows the agreed log - what the first node to apply an index applied -
// and a state that executed it, and holds everybody to it.
type judge struct {
	w      *world
	agreed []agreed // by index - 1
	state  *meta.State
	// proposals are the hashes of the batches that were cut, first the position of
	// a command's first execution.
	proposals map[uint64]bool
	// members are the configurations that came into effect anywhere, by index;
	// unsure are entries whose quorum is one of a configuration yet to be heard of.
	members []consensus.Members
	unsure  []holding
	first   map[string]position
	leaders map[uint64]int
	hash    string // of state
	acked   uint64 // the highest index that a caller was told
	decoded batch.Decoded
}

type agreed struct {
	stamp   uint64
	data    []byte
	replies [][]byte
	hash    string
}

type position struct {
	index  uint64
	offset uint32
}

func newJudge(w *world) *judge {
	state := meta.New()
	return &judge{w: w, state: state, hash: state.Hash(), proposals: map[uint64]bool{}, first: map[string]position{}, leaders: map[uint64]int{}}
}

func (j *judge) appliedMax() uint64 { return uint64(len(j.agreed)) }

// proposed: an entry was cut.
func (j *judge) proposed(data []byte) { j.proposals[mixBytes(0, data)] = true }

// started: a new life begins on what the disk holds.
func (j *judge) started(n *node, at storage.SnapshotMeta) {
	j.w.note('s', uint64(n.index), n.shadow.first, uint64(len(n.shadow.entries)), at.Index)
	n.applier.applied, n.applier.stamp = at.Index, at.Stamp
	if at.Index != 0 {
		j.restored(n, at)
	}
}

// restored: the state is what everybody has at the snapshot's index.
func (j *judge) restored(n *node, at storage.SnapshotMeta) {
	j.w.note('r', uint64(n.index), at.Index)
	j.w.say("node %d restores the snapshot through %d", n.number(), at.Index)
	if at.Index > j.appliedMax() {
		j.w.fail("install", "node %d has a snapshot through %d; nobody has applied more than %d", n.number(), at.Index, j.appliedMax())
	}
	if hash, want := n.machine.Hash(), j.agreed[at.Index-1].hash; hash != want {
		j.w.fail("state-machine", "node %d restores state %s at %d; others had %s", n.number(), hash, at.Index, want)
	}
}

func (j *judge) crashed(n *node) { j.w.note('x', uint64(n.index)) }

// event: at most one node leads a term.
func (j *judge) event(n *node, e *consensus.Event) {
	j.w.note('e', uint64(e.Kind), uint64(n.index), e.Term, e.Index)
	j.w.say("node %d: event %d of term %d at index %d", n.number(), e.Kind, e.Term, e.Index)
	switch e.Kind {
	case consensus.EventCampaign:
		j.w.report.Elections++
	case consensus.EventMembers:
		j.configured(n, *e.Members)
	case consensus.EventLeader:
		j.w.report.Leaders++
		if other, ok := j.leaders[e.Term]; ok && other != n.index {
			j.w.fail("one-leader", "nodes %d and %d both lead term %d", other+1, n.number(), e.Term)
		}
		j.leaders[e.Term] = n.index
	}
}

// applied: every node applies the same entries without a gap, answers the same,
// and comes to the same state.
func (j *judge) applied(n *node, e *storage.Entry, replies [][]byte) {
	w := j.w
	if e.Index != n.applier.applied+1 {
		w.fail("applied-prefix", "node %d applies entry %d after %d", n.number(), e.Index, n.applier.applied)
	}
	if e.Index == j.appliedMax()+1 {
		j.agree(n, e)
	}
	a := &j.agreed[e.Index-1]
	if !bytes.Equal(a.data, e.Data) {
		w.fail("agreement", "node %d applies %s at %d; %s was applied there", n.number(), show(e.Data), e.Index, show(a.data))
	}
	if w.backend == EtcdRaft && a.stamp != e.Stamp {
		w.fail("agreement", "node %d applies entry %d of term %d; it was applied as one of term %d", n.number(), e.Index, e.Stamp, a.stamp)
	}
	w.note('a', uint64(n.index), e.Index, e.Stamp)
	if len(replies) == 0 {
		return
	}
	for i := range replies {
		if !bytes.Equal(replies[i], a.replies[i]) {
			w.fail("state-machine", "node %d answers %x to command %d of entry %d, others %x", n.number(), replies[i], i, e.Index, a.replies[i])
		}
	}
	if hash := n.machine.Hash(); hash != a.hash {
		w.fail("state-machine", "node %d has state %s after entry %d, others %s", n.number(), hash, e.Index, a.hash)
	}
}

// agree: an index is applied for the first time. It is on a quorum's disks, and
// some node proposed it.
func (j *judge) agree(n *node, e *storage.Entry) {
	w := j.w
	j.held(n, e)
	a := agreed{stamp: e.Stamp, data: e.Data, hash: j.hash}
	if !ownEntry(e) {
		if err := batch.Decode(e.Data, &j.decoded); err != nil {
			w.fail("validity", "entry %d: %v", e.Index, err)
		}
		if len(j.decoded.Commands) > 0 && !j.proposals[mixBytes(0, e.Data)] {
			w.fail("validity", "node %d applies %s at %d, which nobody proposed", n.number(), show(e.Data), e.Index)
		}
		for i, command := range j.decoded.Commands {
			if _, ok := j.first[string(command)]; !ok {
				j.first[string(command)] = position{e.Index, uint32(i)}
			}
		}
		if len(j.decoded.Commands) > 0 {
			a.replies = j.state.Apply(e.Index, j.decoded.Commands)
			j.hash = j.state.Hash()
			a.hash = j.hash
			w.trace = mixBytes(w.trace, []byte(a.hash))
		}
	}
	j.agreed = append(j.agreed, a)
	if w.explain != nil { // to show it takes a hash
		w.say("node %d is the first to apply entry %d of term %d: %s", n.number(), e.Index, e.Stamp, show(e.Data))
	}
}

// read: it is answered from a state that holds everything applied anywhere when
// it was asked.
func (j *judge) read(n *node, k *call) {
	at := n.applier.applied
	j.w.say("node %d answers a read at index %d", n.number(), at)
	j.w.note('q', uint64(n.index), at)
	if at < k.floor {
		j.w.fail("read-linearizable", "node %d answers a read at index %d; %d was applied before it was asked", n.number(), at, k.floor)
	}
}

// acknowledged: a caller at node n is told that index is done.
func (j *judge) acknowledged(n *node, index uint64) {
	if index > j.appliedMax() {
		j.w.fail("acknowledged", "node %d acknowledges index %d, which nobody has applied", n.number(), index)
	}
	j.acked = max(j.acked, index)
	j.w.say("node %d acknowledges entry %d", n.number(), index)
}

// replied: a client gets the reply of its operation's one execution, which came
// after everything that had been acknowledged when the operation began.
func (j *judge) replied(c *client, k *call, r *metapb.Reply) {
	at, ok := j.first[string(k.command)]
	switch {
	case !ok:
		j.w.fail("exactly-once", "client %d: its command was acknowledged at index %d and is not in the log", c.index, k.index)
	case r.Index != at.index || r.Offset != at.offset:
		j.w.fail("exactly-once", "client %d: its command first stands at %d/%d of the log; the reply says that it was executed at %d/%d (code %d)",
			c.index, at.index, at.offset, r.Index, r.Offset, r.Code)
	case at.index <= c.current.after:
		j.w.fail("real-time", "client %d: its command stands at %d, not after %d, which was acknowledged before it began", c.index, at.index, c.current.after)
	}
}

func show(data []byte) string {
	if len(data) == 0 {
		return "a no-op"
	}
	return fmt.Sprintf("batch %016x of %d bytes", mixBytes(0, data), len(data))
}

// ownEntry reports whether an entry is the protocol's own.
func ownEntry(e *storage.Entry) bool { return len(e.Data) == 0 || e.Data[0] == engine.ConfigMark }
