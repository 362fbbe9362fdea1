package master

import (
	"io"
	"sync"

	"gfslab/consensus"
	"gfslab/master/meta"
)

// ApplyFunc observes an entry that was applied: its commands, their replies
// (metapb messages, encoded) and the state's hash after it. The slices are valid
// only during the call. It runs inside Apply and must not block.
type ApplyFunc func(index uint64, commands, replies [][]byte, hash string)

// Machine puts the metadata state under a lock and makes it a
// consensus.StateMachine: the replica applies, the master looks up.
type Machine struct {
	mu      sync.RWMutex // never held while anything blocks
	state   *meta.State
	onApply ApplyFunc
	// onRestore observes the state's index and hash after a restore.
	onRestore func(index uint64, hash string)
}

var _ consensus.StateMachine = (*Machine)(nil)

// NewMachine returns an empty state machine. The observers may be nil.
func NewMachine(onApply ApplyFunc, onRestore func(index uint64, hash string)) *Machine {
	return &Machine{state: meta.New(), onApply: onApply, onRestore: onRestore}
}

// Apply implements consensus.StateMachine.
func (m *Machine) Apply(index uint64, commands [][]byte) [][]byte {
	m.mu.Lock()
	replies := m.state.Apply(index, commands)
	var hash string
	if m.onApply != nil {
		hash = m.state.Hash()
	}
	m.mu.Unlock()
	if m.onApply != nil {
		m.onApply(index, commands, replies, hash)
	}
	return replies
}

// Snapshot implements consensus.StateMachine.
func (m *Machine) Snapshot() (consensus.Snapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.Snapshot(), nil
}

// Restore implements consensus.StateMachine.
func (m *Machine) Restore(r io.Reader) error {
	fresh := meta.New()
	if err := fresh.Restore(r); err != nil { // reads, so not under the lock
		return err
	}
	m.mu.Lock()
	m.state = fresh
	m.mu.Unlock()
	if m.onRestore != nil {
		index, _ := fresh.Applied()
		m.onRestore(index, fresh.Hash())
	}
	return nil
}

// Hash returns the hash of the state.
func (m *Machine) Hash() string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.Hash()
}

// view calls look with the state. look must not block or keep the state.
func (m *Machine) view(look func(*meta.State)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	look(m.state)
}

// freeze returns what the state is now, for lookups that take long.
func (m *Machine) freeze() *meta.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Freeze()
}

// chunk looks a chunk up.
func (m *Machine) chunk(handle uint64) (c meta.Chunk, code meta.Code, at seen) {
	m.view(func(s *meta.State) {
		c, code = s.Chunk(handle)
		at = seenBy(s)
	})
	return c, code, at
}

// chunkAt looks a chunk up by its file, or one hidden under the path with the given
// id if that is not 0, and its index there.
func (m *Machine) chunkAt(path string, deletedID uint64, index uint32) (c meta.Chunk, code meta.Code, at seen) {
	m.view(func(s *meta.State) {
		c, code = s.ChunkOf(path, deletedID, index)
		at = seenBy(s)
	})
	return c, code, at
}

// seen is the position that a lookup saw.
type seen struct {
	index    uint64
	commands uint32
}

func seenBy(s *meta.State) seen {
	index, commands := s.Applied()
	return seen{index, commands}
}
