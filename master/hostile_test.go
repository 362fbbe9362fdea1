package master

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"gfslab/api"
)

// TestHostileRequests: malformed requests of every kind are answered with a code
// or a status; none of them changes the state, makes a proposal that is not
// well-formed, or leaves a lock behind.
func TestHostileRequests(t *testing.T) {
	synctestCell(t, func(*Options) {}, 1, three, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		c.newChunk("/f")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		paths := []string{"", "f", "//", "/f/", "/../f", "/.", "/a\x00b", "/" + strings.Repeat("x", 256), strings.Repeat("/x", 4096), "/\x00\x01"}
		negative, none := int64(-1), uint32(0)
		sessions := []*api.Session{nil, {}, {Client: "c"}, {Client: strings.Repeat("c", 1000), Seq: 1}}
		before := m.machine.Hash()
		proposed, _ := c.group.replicas[0].counts()
		refused := func(what string, r interface{ GetCode() api.Code }, err error) {
			t.Helper()
			if err == nil && r.GetCode() == api.Code_OK {
				t.Errorf("%s was accepted: %v", what, r)
			}
		}
		for _, path := range paths {
			for _, session := range sessions {
				s, r := session, func(r *api.MutationReply, err error) { t.Helper(); refused(path, r, err) }
				r(m.Create(ctx, &api.PathRequest{Session: s, Path: path}))
				r(m.Mkdir(ctx, &api.PathRequest{Session: s, Path: path}))
				r(m.Delete(ctx, &api.DeleteRequest{Session: s, Path: path, Recursive: true}))
				r(m.Undelete(ctx, &api.UndeleteRequest{Session: s, Path: path}))
				r(m.Rename(ctx, &api.RenameRequest{Session: s, From: "/f", To: path}))
				r(m.Rename(ctx, &api.RenameRequest{Session: s, From: path, To: "/g"}))
				r(m.Snapshot(ctx, &api.SnapshotTreeRequest{Session: s, From: "/f", To: path}))
				r(m.Snapshot(ctx, &api.SnapshotTreeRequest{Session: s, From: path, To: "/g"}))
				r(m.SetAttributes(ctx, &api.SetAttributesRequest{Session: s, Path: path, Set: &api.Attributes{}}))
				r(m.AllocateChunk(ctx, &api.AllocateRequest{Session: s, Path: path}))
			}
			stat, err := m.Stat(ctx, &api.ReadRequest{Path: path})
			refused("stat", stat, err)
			list, err := m.List(ctx, &api.ListRequest{Path: path, Recursive: true, Prefix: path, After: path, Limit: 1 << 31})
			refused("list", list, err)
			usage, err := m.Usage(ctx, &api.ReadRequest{Path: path})
			refused("usage", usage, err)
			at, err := m.FindLocation(ctx, &api.LocationRequest{Path: path})
			refused("location", at, err)
			if path != "" {
				at, err = m.FindLeaseHolder(ctx, &api.LeaseRequest{Path: path})
				refused("lease", at, err)
			}
		}
		for _, session := range sessions[2:] {
			r, err := m.Create(ctx, &api.PathRequest{Session: session, Path: "/g"})
			refused("a session without a number, or too long", r, err)
		}
		for _, set := range []*api.Attributes{{RetentionNs: &negative}, {Replicas: &none}} {
			r, err := m.SetAttributes(ctx, &api.SetAttributesRequest{Path: "/", Set: set})
			refused("impossible attributes", r, err)
		}
		r, err := m.AllocateChunk(ctx, &api.AllocateRequest{Path: "/f", ChunkIndex: 1, Kind: 7})
		refused("a kind that is none", r, err)
		for _, x := range [][2]string{{"/", "/g"}, {"/f", "/f/g"}} {
			r, err := m.Snapshot(ctx, &api.SnapshotTreeRequest{From: x[0], To: x[1]})
			refused("a snapshot into itself", r, err)
		}
		claim, err := m.ClaimLease(ctx, &api.ClaimRequest{Handle: 1, Version: 1, Epoch: 1, Chunkserver: "stranger"})
		if err == nil && claim.Granted {
			t.Errorf("a stranger's claim was granted")
		}
		if now, _ := c.group.replicas[0].counts(); m.machine.Hash() != before || now != proposed {
			t.Errorf("the state changed, or %d malformed commands were proposed", now-proposed)
		}
		if n := m.paths.Len(); n != 0 {
			t.Errorf("%d paths are locked", n)
		}
	})
}

