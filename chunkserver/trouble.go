package chunkserver

import (
	"log/slog"
	"time"
)

// troubleEvery is the least time between two complaints about the same master.
const troubleEvery = 30 * time.Second

// trouble logs that heartbeats to one master fail, and that they do no more: the
// first failure at once, then now and then, as there may be many a second.
type trouble struct {
	log    *slog.Logger
	since  time.Time // of the first failure in a row; zero: none
	told   time.Time // when a failure was logged last
	failed int       // in a row
}

// note takes the outcome of a heartbeat over.
func (t *trouble) note(now time.Time, err error) {
	switch {
	case err != nil:
		if t.failed == 0 {
			t.since = now
		}
		t.failed++
		if t.told.IsZero() || now.Sub(t.told) >= troubleEvery {
			t.told = now
			t.log.Warn("heartbeat failed", "err", err, "failures", t.failed, "for", now.Sub(t.since))
		}
	case t.failed > 0:
		if !t.told.Before(t.since) {
			t.log.Info("heartbeat recovered", "failures", t.failed, "after", now.Sub(t.since))
		}
		t.failed = 0
	}
}
