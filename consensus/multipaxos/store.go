package multipaxos

import (
	"encoding/binary"
	"fmt"

	"gfslab/consensus/storage"
	"gfslab/paxos"
)

// store is paxos.Storage over the shared log: a slot is an index, a ballot is
// packed into the stamp.
type store struct{ log *storage.Log }

// Entries implements paxos.Storage.
func (s store) Entries(lo, hi uint64, maxBytes int) ([]paxos.Entry, error) {
	// The core asks for at least one entry however small maxBytes is; to the log
	// 0 means no limit.
	got, err := s.log.Entries(lo, hi, max(maxBytes, 1), nil)
	if err != nil || len(got) == 0 {
		return nil, err
	}
	out := make([]paxos.Entry, len(got))
	for i, e := range got {
		out[i] = paxos.Entry{Slot: e.Index, Ballot: paxos.Unpack(e.Stamp), Value: e.Data}
	}
	return out, nil
}

// Bounds implements paxos.Storage.
func (s store) Bounds() (first, last uint64) { return s.log.Bounds() }

// Compacted implements paxos.Storage.
func (s store) Compacted() uint64 { return s.log.Compacted() }

const hardStateBytes = 16

func encodeHardState(h *paxos.HardState) []byte {
	b := make([]byte, 0, hardStateBytes)
	b = binary.LittleEndian.AppendUint64(b, h.Promised.Pack())
	return binary.LittleEndian.AppendUint64(b, h.Chosen)
}

func decodeHardState(b []byte) (paxos.HardState, error) {
	switch len(b) {
	case 0:
		return paxos.HardState{}, nil
	case hardStateBytes:
		return paxos.HardState{
			Promised: paxos.Unpack(binary.LittleEndian.Uint64(b)),
			Chosen:   binary.LittleEndian.Uint64(b[8:]),
		}, nil
	}
	return paxos.HardState{}, fmt.Errorf("multipaxos: the hard state has %d bytes, want %d", len(b), hardStateBytes)
}
