package hashiraft

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

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
	// snapshots is where captured states go; due is called when one is due.
	snapshots *snapshots
	every     uint64
	due       func()
	passed    uint64 // the newest entry seen; the library's goroutine's own
	// lost is called when a snapshot could not be restored.
	lost func(error)
	// replayTo is the newest entry that the log held at Open.
	replayTo uint64
	// completed is called after each entry: there may be room in the window.
	completed func()

	decoded              batch.Decoded
	entries, commands    atomic.Uint64
	replayed, replayTime atomic.Int64
	loadTime             atomic.Int64 // of the last restoration
}

var _ raft.ConfigurationStore = (*fsm)(nil)

// Apply implements raft.FSM. No-ops, barriers and configurations do not come
// here.
func (f *fsm) Apply(l *raft.Log) any {
	if l.Index <= f.replayTo {
		begun := time.Now()
		defer func() { f.replayTime.Add(int64(time.Since(begun))); f.replayed.Add(1) }()
	}
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
	f.pass(l.Index)
	return nil
}

// pass notes an entry that the state machine is done with. Snapshots are due once
// each SnapshotEvery, in this node's turn, as in package engine.
func (f *fsm) pass(index uint64) {
	if f.every > 0 {
		ahead := f.every - consensus.SnapshotTurn(f.self, f.every)
		if (index+ahead)/f.every > (f.passed+ahead)/f.every {
			f.due()
		}
	}
	f.passed = index
}

// StoreConfiguration implements raft.ConfigurationStore.
func (f *fsm) StoreConfiguration(index uint64, configuration raft.Configuration) {
	m := f.roster.applied(index, configuration)
	f.applied.reach(index)
	f.observe(consensus.Event{Kind: consensus.EventMembers, Node: f.self, Index: index, Members: &m})
	f.completed()
	f.pass(index)
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	s, err := f.machine.Snapshot()
	if err != nil {
		return nil, err
	}
	return fsmSnapshot{s, image{applied: f.applied.load(), members: f.roster.current()}, f.snapshots}, nil
}

// Restore implements raft.FSM. A state machine that could not be restored is
// good for nothing any more: lost is told, and waits for the end.
func (f *fsm) Restore(r io.ReadCloser) error {
	begun := time.Now()
	in := newBody(r)
	m, err := readImage(in)
	if err == nil {
		err = f.machine.Restore(stateReader{in})
	}
	if err != nil {
		err = fmt.Errorf("hashiraft: restoring a snapshot: %w", err)
		f.lost(err)
		return err
	}
	f.roster.restored(m.members)
	f.applied.reach(m.applied)
	f.passed = max(f.passed, m.index)
	f.loadTime.Store(int64(time.Since(begun)))
	f.observe(consensus.Event{Kind: consensus.EventRestored, Node: f.self, Term: m.term, Index: m.index})
	f.observe(consensus.Event{Kind: consensus.EventMembers, Node: f.self, Index: m.members.Index, Members: &m.members})
	f.completed()
	return nil
}

// fsmSnapshot is a captured state on its way to the disk.
type fsmSnapshot struct {
	consensus.Snapshot
	image image
	of    *snapshots
}

// Persist implements raft.FSMSnapshot.
func (s fsmSnapshot) Persist(to raft.SnapshotSink) error {
	err := s.persist(to)
	if errors.Is(err, consensus.ErrClosed) {
		err = errYields // the library passes on the text only
	}
	if err != nil {
		_ = to.Cancel()
		return err
	}
	return to.Close()
}

func (s fsmSnapshot) persist(to raft.SnapshotSink) error {
	k, ok := to.(*sink)
	if !ok {
		return fmt.Errorf("hashiraft: a snapshot for a foreign store, %T", to)
	}
	if err := s.of.claim(k); err != nil {
		return err
	}
	s.image.index, s.image.term = k.meta.Index, k.meta.Stamp
	sum := &summing{w: k}
	w := bufio.NewWriterSize(sum, readAhead) // state machines write in small pieces
	if _, err := w.Write(s.image.append(nil)); err != nil {
		return err
	}
	if _, err := s.WriteTo(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := k.Write(binary.LittleEndian.AppendUint32(nil, sum.crc))
	return err
}
