package check

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

// TestModelAgreesWithTheService sends random commands, many of them senseless, to
// the real state machine and replays its log. The two were written apart from one
// another: where they differ, one of them misreads the API.
func TestModelAgreesWithTheService(t *testing.T) {
	grants, files, retries := 0, 0, 0
	did := map[string]int{}
	for seed := uint64(1); seed <= 8; seed++ {
		rng := rand.New(rand.NewPCG(seed, 7))
		state := meta.New()
		run := &rundir.Run{Applied: map[string][]rundir.Applied{}}
		sessions, intents, world := map[string]uint64{}, map[uint64]*intended{}, &worldOf{}
		for index := uint64(1); index <= 4000; index++ {
			var cmds [][]byte
			for range 1 + rng.IntN(3) {
				cmds = append(cmds, marshal(t, randomCommand(rng, state, sessions, intents, world)))
			}
			for i, raw := range state.Apply(index, cmds) {
				var cmd metapb.Command
				if err := proto.Unmarshal(cmds[i], &cmd); err != nil {
					t.Fatal(err)
				}
				var reply metapb.Reply
				if err := proto.Unmarshal(raw, &reply); err != nil {
					t.Fatal(err)
				}
				world.learn(&cmd, &reply)
				did[fmt.Sprintf("%T %d", cmd.Op, reply.Code)]++
				if op := cmd.GetGrantIntent(); op != nil {
					intents[op.Handle] = &intended{index, op.Replicas}
				}
				run.Applied["m1"] = append(run.Applied["m1"], rundir.Applied{Index: index, Offset: uint32(i), Client: cmd.Client, Seq: cmd.Seq,
					Command: cmds[i], Reply: raw, Hash: state.Hash()})
			}
		}
		r := newFacts(run).replay()
		if len(r.faults) > 0 {
			x := r.faults[0]
			t.Fatalf("seed %d: %d differences; the first at index %d offset %d: %s", seed, len(r.faults), x.at.index, x.at.offset, x.text)
		}
		grants, files, retries = grants+len(r.grants), files+len(r.ids), retries+r.applied-len(r.commands)
	}
	for _, done := range []string{"Undelete 0", "Purge 0", "Snapshot 0", "Snapshot 8", "SetAttributes 0", "Seal 0", "CopyBegin 0", "CopyCommit 0", "AddMember 0", "RemoveMember 0", "Create 13", "GrantIntent 12"} {
		if did["*metapb.Command_"+done] == 0 {
			t.Errorf("no command was answered with %s (type and code): %v", done, did)
		}
	}
	t.Logf("%d grants, %d files, %d commands without a client or tried again", grants, files, retries)
	if grants < 50 || files < 500 || retries < 1000 {
		t.Errorf("the random world reaches too little")
	}
}

func marshal(t *testing.T, cmd *metapb.Command) []byte {
	t.Helper()
	b, err := proto.Marshal(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// intended is the last intent that was asked for a chunk, granted or not.
type intended struct {
	index    uint64
	replicas []string
}

func randomCommand(rng *rand.Rand, state *meta.State, sessions map[string]uint64, intents map[uint64]*intended, world *worldOf) *metapb.Command {
	path := func() string {
		p := fmt.Sprintf("/d%d", rng.IntN(4))
		for range rng.IntN(3) {
			p += fmt.Sprintf("/f%d", rng.IntN(4))
		}
		switch rng.IntN(60) {
		case 0:
			return "/"
		case 1:
			return p + "/"
		case 2:
			return p + "//x"
		case 3:
			return "x" + p
		}
		return p
	}
	names := func() []string {
		all := []string{"cs1", "cs2", "cs3", "cs4", ""}
		var out []string
		for range 1 + rng.IntN(3) {
			out = append(out, all[rng.IntN(4+rng.IntN(20)/19)])
		}
		return out
	}
	handle := 1 + uint64(rng.IntN(12))
	if _, code := state.Chunk(handle); code != meta.OK {
		handle = 1 + uint64(rng.IntN(200))
	}
	c, _ := state.Chunk(handle)
	cmd := &metapb.Command{StampNs: state.Time() + rng.Int64N(1000)}
	switch k := rng.IntN(26); {
	case k < 6:
		cmd.Op = &metapb.Command_Create{Create: &metapb.PathOp{Path: path()}}
	case k < 9:
		cmd.Op = &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: path()}}
	case k < 11:
		cmd.Op = &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: path()}}
	case k < 13:
		cmd.Op = &metapb.Command_Rename{Rename: &metapb.RenameOp{From: path(), To: path(), Replace: rng.IntN(4) == 0}}
	case k < 16:
		cmd.Op = &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: path(), ChunkIndex: uint32(rng.IntN(3)), Kind: int32(rng.IntN(2)), Strict: rng.IntN(4) == 0}}
	case k < 19:
		replicas := names()
		if len(c.Members) > 0 && rng.IntN(4) > 0 {
			replicas = c.Members
		}
		cmd.Op = &metapb.Command_GrantIntent{GrantIntent: &metapb.GrantIntentOp{Handle: handle, ExpectVersion: c.Version + uint64(rng.IntN(8)/7), Replicas: replicas, Fences: c.Epoch * uint64(rng.IntN(3)/2)}}
	case k < 22:
		acked := names()
		last, _ := state.Applied()
		if in := intents[handle]; in != nil && rng.IntN(5) > 0 {
			last, acked = in.index+uint64(rng.IntN(10)/9), in.replicas[:1+rng.IntN(len(in.replicas))]
		}
		cmd.Op = &metapb.Command_GrantActive{GrantActive: &metapb.GrantActiveOp{Handle: handle, IntentIndex: last, Primary: acked[0], Acked: acked}}
	case k < 25:
		cmd.Op = &metapb.Command_LeaseEnd{LeaseEnd: &metapb.LeaseEndOp{Handle: handle, Epoch: c.Epoch + uint64(rng.IntN(5)/4)}}
	}
	if rng.IntN(3) == 0 {
		cmd = randomWhole(rng, state, world, path, handle, c)
	}
	if rng.IntN(3) > 0 {
		cmd.Client = fmt.Sprintf("c%d", rng.IntN(5))
		if sessions[cmd.Client]++; rng.IntN(4) == 0 { // a retry, or an old one, or none
			sessions[cmd.Client] -= min(sessions[cmd.Client], uint64(rng.IntN(3)))
		}
		cmd.Seq = sessions[cmd.Client]
	}
	return cmd
}
