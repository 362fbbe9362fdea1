package chunkserver

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A lease that ran out while no master could extend it goes on under the same
// epoch once a leader of a higher term tells the primary of its grant again;
// serials and offsets go on where they stopped. One that the master ended does not.
func TestExpiredLeaseIsResumedByItsOwnEpochOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, three...)
		c.grant(1, 10, 5, three...)
		first := c.append(1, 1, payload(1, 50), three...)
		c.fabric.Cut("a", "master")
		time.Sleep(3 * leaseTerm)
		c.push(2, payload(2, 50), three...)
		if _, err := c.tryAppend("a", 1, 2); status.Code(err) != codes.FailedPrecondition {
			t.Fatalf("an append after the lease expired: %v", err)
		}
		c.fabric.HealAll()
		c.master.set(func(m *fakeMaster) { m.term = 6 })
		again := c.request(1, 10, 6, three...)
		if reply, err := c.clients["a"].ActivateGrant(c.ctx(), again); err != nil || !reply.Ok {
			t.Fatalf("activate again: %v %v", reply, err)
		}
		second := c.append(1, 2, payload(2, 50), three...)
		if second.Serial != first.Serial+1 || second.Offset <= first.Offset {
			t.Errorf("serial %d offset %d after serial %d offset %d", second.Serial, second.Offset, first.Serial, first.Offset)
		}
		for _, name := range three {
			c.expectRecord(name, first.Offset, 1, payload(1, 50))
			c.expectRecord(name, second.Offset, 2, payload(2, 50))
		}
		if reply, err := c.clients["a"].EndLease(c.ctx(), again); err != nil || !reply.Ok {
			t.Fatalf("end: %v %v", reply, err)
		}
		if reply, err := c.clients["a"].ActivateGrant(c.ctx(), again); err != nil || reply.Ok {
			t.Errorf("an epoch that the master ended was activated again: %v %v", reply, err)
		}
	})
}
