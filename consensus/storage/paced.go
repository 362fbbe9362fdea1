package storage

import (
	"time"

	"gfslab/consensus"
)

const (
	// pacedSync is after how many bytes a snapshot that is being written is synced:
	// one large sync would hold up the log's for as long as it takes.
	pacedSync = 256 << 10
	// pacedRest is after how many bytes its writer rests: well below a millisecond
	// of work, because work that lies behind it waits that long.
	pacedRest = 64 << 10
	// restShare is how much longer it rests than it worked. Three replicas that write
	// at once on two processors stretched the load's p99 fivefold with 2, and 1.6
	// times with 6.
	restShare = 6
	// longestRest keeps a stall of the whole machine from becoming three.
	longestRest = 50 * time.Millisecond
)

// PacedWriter writes the body of a snapshot beside a load. It works a seventh of
// the time at most, in small pieces: encoding a large state takes a processor, and
// syncing it the disk, from what clients wait for.
type PacedWriter struct {
	w      *SnapshotWriter
	stop   <-chan struct{}
	n      int
	rested time.Time
}

// NewPacedWriter returns one for w. Its Write ends with consensus.ErrClosed once
// stop is closed.
func NewPacedWriter(w *SnapshotWriter, stop <-chan struct{}) *PacedWriter {
	return &PacedWriter{w: w, stop: stop, rested: time.Now()}
}

// Write implements io.Writer.
func (p *PacedWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		m, err := p.w.Write(b[:min(len(b), pacedRest-p.n%pacedRest)])
		n, b = n+m, b[m:]
		p.n += m
		if err == nil && p.n%pacedSync == 0 {
			err = p.w.Sync()
		}
		if err == nil && p.n%pacedRest == 0 {
			err = p.rest()
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// rest waits for restShare times as long as the work since the last rest took.
func (p *PacedWriter) rest() error {
	t := time.NewTimer(min(restShare*time.Since(p.rested), longestRest))
	defer t.Stop()
	select {
	case <-p.stop:
		return consensus.ErrClosed
	case <-t.C:
		p.rested = time.Now()
		return nil
	}
}
