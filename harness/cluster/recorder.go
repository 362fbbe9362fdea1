package cluster

import (
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"gfslab/consensus"
	"gfslab/harness/nemesis"
	"gfslab/kv/store"
	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// recorder keeps what one node applied, over all its incarnations, and the
// protocol events it saw. Its methods are called from the node's goroutines.
type recorder struct {
	node string
	now  func() int64
	// session tells whose command it is.
	session func(command []byte) (client string, seq uint64, err error)

	mu      sync.Mutex
	run     int
	term    uint64 // of the entry that is about to be applied
	entries []appliedEntry
	events  []nemesis.Seen
}

// appliedEntry is one entry with its commands, copied, or, if restored is set, a
// snapshot that was taken over.
type appliedEntry struct {
	restored          bool
	run               int
	index, term       uint64
	commands, replies [][]byte
	hash              string
	at                int64
}

// observers are what an incarnation of a node tells of itself.
type observers struct {
	event    func(consensus.Event)
	applied  func(index uint64, commands, replies [][]byte, hash string)
	restored func(index uint64, hash string)
}

// incarnation returns the observers of the node's next incarnation. Those of
// the one before fall silent: a crashed node is still running in the
// background, and what it does no longer counts.
func (r *recorder) incarnation() observers {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run++
	run := r.run
	event := func(e consensus.Event) {
		at := r.now()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.run != run {
			return
		}
		if e.Kind == consensus.EventApplying {
			r.term = e.Term
			return
		}
		r.events = append(r.events, nemesis.Seen{At: at, Node: r.node, Event: e})
	}
	keep := func(e appliedEntry) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.run != run {
			return
		}
		e.term = r.term
		r.entries = append(r.entries, e)
	}
	return observers{
		event: event,
		applied: func(index uint64, commands, replies [][]byte, hash string) {
			keep(appliedEntry{run: run - 1, index: index, hash: hash, at: r.now(), commands: copyAll(commands), replies: copyAll(replies)})
		},
		restored: func(index uint64, hash string) {
			if index == 0 {
				return // the state before the first command: nothing to be held to
			}
			keep(appliedEntry{run: run - 1, index: index, hash: hash, at: r.now(), restored: true})
		},
	}
}

// silence makes the present incarnation's observers fall silent.
func (r *recorder) silence() {
	r.mu.Lock()
	r.run++
	r.mu.Unlock()
}

func copyAll(in [][]byte) [][]byte {
	out := make([][]byte, len(in))
	for i, b := range in {
		out[i] = slices.Clone(b)
	}
	return out
}

// lines returns the applied log, one command a line.
func (r *recorder) lines() ([]rundir.Applied, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Incarnation numbers count silences too; the lines count incarnations.
	number := map[int]int{}
	var out []rundir.Applied
	for _, e := range r.entries {
		if _, ok := number[e.run]; !ok {
			number[e.run] = len(number)
		}
		if e.restored {
			out = append(out, rundir.Applied{Run: number[e.run], Index: e.index, Hash: e.hash, At: e.at, Restored: true})
		}
		for i, c := range e.commands {
			client, seq, err := r.session(c)
			if err != nil {
				return nil, fmt.Errorf("applied log of %s: index %d offset %d: %w", r.node, e.index, i, err)
			}
			line := rundir.Applied{
				Run: number[e.run], Index: e.index, Offset: uint32(i), Term: e.term,
				Client: client, Seq: seq, Command: c, Hash: e.hash, At: e.at,
			}
			if i < len(e.replies) {
				line.Reply = e.replies[i]
			}
			out = append(out, line)
		}
	}
	return out, nil
}

func (r *recorder) seen() []nemesis.Seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// last is the index of the last command that the present incarnation applied, or
// took over in a snapshot.
func (r *recorder) last() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.entries); n > 0 && r.entries[n-1].run == r.run-1 {
		return r.entries[n-1].index
	}
	return 0
}

// finish makes the present incarnation's observers fall silent and returns how many
// commands it applied until then.
func (r *recorder) finish() (n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if e.run == r.run-1 {
			n += uint64(len(e.commands))
		}
	}
	r.run++
	return n
}

// sessionOf reads the session of a plan's commands.
func sessionOf(p rundir.Plan) func([]byte) (string, uint64, error) {
	if workloads.IsKV(p.Workload) {
		return func(raw []byte) (string, uint64, error) {
			c, err := store.ParseCommand(raw)
			return c.Client, c.Seq, err
		}
	}
	return func(raw []byte) (string, uint64, error) {
		var m metapb.Command
		err := proto.Unmarshal(raw, &m)
		return m.GetClient(), m.GetSeq(), err
	}
}
