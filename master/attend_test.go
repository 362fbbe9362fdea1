package master

import (
	"testing"
	"testing/synctest"
	"time"

	"gfslab/api"
)

// TestCloneIsGivenUp: a clone whose target dies while it fetches, or whose leader is
// deposed and leads again, does not keep the chunk from being granted until the
// clone's timeout.
func TestCloneIsGivenUp(t *testing.T) {
	for name, disturb := range map[string]func(u *upkeepCell, target *fakeChunkserver){
		"dead":      func(_ *upkeepCell, target *fakeChunkserver) { target.store.kill() },
		"restarted": func(_ *upkeepCell, target *fakeChunkserver) { target.restart() },
		"deposed":   func(u *upkeepCell, _ *fakeChunkserver) { u.group.elect(2); u.group.elect(1) },
	} {
		t.Run(name, func(t *testing.T) {
			slow := func(o *Options) { o.CloneTimeout = time.Hour }
			upkeepBubble(t, slow, 2, four, func(t *testing.T, u *upkeepCell) {
				handle := u.fill(1)[0]
				time.Sleep(testWarmUp)
				begun := make(chan *fakeChunkserver, 8)
				for _, s := range u.servers {
					s.store.change(func(f *fakeStore) { f.cloning = time.Hour })
					s.onClone = func(_ *api.CloneRequest, done bool) {
						if !done {
							begun <- s
						}
					}
				}
				c, _, _ := u.leader().machine.chunk(handle)
				u.servers[c.Members[0]].store.kill()
				target := <-begun
				synctest.Wait() // it fetches
				disturb(u, target)
				target.store.change(func(f *fakeStore) { f.cloning = 0 })
				start := time.Now()
				u.find(u.leader(), handle)
				if took := time.Since(start); took > 3*u.o.DeadAfter {
					t.Fatalf("the chunk was granted after %v", took)
				}
			})
		})
	}
}
