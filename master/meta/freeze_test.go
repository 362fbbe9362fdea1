package meta

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gfslab/master/meta/metapb"
)

// TestFreeze: a frozen state says for ever what the state said when it was frozen.
func TestFreeze(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	w := &world{t: t, s: New()}
	w.do(&metapb.Command{Op: &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: "/d"}}}, OK)
	describe := func(s *State) string {
		entries, _, _ := s.ListPage("/", ListOptions{Recursive: true, Chunks: true})
		hidden, _, _ := s.ListPage("/d", ListOptions{Hidden: true})
		walk, _ := s.WalkFrom("/", 0)
		var files []uint64
		walk.Step(s, 1<<20, func(id uint64, _ bool, handles []uint64) { files = append(append(files, id), handles...) })
		chunks, _ := s.ChunksFrom(0, 1<<20)
		index, commands := s.Applied()
		expiry, _ := s.NextExpiry()
		return fmt.Sprint(entries, hidden, files, walk.Usage, chunks, index, commands, s.Time(), s.NextHandle(), expiry)
	}
	type kept struct {
		frozen *State
		said   string
	}
	var all []kept
	for range 400 {
		path := fmt.Sprintf("/d/%02d", rng.IntN(30))
		var cmd *metapb.Command
		switch rng.IntN(4) {
		case 0:
			cmd = &metapb.Command{Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: path}}}
		case 1:
			cmd = &metapb.Command{Op: &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: path}}}
		case 2:
			cmd = &metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: path}}}
		case 3:
			cmd = &metapb.Command{Op: &metapb.Command_Snapshot{Snapshot: &metapb.RenameOp{From: path, To: fmt.Sprintf("/d/%02d", rng.IntN(30))}}}
		}
		w.s.Apply(w.s.index+1, [][]byte{encode(t, cmd)})
		if rng.IntN(10) == 0 {
			all = append(all, kept{w.s.Freeze(), describe(w.s)})
		}
	}
	for i, k := range all {
		if got := describe(k.frozen); got != k.said {
			t.Fatalf("seed %d: frozen %d says\n%s\nand said\n%s", seed, i, got, k.said)
		}
	}
}
