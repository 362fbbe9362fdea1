package chunkserver

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// lines returns those that hold what, and forgets all.
func (l *logged) lines(what string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, what) {
			found = append(found, line)
		}
	}
	l.text.Reset()
	return found
}

// Heartbeats that fail are logged with the master and the reason: the first at once,
// then now and then, and that they do no more.
func TestFailedHeartbeatsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, log := newCell(t, "a"), new(logged)
		c.log = slog.New(slog.NewTextHandler(log, nil))
		c.crash("a", 0)
		c.nextBeats("a")
		if found := log.lines("heartbeat"); len(found) > 1 { // at the start
			t.Fatalf("all is well: %q", found)
		}
		c.masterDoes(func(m *fakeMaster) { m.lose = true })
		time.Sleep(time.Second)
		found := log.lines("heartbeat failed")
		if len(found) != 1 || !strings.Contains(found[0], "level=WARN") || !strings.Contains(found[0], "master=master") || !strings.Contains(found[0], "chunkserver=a") || !strings.Contains(found[0], "desc = lost") {
			t.Fatalf("the first second: %q", found)
		}
		time.Sleep(3 * troubleEvery)
		if found := log.lines("heartbeat failed"); len(found) < 2 || len(found) > 3 || !strings.Contains(found[0], "failures=") {
			t.Fatalf("three times %v: %q", troubleEvery, found)
		}
		c.masterDoes(func(m *fakeMaster) { m.lose = false })
		time.Sleep(time.Second)
		if found := log.lines("heartbeat"); len(found) != 1 || !strings.Contains(found[0], "recovered") || !strings.Contains(found[0], "master=master") {
			t.Fatalf("recovered: %q", found)
		}
	})
}

// A master that fails and answers in turns is not worth a line each time.
func TestFlappingHeartbeatsAreLoggedNowAndThen(t *testing.T) {
	log := new(logged)
	tr := trouble{log: slog.New(slog.NewTextHandler(log, nil))}
	now := time.Now()
	for range 100 {
		tr.note(now, errShutdown)
		now = now.Add(troubleEvery / 50)
		tr.note(now, nil)
		now = now.Add(troubleEvery / 50)
	}
	if found := log.lines("heartbeat"); len(found) != 8 { // in four times troubleEvery
		t.Errorf("%d lines: %q", len(found), found)
	}
}
