package consensustest

import (
	"context"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"gfslab/consensus"
)

// appliedCommand is what a machine keeps of one command. ID 0 marks the empty
// command, which some scenarios propose.
type appliedCommand struct {
	ID  uint64
	Key uint8
	At  Position
	Sum uint32
}

// machine is the recording state machine: registers, and a list of everything
// ever applied, in order. It reports misuse by the backend to fault.
type machine struct {
	// delay is how long one Apply takes, in nanoseconds.
	delay atomic.Int64
	// busy is set during Apply, Snapshot and Restore: the contract promises one
	// at a time.
	busy  atomic.Bool
	fault func(format string, args ...any)
	// ballast is so many bytes that every image carries for nothing.
	ballast int
	// restores counts successful calls of Restore.
	restores atomic.Int64

	mu        sync.Mutex
	frozen    bool
	last      Position
	registers map[uint8]uint64
	applied   []appliedCommand
}

func newMachine(fault func(format string, args ...any)) *machine {
	return &machine{fault: fault, registers: map[uint8]uint64{}}
}

func (m *machine) enter(what string) func() {
	if !m.busy.CompareAndSwap(false, true) {
		m.fault("%s was called beside another call into the state machine", what)
		return func() {}
	}
	return func() { m.busy.Store(false) }
}

// Apply implements consensus.StateMachine.
func (m *machine) Apply(index uint64, commands [][]byte) [][]byte {
	defer m.enter("Apply")()
	if d := time.Duration(m.delay.Load()); d > 0 {
		pause(context.Background(), d)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if index <= m.last.Index && !m.frozen {
		m.fault("Apply(index %d) after Apply(index %d): indexes must rise strictly", index, m.last.Index)
	}
	results := make([][]byte, len(commands))
	for i, b := range commands {
		results[i] = m.applyOne(Position{index, i}, b)
	}
	return results
}

// applyOne runs under mu.
func (m *machine) applyOne(at Position, b []byte) []byte {
	c := appliedCommand{At: at, Sum: crc32.Checksum(b, castagnoli)}
	if len(b) > 0 {
		var ok bool
		if c.ID, c.Key, ok = decodeCommand(b); !ok {
			if !m.frozen {
				m.fault("the command at %v has been damaged: %d bytes, %.16x...", at, len(b), b)
			}
			return nil
		}
	}
	m.last = at
	if m.frozen {
		return make([]byte, resultBytes)
	}
	m.applied = append(m.applied, c)
	if c.ID == 0 {
		return nil
	}
	old := m.registers[c.Key]
	m.registers[c.Key] = c.ID
	return binary.BigEndian.AppendUint64(nil, old)
}

// freeze ends the recording: the machine's node has crashed, and whatever the
// old instance still does is not real.
func (m *machine) freeze() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frozen = true
}

// lookup is the read that follows a ReadBarrier.
func (m *machine) lookup(key uint8) (value uint64, at Position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.registers[key], m.last
}

func (m *machine) position() Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// record returns all that was applied until now or until freeze.
func (m *machine) record() []appliedCommand {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.applied[:len(m.applied):len(m.applied)]
}

// machineImage is the written form of a snapshot.
type machineImage struct {
	Last      Position
	Registers map[uint8]uint64
	Applied   []appliedCommand
	Ballast   []byte
}

// imageTime is what it takes to write an image, at least: entries are applied
// meanwhile, and power is cut.
const imageTime = 3 * time.Millisecond

// WriteTo implements consensus.Snapshot.
func (im *machineImage) WriteTo(w io.Writer) (int64, error) {
	pause(context.Background(), imageTime)
	cw := &countingWriter{w: w}
	err := gob.NewEncoder(cw).Encode(im)
	return cw.n, err
}

// Release implements consensus.Snapshot.
func (im *machineImage) Release() {}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Snapshot implements consensus.StateMachine.
func (m *machine) Snapshot() (consensus.Snapshot, error) {
	defer m.enter("Snapshot")()
	m.mu.Lock()
	defer m.mu.Unlock()
	im := &machineImage{Ballast: make([]byte, m.ballast), Last: m.last, Registers: map[uint8]uint64{}, Applied: m.applied[:len(m.applied):len(m.applied)]}
	for k, v := range m.registers {
		im.Registers[k] = v
	}
	return im, nil
}

// Restore implements consensus.StateMachine.
func (m *machine) Restore(r io.Reader) error {
	defer m.enter("Restore")()
	var im machineImage
	if err := gob.NewDecoder(r).Decode(&im); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.frozen {
		return nil
	}
	if im.Last.less(m.last) {
		m.fault("Restore of an image at %+v over a state at %+v: time goes back", im.Last, m.last)
	}
	if len(im.Ballast) != m.ballast {
		m.fault("Restore of an image with %d bytes of ballast; Snapshot wrote %d", len(im.Ballast), m.ballast)
	}
	m.restores.Add(1)
	m.last, m.registers, m.applied = im.Last, im.Registers, im.Applied
	if m.registers == nil {
		m.registers = map[uint8]uint64{}
	}
	return nil
}

// pause waits for d or the end of ctx, and reports whether d has passed.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
