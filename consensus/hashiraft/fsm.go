package hashiraft

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
	"gfslab/consensus/batch"
)

// fsm hands committed entries to the state machine and completes the callers
// that wait for them. The library calls it from one goroutine.
type fsm struct {
	self     consensus.NodeID
	machine  consensus.StateMachine
	proposer *batch.Proposer
	observe  func(consensus.Event)
	applied  progress
	// completed is called after each entry: there may be room in the window.
	completed func()

	decoded           batch.Decoded
	entries, commands atomic.Uint64
}

var _ raft.FSM = (*fsm)(nil)

// Apply implements raft.FSM. No-ops, barriers and configurations do not come
// here.
func (f *fsm) Apply(l *raft.Log) any {
	f.observe(consensus.Event{Kind: consensus.EventApplying, Node: f.self, Term: l.Term, Index: l.Index})
	if err := batch.Decode(l.Data, &f.decoded); err != nil {
		panic(fmt.Sprintf("hashiraft: node %d cannot go on: committed entry %d of term %d: %v", f.self, l.Index, l.Term, err))
	}
	results := f.machine.Apply(l.Index, f.decoded.Commands)
	if len(results) != len(f.decoded.Commands) {
		panic(fmt.Sprintf("hashiraft: the state machine returned %d results for %d commands", len(results), len(f.decoded.Commands)))
	}
	f.entries.Add(1)
	f.commands.Add(uint64(len(results)))
	f.applied.reach(l.Index) // before the callers wake: what they ask next need not wait for it
	f.proposer.Complete(l.Index, &f.decoded, results)
	f.completed()
	return nil
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	s, err := f.machine.Snapshot()
	if err != nil {
		return nil, err
	}
	return fsmSnapshot{s, f.applied.load()}, nil
}

// Restore implements raft.FSM.
func (f *fsm) Restore(r io.ReadCloser) error {
	var index [8]byte
	if _, err := io.ReadFull(r, index[:]); err != nil {
		return fmt.Errorf("hashiraft: snapshot: %w", err)
	}
	if err := f.machine.Restore(r); err != nil {
		return err
	}
	f.applied.reach(binary.BigEndian.Uint64(index[:]))
	return nil
}

// fsmSnapshot is the applied index (8 bytes) and the state machine's own bytes.
type fsmSnapshot struct {
	consensus.Snapshot
	applied uint64
}

// Persist implements raft.FSMSnapshot.
func (s fsmSnapshot) Persist(sink raft.SnapshotSink) error {
	_, err := sink.Write(binary.BigEndian.AppendUint64(nil, s.applied))
	if err == nil {
		_, err = s.WriteTo(sink)
	}
	if err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

// progress is an index that rises, and those who wait for it.
type progress struct {
	index atomic.Uint64

	mu      sync.Mutex
	waiting []target
}

type target struct {
	index   uint64
	reached chan struct{}
}

func (p *progress) load() uint64 { return p.index.Load() }

func (p *progress) reach(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if index <= p.index.Load() {
		return
	}
	p.index.Store(index)
	rest := p.waiting[:0]
	for _, t := range p.waiting {
		if t.index <= index {
			close(t.reached)
			continue
		}
		rest = append(rest, t)
	}
	clear(p.waiting[len(rest):])
	p.waiting = rest
}

// await returns a channel that closes once index is reached, nil if it is. A
// caller that gives up must say so to forget.
func (p *progress) await(index uint64) chan struct{} {
	if p.index.Load() >= index {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.index.Load() >= index {
		return nil
	}
	t := target{index, make(chan struct{})}
	p.waiting = append(p.waiting, t)
	return t.reached
}

func (p *progress) forget(reached chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, t := range p.waiting {
		if t.reached == reached {
			last := len(p.waiting) - 1
			p.waiting[i], p.waiting[last] = p.waiting[last], target{}
			p.waiting = p.waiting[:last]
			return
		}
	}
}
