package meta

import (
	"testing"

	"gfslab/master/meta/metapb"
)

// TestFence: an intent may name the lease that its grant will replace. Until then
// the lease is active for everything else; no other lease can be replaced so.
func TestFence(t *testing.T) {
	w, h := newChunk(t)
	first := w.do(activeOf(h, w.do(intentOf(h, 0, "a", "b"), OK).Index, "a", "b"), OK)
	fencing := func(epoch uint64) *metapb.Command {
		cmd := intentOf(h, 1, "b")
		cmd.GetGrantIntent().Fences = epoch
		return cmd
	}
	w.do(fencing(0), Stale)
	w.do(fencing(first.Epoch+1), Stale)
	intent := w.do(fencing(first.Epoch), OK)
	if c, _ := w.s.Chunk(h); c.Epoch != first.Epoch || c.Primary != "a" || c.Version != 1 {
		t.Fatalf("after the intent: %+v", c)
	}
	second := w.do(activeOf(h, intent.Index, "b"), OK)
	if c, _ := w.s.Chunk(h); c.Epoch != second.Epoch || c.Primary != "b" || c.Version != 2 || len(c.Members) != 1 {
		t.Fatalf("after the grant: %+v", c)
	}
	w.do(endOf(h, first.Epoch), Stale) // it was replaced
	// A lease that ended meanwhile needs no fence.
	w.do(endOf(h, second.Epoch), OK)
	cmd := intentOf(h, 2, "b")
	cmd.GetGrantIntent().Fences = second.Epoch
	w.do(cmd, OK)
}
