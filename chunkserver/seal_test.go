package chunkserver

import (
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// In strict mode who finds the chunk full waits, as its first caller does, until the
// pad is on every replica: only then is the chunk sealed.
func TestSealWaitsForThePad(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newCell(t, "a", "b")
			c.strict = true
			c.grant(1, 10, 5, "a", "b")
			c.masterDoes(func(m *fakeMaster) { m.sealCode = api.Code_OK })
			seals := func() int {
				c.master.mu.Lock()
				defer c.master.mu.Unlock()
				return len(c.master.seals)
			}
			offsets := []uint64{}
			for n := testChunk / api.FrameSize("client", 1500); len(offsets) < n; {
				seq := uint64(len(offsets) + 1)
				offsets = append(offsets, c.append(1, seq, payload(seq, 1500), "a", "b").Offset)
			}
			const callers = 3
			for i := range uint64(callers) {
				c.push(100+i, payload(100+i, 1500), "a", "b")
			}
			c.fabric.Cut("a", "b")
			type answer struct {
				reply *api.AppendReply
				err   error
			}
			answers := make(chan answer, callers)
			for i := range uint64(callers) {
				go func() {
					reply, err := c.tryAppend("a", 1, 100+i)
					answers <- answer{reply, err}
				}()
				synctest.Wait()
			}
			if len(answers) > 0 || seals() > 0 {
				t.Fatalf("%d callers answered, %d seals, and the pad is on its way", len(answers), seals())
			}
			if !fails {
				c.fabric.HealAll()
			}
			for range callers {
				switch a := <-answers; {
				case fails && status.Code(a.err) != codes.Aborted, !fails && a.reply.GetCode() != api.Code_CHUNK_FULL:
					t.Errorf("pad fails %v: %v %v", fails, a.reply, a.err)
				}
			}
			if sealed := seals() > 0; sealed == fails {
				t.Errorf("pad fails %v: %d seals", fails, seals())
			}
			if fails {
				// The next primary seals the chunk, though the replicas differ now (of a pad
				// its header is stored), but not in what was acknowledged.
				if a, b := c.servers["a"].report()[0].Length, c.servers["b"].report()[0].Length; b >= a {
					t.Errorf("the replicas have %d and %d bytes", a, b)
				}
				c.fabric.HealAll()
				c.grant(2, 20, 5, "a", "b")
				c.push(200, payload(200, 1500), "a", "b")
				if reply, err := c.tryAppend("a", 2, 200); err != nil || reply.Code != api.Code_CHUNK_FULL || seals() != 1 {
					t.Errorf("%v %v, %d seals", reply, err, seals())
				}
			}
			for _, name := range []string{"a", "b"} {
				for i, offset := range offsets {
					c.expectRecord(name, offset, uint64(i+1), payload(uint64(i+1), 1500))
				}
			}
		})
	}
}
