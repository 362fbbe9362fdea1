package hashiraft

import (
	"encoding/binary"
	"fmt"
	"io"
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
	roster   *roster
	observe  func(consensus.Event)
	applied  progress
	// completed is called after each entry: there may be room in the window.
	completed func()

	decoded           batch.Decoded
	entries, commands atomic.Uint64
}

var _ raft.ConfigurationStore = (*fsm)(nil)

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

// StoreConfiguration implements raft.ConfigurationStore.
func (f *fsm) StoreConfiguration(index uint64, configuration raft.Configuration) {
	m := f.roster.applied(index, configuration)
	f.applied.reach(index)
	f.observe(consensus.Event{Kind: consensus.EventMembers, Node: f.self, Index: index, Members: &m})
	f.completed()
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
