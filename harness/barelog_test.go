package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"gfslab/consensus"
	"gfslab/results/rundir"
)

// A row of the bare log whose leader lost its lead is measured again, is counted,
// and ends the bench only when it happens time and again; any other error does.
func TestBareLogRowsAreMeasuredAgain(t *testing.T) {
	lost := fmt.Errorf("bare log: propose: %w", &consensus.NotLeaderError{})
	other := errors.New("no room on the disk")
	for _, c := range []struct {
		name  string
		ends  []error // of the attempts
		want  error
		tries int
	}{
		{"at once", []error{nil}, nil, 1},
		{"the third time", []error{lost, fmt.Errorf("x: %w", consensus.ErrUnknown), nil}, nil, 3},
		{"never", []error{lost, lost, lost, lost, nil}, lost, bareLogTries},
		{"another error", []error{lost, other, nil}, other, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			tries := 0
			row, err := bareLogAgain(t.Context(), BareLogOptions{}, io.Discard, func(context.Context, BareLogOptions) (rundir.BareLog, uint64, error) {
				tries++
				return rundir.BareLog{Ops: 7}, 0, c.ends[tries-1]
			})
			if !errors.Is(err, c.want) || tries != c.tries {
				t.Errorf("%v after %d attempts, want %v after %d", err, tries, c.want, c.tries)
			}
			if err == nil && (row.Void != tries-1 || row.Ops != 7) {
				t.Errorf("%+v after %d attempts", row, tries)
			}
		})
	}
}