// TestRandomRequests throws random messages at every method: whatever they do, no
// method panics, hangs, or leaves a lock or a flight behind.
func TestRandomRequests(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctestCell(t, func(*Options) {}, 1, three, func(t *testing.T, c *fakeCell) {
		m, rng := c.masters[0], rand.New(rand.NewPCG(seed, 0))
		c.newChunk("/f")
		calls := []func(context.Context, *rand.Rand) error{
			random(m.Create), random(m.Mkdir), random(m.Delete), random(m.Undelete), random(m.Rename), random(m.Snapshot),
			random(m.SetAttributes), random(m.AllocateChunk), random(m.Seal), random(m.Stat), random(m.Usage), random(m.List),
			random(m.FindLocation), random(m.FindLeaseHolder), random(m.RevokeLease), random(m.ChunkInfo), random(m.ClaimLease), random(m.Heartbeat),
		}
		completed := 0
		for range 4000 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if calls[rng.IntN(len(calls))](ctx, rng) == nil {
				completed++
			}
			cancel()
		}
		if completed < 1000 {
			t.Fatalf("seed %d: only %d of 4000 requests came through", seed, completed)
		}
		time.Sleep(time.Minute) // what was begun ends
		m.leases.mu.Lock()
		flights := len(m.leases.flights)
		m.leases.mu.Unlock()
		if n := m.paths.Len(); n != 0 || flights != 0 {
			t.Fatalf("seed %d: %d paths are locked, %d flights are left", seed, n, flights)
		}
	})
}

// random returns a call of the method with a random request.
func random[Q proto.Message, R any](method func(context.Context, Q) (R, error)) func(context.Context, *rand.Rand) error {
	return func(ctx context.Context, rng *rand.Rand) error {
		var none Q
		request := none.ProtoReflect().New()
		scramble(rng, request, 3)
		_, err := method(ctx, request.Interface().(Q))
		return err
	}
}

// scramble fills a message with values that matter here, or with nonsense.
func scramble(rng *rand.Rand, m protoreflect.Message, depth int) {
	texts := []string{"", "/", "/f", "/g", "/d", "/d/e", "/f/x", "client", "cs1", "retention", "replicas", "/\x00", strings.Repeat("/y", 3000)}
	value := func(f protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
		number := rng.Uint64() >> rng.IntN(64)
		switch f.Kind() {
		case protoreflect.StringKind:
			return protoreflect.ValueOfString(texts[rng.IntN(len(texts))]), true
		case protoreflect.BoolKind:
			return protoreflect.ValueOfBool(rng.IntN(2) == 0), true
		case protoreflect.Uint64Kind:
			return protoreflect.ValueOfUint64(number), true
		case protoreflect.Int64Kind:
			return protoreflect.ValueOfInt64(int64(number)), true
		case protoreflect.Uint32Kind:
			return protoreflect.ValueOfUint32(uint32(number)), true
		case protoreflect.EnumKind:
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rng.IntN(4) - 1)), true
		}
		return protoreflect.Value{}, false
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case rng.IntN(3) == 0:
		case f.IsList() && f.Kind() != protoreflect.MessageKind:
			for range rng.IntN(3) {
				if v, ok := value(f); ok {
					m.Mutable(f).List().Append(v)
				}
			}
		case f.IsList() && depth > 0:
			for range rng.IntN(3) {
				scramble(rng, m.Mutable(f).List().AppendMutable().Message(), depth-1)
			}
		case f.Kind() == protoreflect.MessageKind && !f.IsMap() && depth > 0:
			scramble(rng, m.Mutable(f).Message(), depth-1)
		default:
			if v, ok := value(f); ok && !f.IsList() {
				m.Set(f, v)
			}
		}
	}
}
