package consensustest

import (
	"bytes"
	"io"
	"slices"

	"gfslab/consensus"
)

// CheckSnapshots holds a state machine to the contract of Snapshot and Restore:
// the image is of the moment when Snapshot returned, whatever is applied
// before it is written; a machine restored from it answers all later commands
// as the first one does; what it held before is gone; and a torn image is
// refused. fresh returns empty machines. The commands must fill several entries;
// it pays if they depend on each other.
func CheckSnapshots(t T, fresh func() consensus.StateMachine, commands [][]byte) {
	t.Helper()
	third := len(commands) / 3
	if third == 0 {
		fatalf(t, "CheckSnapshots needs at least 3 commands, got %d", len(commands))
	}
	first := fresh()
	applyEach(first, 1, commands[:third])
	snap, err := first.Snapshot()
	if err != nil {
		fatalf(t, "snapshot: %v", err)
	}
	want := applyEach(first, third+1, commands[third:2*third])
	var image bytes.Buffer
	n, err := snap.WriteTo(&image)
	snap.Release()
	if err != nil || n != int64(image.Len()) {
		fatalf(t, "writing the snapshot: %d bytes reported, %d written, %v", n, image.Len(), err)
	}
	want = append(want, applyEach(first, 2*third+1, commands[2*third:])...)

	second := fresh()
	applyEach(second, 1, commands[2*third:]) // what Restore must replace
	if err := second.Restore(bytes.NewReader(image.Bytes())); err != nil {
		fatalf(t, "restore: %v", err)
	}
	got := applyEach(second, third+1, commands[third:])
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("command %d: the restored machine answers %x, the original %x", third+i, got[i], want[i])
			break
		}
	}
	if err := fresh().Restore(io.LimitReader(bytes.NewReader(image.Bytes()), n/2)); err == nil {
		t.Errorf("half an image was restored without an error")
	}
}

// applyEach applies commands, each in an entry of its own, from index on, and
// returns copies of the results.
func applyEach(sm consensus.StateMachine, index int, commands [][]byte) [][]byte {
	var results [][]byte
	for i, c := range commands {
		for _, r := range sm.Apply(uint64(index+i), [][]byte{slices.Clone(c)}) {
			results = append(results, slices.Clone(r))
		}
	}
	return results
}
