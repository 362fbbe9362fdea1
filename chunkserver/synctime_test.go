package chunkserver

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const ms = time.Millisecond

// Three syncs, of which two overlap: 10 to 30, 20 to 50, and 70 to 80 ms.
func TestSyncTimeOfOverlappingSyncs(t *testing.T) {
	var now time.Time
	at := func(d time.Duration) time.Time { return now.Add(d) }
	now = time.Unix(1000, 0)
	var m syncTime
	expect := func(what string, count uint64, busy, sum time.Duration) {
		t.Helper()
		if m.count != count || m.busy != busy || m.sum != sum {
			t.Errorf("%s: %d syncs, busy %v, in all %v; want %d, %v, %v", what, m.count, m.busy, m.sum, count, busy, sum)
		}
	}
	m.advance(at(5 * ms))
	m.begin(at(10 * ms))
	m.begin(at(20 * ms))
	m.advance(at(25 * ms))
	expect("two in flight", 0, 15*ms, 20*ms)
	m.end(at(30 * ms))
	m.end(at(50 * ms))
	expect("two ended", 2, 40*ms, 50*ms)
	m.advance(at(69 * ms))
	m.begin(at(70 * ms))
	m.advance(at(60 * ms)) // the clock goes back
	expect("time that went back", 2, 40*ms, 50*ms)
	m.advance(at(70 * ms))
	m.end(at(80 * ms))
	expect("all ended", 3, 60*ms, 70*ms)
}

// A chunkserver's syncs are timed where they happen, also those that fail, and
// nobody waits for another's.
func TestSyncsAreTimedSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{opts: Options{Now: time.Now}}
		var wg sync.WaitGroup
		broken := errors.New("broken")
		for i := range 3 {
			wg.Go(func() {
				<-time.After(time.Duration(i) * 10 * ms)
				err := s.timed(func() error { <-time.After(40 * ms); return broken })
				if !errors.Is(err, broken) {
					t.Errorf("the sync's error is gone: %v", err)
				}
			})
		}
		<-time.After(45 * ms)
		if m := s.syncs.read(time.Now()); m.count != 1 || m.inFlight != 2 || m.busy != 45*ms || m.sum != (40+35+25)*ms {
			t.Errorf("with two in flight: %+v", m)
		}
		wg.Wait()
		if m := s.syncs.read(time.Now()); m.count != 3 || m.inFlight != 0 || m.busy != 60*ms || m.sum != 120*ms {
			t.Errorf("in the end: %+v", m)
		}
	})
}

// What a mutation waits for is its own sync, and the rest of the one before it.
func TestSyncWaitOfAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.grant(1, 10, 5, "a")
		s := c.servers["a"]
		c.push(1, payload(1, 50), "a")
		c.push(2, payload(2, 50), "a")
		before := s.Counters()
		c.disks["a"].StallSyncs(20 * ms)
		var wg sync.WaitGroup
		for i := range uint64(2) {
			wg.Go(func() {
				<-time.After(time.Duration(i) * 5 * ms)
				if _, err := c.tryAppend("a", 1, 1+i); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		c.disks["a"].StallSyncs(0)
		after := s.Counters()
		syncs, sum, busy := after.Syncs-before.Syncs, after.SyncTime-before.SyncTime, after.SyncBusy-before.SyncBusy
		if syncs != 2 || sum != 40*ms || busy != 40*ms {
			t.Errorf("%d syncs of %v in all, busy %v", syncs, sum, busy)
		}
		// The first waits for one sync, the second for 15 ms of that and its own.
		if n, wait := after.Acknowledged-before.Acknowledged, after.SyncWait-before.SyncWait; n != 2 || wait != (20+15+20)*ms {
			t.Errorf("%d mutations waited %v for syncs", n, wait)
		}
	})
}
