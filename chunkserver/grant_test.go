package chunkserver

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

func TestPrepareGrantIsDurableBeforeItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, keep := range []int{0, 50, 100} {
			c := newCell(t, "a")
			for version := uint64(1); version <= 5; version++ {
				if r := c.prepare("a", c.request(version, 0, 5, "a")); !r.Ok {
					t.Fatal(r.Reason)
				}
				c.crash("a", keep)
				c.crash("a", 0)
				report := c.servers["a"].report()
				if len(report) != 1 || report[0].Version != version {
					t.Fatalf("keep %d%%: after the crash the report is %v, want version %d", keep, report, version)
				}
			}
		}
	})
}

func TestGrantsOfLowerTermOrVersionAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a", "b")
		c.grant(3, 10, 5, "a", "b")
		refused := func(what string, r *api.GrantReply) {
			t.Helper()
			if r.Ok || r.Reason == "" {
				t.Errorf("%s: %v", what, r)
			}
		}
		refused("lower version", c.prepare("a", c.request(2, 0, 5, "a")))
		refused("lower term", c.prepare("a", c.request(4, 0, 4, "a")))
		if r := c.prepare("a", c.request(3, 0, 5, "a")); !r.Ok {
			t.Errorf("the same request again: %v", r)
		}
		old, err := c.clients["a"].ActivateGrant(c.ctx(), c.request(3, 11, 4, "a"))
		c.must(err)
		refused("activation of a lower term", old)
		old, err = c.clients["a"].EndLease(c.ctx(), c.request(3, 10, 4, "a"))
		c.must(err)
		refused("end of a lower term", old)
		// The term that a heartbeat taught outlives a power cut.
		c.master.set(func(m *fakeMaster) { m.term = 9 })
		c.eventually("the term is learnt", func() bool { return c.servers["b"].durableTerm.Load() == 9 })
		c.master.set(func(m *fakeMaster) { m.follows = true })
		c.crash("b", 0)
		refused("term below the one seen before the crash", c.prepare("b", c.request(4, 0, 8, "b")))
		if r := c.prepare("b", c.request(4, 0, 9, "b")); !r.Ok {
			t.Errorf("the term seen: %v", r)
		}
	})
}

func TestActivationNeedsThePreparedVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a", "b")
		activate := func(r *api.GrantRequest) *api.GrantReply {
			t.Helper()
			reply, err := c.clients["a"].ActivateGrant(c.ctx(), r)
			c.must(err)
			return reply
		}
		if r := activate(c.request(1, 10, 5, "a", "b")); r.Ok {
			t.Error("activated a chunk that was never prepared")
		}
		c.prepare("a", c.request(1, 0, 5, "a", "b"))
		if r := activate(c.request(2, 10, 5, "a", "b")); r.Ok {
			t.Error("activated another version than was prepared")
		}
		end, err := c.clients["a"].EndLease(c.ctx(), c.request(1, 12, 5, "a"))
		c.must(err)
		if !end.Ok {
			t.Error(end.Reason)
		}
		if r := activate(c.request(1, 11, 5, "a", "b")); r.Ok {
			t.Error("activated an epoch that had ended before the activation came")
		}
		// A primary that restarted has forgotten its serials: it must not go on.
		c.crash("a", 100)
		if r := activate(c.request(1, 13, 5, "a", "b")); r.Ok {
			t.Error("resumed a lease of the time before the restart")
		}
	})
}

func TestOldPrimaryIsFencedByVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		c.append(1, 1, payload(1, 100), three...)
		c.push(2, payload(2, 100), three...)
		// The new grant reaches only b and c; a still believes in its lease.
		c.grant(2, 20, 5, "b", "c")
		if _, err := c.tryAppend("a", 1, 2); status.Code(err) != codes.Aborted {
			t.Fatalf("the old primary answers %v, want Aborted", err)
		}
		if n := len(c.kinds("a", EventAccept)); n != 1 {
			t.Fatalf("the old primary acknowledged %d, want 1", n)
		}
		if reply, err := c.tryAppend("b", 1, 2); err != nil || reply.Code != api.Code_STALE {
			t.Fatalf("an append of the old version: %v %v, want STALE", reply, err)
		}
		c.append(2, 3, payload(3, 100), "b", "c")
	})
}

func TestEndLeaseStopsThePrimaryAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		c.append(1, 1, payload(1, 100), three...)
		c.push(2, payload(2, 100), three...)
		end, err := c.clients["a"].EndLease(c.ctx(), c.request(1, 10, 5, three...))
		c.must(err)
		if !end.Ok {
			t.Fatal(end.Reason)
		}
		if _, err := c.tryAppend("a", 1, 2); status.Code(err) != codes.FailedPrecondition {
			t.Fatalf("append after the end: %v, want FailedPrecondition", err)
		}
	})
}

