package consensus_test

import (
	"testing"

	"gfslab/consensus"
)

// An entry that fits no frame would stop the log for ever.
func TestLimitsKeepEntriesBelowAFrame(t *testing.T) {
	change := map[string]func(l *consensus.Limits, n int){
		"batch":   func(l *consensus.Limits, n int) { l.BatchBytes = n },
		"command": func(l *consensus.Limits, n int) { l.MaxCommandBytes = n },
	}
	for name, set := range change {
		for n, ok := range map[int]bool{0: false, 1: true, consensus.MaxEntryBytes: true, consensus.MaxEntryBytes + 1: false} {
			l := consensus.Matched2()
			set(&l, n)
			if err := l.Validate(); (err == nil) != ok {
				t.Errorf("%s of %d bytes: %v", name, n, err)
			}
		}
	}
}
