package master

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"gfslab/api"
	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

// TestSweeperKeepsUp: a tree that is removed leaves a lease for each chunk that was
// ever written to; one look of the sweeper ends them all, not a few in each half of
// a lease's term.
func TestSweeperKeepsUp(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m, files := c.masters[0], 3*sweepBatch+1
		for i := range files {
			path := fmt.Sprintf("/f%d", i)
			c.find(m, c.newChunk(path))
			r := code[*api.MutationReply](t, api.Code_OK)(m.Delete(t.Context(), &api.DeleteRequest{Session: c.session(), Path: path}))
			code[*api.MutationReply](t, api.Code_OK)(m.Delete(t.Context(), &api.DeleteRequest{Session: c.session(), Path: path, Id: r.Id}))
		}
		time.Sleep(leaseTerm/2 + time.Millisecond)
		synctest.Wait()
		m.machine.view(func(s *meta.State) {
			if _, chunks, _ := s.Sizes(); chunks != 0 {
				t.Errorf("%d of %d chunks that no file has are left", chunks, files)
			}
		})
	})
}

// TestQuietBesideManyHidden: what is hidden in a directory counts for nothing in a
// snapshot, however much it is.
func TestQuietBesideManyHidden(t *testing.T) {
	m := &Master{machine: NewMachine(nil, nil)}
	index := uint64(0)
	apply := func(commands ...*metapb.Command) (replies [][]byte) {
		raw := make([][]byte, len(commands))
		for i, cmd := range commands {
			var err error
			if raw[i], err = proto.Marshal(cmd); err != nil {
				t.Fatal(err)
			}
		}
		index++
		return m.machine.Apply(index, raw)
	}
	create := func(path string) *metapb.Command {
		return &metapb.Command{Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: path}}}
	}
	apply(create("/a"), &metapb.Command{Op: &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: "/d"}}}, create("/d/z"),
		&metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: "/d/z"}}})
	var churn []*metapb.Command
	for range 1 << 12 {
		churn = append(churn, create("/d/t"), &metapb.Command{Op: &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: "/d/t"}}})
	}
	for n := 0; n <= 2*meta.MaxEntries; n += len(churn) / 2 {
		apply(churn...)
	}
	if got := m.handlesBelow("/d"); len(got) != 1 || got[0] != 1 {
		t.Fatalf("chunks %v are below, want the one of /d/z", got)
	}
}
