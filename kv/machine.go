package kv

import (
	"io"
	"sync"

	"gfslab/consensus"
	"gfslab/kv/store"
)

// ApplyFunc observes an entry that was applied: its commands, their replies
// (store's, encoded) and the state's hash after it. The slices are valid only
// during the call. It runs inside Apply and must not block.
type ApplyFunc func(index uint64, commands, replies [][]byte, hash string)

// Machine puts the store under a lock and makes it a consensus.StateMachine: the
// replica applies, the server looks up.
type Machine struct {
	mu      sync.RWMutex // never held while anything blocks
	store   *store.Store
	onApply ApplyFunc
	// onRestore observes the state's hash and index after a restore.
	onRestore func(index uint64, hash string)
}

var _ consensus.StateMachine = (*Machine)(nil)

// NewMachine returns an empty state machine. The observers may be nil.
func NewMachine(onApply ApplyFunc, onRestore func(index uint64, hash string)) *Machine {
	return &Machine{store: store.New(), onApply: onApply, onRestore: onRestore}
}

// Apply implements consensus.StateMachine.
func (m *Machine) Apply(index uint64, commands [][]byte) [][]byte {
	m.mu.Lock()
	replies := m.store.Apply(index, commands)
	var hash string
	if m.onApply != nil {
		hash = m.store.Hash()
	}
	m.mu.Unlock()
	if m.onApply != nil {
		m.onApply(index, commands, replies, hash)
	}
	return replies
}

// Snapshot implements consensus.StateMachine.
func (m *Machine) Snapshot() (consensus.Snapshot, error) {
	m.mu.Lock() // copying the trees counts as a change
	defer m.mu.Unlock()
	return m.store.Snapshot(), nil
}

// Restore implements consensus.StateMachine.
func (m *Machine) Restore(r io.Reader) error {
	fresh := store.New()
	if err := fresh.Restore(r); err != nil { // reads, so not under the lock
		return err
	}
	m.mu.Lock()
	m.store = fresh
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
	return m.store.Hash()
}

// Sizes returns the numbers of keys and sessions.
func (m *Machine) Sizes() (keys, sessions int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.store.Sizes()
}

// get looks a key up, and says which position the lookup saw.
func (m *Machine) get(key string) (value []byte, revision uint64, code store.Code, index uint64, commands uint32) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	value, revision, code = m.store.Get(key)
	index, commands = m.store.Applied()
	return value, revision, code, index, commands
}