// The lease ends while a mutation is under way: it must not be acknowledged.
func TestLeaseIsCheckedAtTheAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		c.append(1, 1, payload(1, 100), three...)
		c.push(2, payload(2, 100), three...)
		c.disks["c"].StallSyncs(100 * time.Millisecond)
		done := make(chan error, 1)
		go func() {
			_, err := c.tryAppend("a", 1, 2)
			done <- err
		}()
		c.eventually("the primary wrote it", func() bool { return len(c.kinds("a", EventMutate)) == 2 })
		if _, err := c.clients["a"].EndLease(c.ctx(), c.request(1, 10, 5, three...)); err != nil {
			t.Fatal(err)
		}
		if err := <-done; status.Code(err) != codes.Aborted {
			t.Fatalf("append across the end of the lease: %v, want Aborted", err)
		}
		if n := len(c.kinds("a", EventAccept)); n != 1 {
			t.Fatalf("%d acknowledged, want 1", n)
		}
	})
}

func TestPrimaryStopsWhenItsLeaseExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		// In use, the lease lives on for many terms.
		for seq := uint64(1); seq <= 20; seq++ {
			c.append(1, seq, payload(seq, 50), three...)
			time.Sleep(leaseTerm / 2)
		}
		if n := c.master.claimed(); n < 20 || n > 60 {
			t.Errorf("%d claims in 10 terms of use", n)
		}
		// Cut from the master but not from clients, it serves until expiry.
		c.fabric.Cut("a", "master")
		cut := time.Now()
		last := cut
		seq := uint64(100)
		for ; time.Since(cut) < 3*leaseTerm; seq++ {
			c.push(seq, payload(seq, 10), three...)
			if reply, err := c.tryAppend("a", 1, seq); err == nil && reply.Code == api.Code_OK {
				last = time.Now()
			} else if code := status.Code(err); code != codes.FailedPrecondition && code != codes.Aborted {
				t.Fatalf("append: %v %v", reply, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		claims := c.kinds("a", EventClaim)
		until := claims[len(claims)-1].Until
		if last.After(until) || until.Sub(last) > 30*time.Millisecond {
			t.Errorf("served until %v, the lease ended at %v", last.Sub(cut), until.Sub(cut))
		}
		if until.Sub(cut) > leaseTerm*99/100 {
			t.Errorf("the lease lasted %v beyond the cut, D(1-rho) is %v", until.Sub(cut), leaseTerm*99/100)
		}
		if len(c.kinds("a", EventStop)) != 1 {
			t.Errorf("stops: %v", c.kinds("a", EventStop))
		}
		c.fabric.HealAll()
	})
}

// The lease counts from when the claim was sent, not from its answer.
func TestLeaseRunsFromTheSendTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.master.set(func(m *fakeMaster) { m.delay = 150 * time.Millisecond })
		begin := time.Now()
		c.grant(1, 10, 5, "a")
		c.eventually("the claim", func() bool { return len(c.kinds("a", EventClaim)) > 0 })
		until := c.kinds("a", EventClaim)[0].Until
		if got, want := until.Sub(begin), leaseTerm*99/100; got > want {
			t.Errorf("the lease ends %v after the send, D(1-rho) is %v", got, want)
		}
	})
}

func TestUnusedOrFailingLeaseIsNotExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		time.Sleep(3 * leaseTerm)
		if n := c.master.claimed(); n != 1 {
			t.Errorf("%d claims of an unused lease, want 1", n)
		}
		if n := len(c.kinds("a", EventStop)); n != 1 {
			t.Errorf("%d stops, want 1", n)
		}
		// A secondary is gone: retries must not keep the lease alive.
		c.grant(2, 20, 5, three...)
		c.append(2, 1, payload(1, 10), three...)
		c.fabric.Cut("a", "c")
		cut := time.Now()
		for seq := uint64(2); time.Since(cut) < 3*leaseTerm; seq++ {
			c.push(seq, payload(seq, 10), "a", "b")
			if _, err := c.tryAppend("a", 2, seq); err == nil {
				t.Fatal("acknowledged without a secondary")
			} else if status.Code(err) == codes.FailedPrecondition {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		// One try to notice, one lease, one more try.
		if d := time.Since(cut); d > leaseTerm+800*time.Millisecond {
			t.Errorf("the failing lease lived on for %v", d)
		}
		c.fabric.HealAll()
	})
}

func TestRefusedClaimEndsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.master.set(func(m *fakeMaster) { m.refuse = true })
		c.grant(1, 10, 5, "a")
		c.push(1, payload(1, 10), "a")
		if _, err := c.tryAppend("a", 1, 1); status.Code(err) != codes.FailedPrecondition {
			t.Fatalf("append without a lease: %v, want FailedPrecondition", err)
		}
	})
}

func TestFailedSyncIsNeverAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		c.append(1, 1, payload(1, 100), three...)
		c.disks["b"].FailSyncs(errors.New("disk on fire"))
		c.push(2, payload(2, 100), three...)
		if _, err := c.tryAppend("a", 1, 2); status.Code(err) != codes.Aborted {
			t.Fatalf("append over a failed sync: %v, want Aborted", err)
		}
		c.disks["b"].FailSyncs(nil)
		if r := c.prepare("b", c.request(2, 0, 5, "b")); r.Ok {
			t.Fatal("a chunk whose sync failed goes on")
		}
	})
}
