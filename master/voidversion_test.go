package master

import (
	"slices"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/master/meta"
)

// TestVoidVersionAtTheTarget: the one chunkserver that a clone can go to was a member
// once and prepared a version that came to nothing. It gets the clone all the same,
// also of a chunk that no grant can raise above that: a sealed or a shared one.
func TestVoidVersionAtTheTarget(t *testing.T) {
	for _, what := range []string{"plain", "shared", "sealed"} {
		upkeepBubble(t, func(o *Options) { o.LeaseWait = false }, 1, four, func(t *testing.T, u *upkeepCell) {
			handle := u.fill(1)[0]
			time.Sleep(testWarmUp)
			m := u.leader()
			lease := u.find(m, handle)
			primary := &u.servers[lease.Primary].store
			// Its heartbeats stop, so the lease is to be fenced: all hear of that
			// version, and nobody answers.
			primary.kill()
			time.Sleep(2 * m.o.DeadAfter)
			for _, s := range u.servers {
				s.set(false, "prepare")
			}
			code[*api.ChunkReply](t, api.Code_NO_CHUNKSERVER)(m.FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handle}))
			c, _, _ := m.machine.chunk(handle)
			if c.Intent == 0 || c.Reserved <= c.Version || voidVersion(&c) != 0 {
				t.Fatalf("%s: a version that may yet be granted counts as void: %+v", what, c)
			}
			if what == "sealed" {
				code[*api.MutationReply](t, api.Code_OK)(m.Seal(t.Context(), &api.SealRequest{
					Chunkserver: lease.Primary, Handle: handle, Version: lease.Version, Epoch: lease.Epoch, Length: 100,
				}))
			}
			primary.change(func(s *fakeStore) { s.down = false })
			time.Sleep(100 * time.Millisecond)
			u.revoke(handle)
			if what == "shared" {
				code[*api.MutationReply](t, api.Code_OK)(u.snapshot(m, "/f000", "/copy"))
			}
			c, _, _ = m.machine.chunk(handle)
			if sealed, shared := c.Sealed, c.Refs > 1; sealed != (what == "sealed") || shared != (what == "shared") {
				t.Fatalf("%s: %+v", what, c)
			}
			var former string
			for _, name := range four {
				if u.servers[name].set(false, ""); !slices.Contains(c.Members, name) {
					former = name
				}
			}
			u.servers[c.Members[0]].store.kill()
			time.Sleep(m.o.DeadAfter + 100*time.Millisecond) // else it is one too many
			u.servers[former].store.put(handle, c.Reserved, 1)
			u.await(20*time.Second, what, u.atGoal([]uint64{handle}, 3))
			now, _, _ := m.machine.chunk(handle)
			if x, _ := u.servers[former].store.get(handle); now.Version != c.Version || !slices.Contains(now.Members, former) || x.version != c.Reserved || x.length == 1 {
				t.Fatalf("%s: %s has %+v of %+v", what, former, x, now)
			}
		})
	}
}

// TestVoidVersion: what may yet be granted is not void.
func TestVoidVersion(t *testing.T) {
	for want, c := range map[uint64][]meta.Chunk{
		0: {{Version: 3, Reserved: 3}, {Version: 3, Reserved: 5, Intent: 9}, {Version: 3, Reserved: 5, Epoch: 9}, {Version: 3, Reserved: 5, Epoch: 8, Intent: 9}},
		5: {{Version: 3, Reserved: 5}},
	} {
		for _, c := range c {
			if got := voidVersion(&c); got != want {
				t.Errorf("%+v: void up to %d, want %d", c, got, want)
			}
		}
	}
}
