package cluster

import (
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"gfslab/consensus"
	"gfslab/harness/nemesis"
	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

// recorder keeps what one node applied, over all its incarnations, and the
// protocol events it saw. Its methods are called from the node's goroutines.
type recorder struct {
	node string
	now  func() int64

	mu      sync.Mutex
	run     int
	term    uint64 // of the entry that is about to be applied
	entries []appliedEntry
	events  []nemesis.Seen
}

// appliedEntry is one entry with its commands, copied.
type appliedEntry struct {
	run               int
	index, term       uint64
	commands, replies [][]byte
	hash              string
	at                int64
}

// incarnation returns the observers of the node's next incarnation. Those of
// the one before fall silent: a crashed node is still running in the
// background, and what it does no longer counts.
func (r *recorder) incarnation() (observe func(consensus.Event), applied func(index uint64, commands, replies [][]byte, hash string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run++
	run := r.run
	observe = func(e consensus.Event) {
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
	applied = func(index uint64, commands, replies [][]byte, hash string) {
		e := appliedEntry{run: run - 1, index: index, hash: hash, at: r.now(), commands: copyAll(commands), replies: copyAll(replies)}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.run != run {
			return
		}
		e.term = r.term
		r.entries = append(r.entries, e)
	}
	return observe, applied
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
		for i, c := range e.commands {
			var m metapb.Command
			if err := proto.Unmarshal(c, &m); err != nil {
				return nil, fmt.Errorf("applied log of %s: index %d offset %d: %w", r.node, e.index, i, err)
			}
			line := rundir.Applied{
				Run: number[e.run], Index: e.index, Offset: uint32(i), Term: e.term,
				Client: m.GetClient(), Seq: m.GetSeq(), Command: c, Hash: e.hash, At: e.at,
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

// last is the index of the last command that the present incarnation applied.
func (r *recorder) last() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.entries); n > 0 && r.entries[n-1].run == r.run-1 {
		return r.entries[n-1].index
	}
	return 0
}

// applied is the number of commands that the present incarnation applied.
func (r *recorder) applied() (n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if e.run == r.run-1 {
			n += uint64(len(e.commands))
		}
	}
	return n
}
