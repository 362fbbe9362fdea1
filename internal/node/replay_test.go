package node_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"gfslab/api"
)

// A message that was answered once and arrives again, as a network may repeat it,
// is answered as before or refused; nothing happens twice.
func TestReplayedMessages(t *testing.T) {
	c := newTarget(t, 3, 3)
	ctx := within(t, 2*patience)
	session := func(seq uint64) *api.Session { return &api.Session{Client: "repeats itself", Seq: seq} }
	type mutation struct {
		name string
		call func() (*api.MutationReply, error)
	}
	m := c.m
	for _, x := range []mutation{
		{"mkdir", func() (*api.MutationReply, error) {
			return m.Mkdir(ctx, &api.PathRequest{Session: session(1), Path: "/d/new"})
		}},
		{"create", func() (*api.MutationReply, error) {
			return m.Create(ctx, &api.PathRequest{Session: session(2), Path: "/d/new/f"})
		}},
		{"allocate", func() (*api.MutationReply, error) {
			return m.AllocateChunk(ctx, &api.AllocateRequest{Session: session(3), Path: "/d/new/f"})
		}},
		{"rename", func() (*api.MutationReply, error) {
			return m.Rename(ctx, &api.RenameRequest{Session: session(4), From: "/d/new/f", To: "/d/new/g"})
		}},
		{"delete", func() (*api.MutationReply, error) {
			return m.Delete(ctx, &api.DeleteRequest{Session: session(5), Path: "/d/new/g"})
		}},
		{"undelete", func() (*api.MutationReply, error) {
			return m.Undelete(ctx, &api.UndeleteRequest{Session: session(6), Path: "/d/new/g"})
		}},
	} {
		first, err := x.call()
		if err != nil || first.Code != api.Code_OK || first.Replayed {
			t.Fatalf("%s: %v %v", x.name, first, err)
		}
		before := c.picture()
		again, err := x.call()
		if err != nil || !again.Replayed || again.Code != api.Code_OK || again.Handle != first.Handle || again.At.Index != first.At.Index {
			t.Errorf("%s again: %v %v, first %v", x.name, again, err, first)
		}
		if after := c.picture(); after != before {
			t.Errorf("%s again changed\n%s\nto\n%s", x.name, before, after)
		}
	}
	old, err := m.Create(ctx, &api.PathRequest{Session: session(2), Path: "/d/other"})
	if err == nil && old.Code == api.Code_OK && !old.Replayed {
		t.Errorf("a session's number that is long past did something: %v", old)
	}
	// The append, and its mutation at a secondary, once more.
	before, hash := c.picture(), c.hash()
	primary, secondary := c.chunkserverNamed(c.append.Primary), c.other(c.append.Primary)
	id := &api.DataId{Client: c.append.Session.Client, Seq: c.append.Session.Seq}
	reply, err := primary.RecordAppend(ctx, &api.AppendRequest{Id: id, Handle: c.append.Handle, Version: c.append.Version})
	if err != nil || reply.Code != api.Code_OK || reply.Offset != c.append.Offset || reply.Serial != c.append.Serial {
		t.Errorf("the append again: %v %v, first at %d", reply, err, c.append.Offset)
	}
	mutate := &api.MutateRequest{
		Id: id, Handle: c.append.Handle, Version: c.append.Version, Term: c.chunk.At.Term, Serial: c.append.Serial, Offset: c.append.Offset,
		Crc32C: api.Checksum([]byte("precious")), Settled: c.append.Serial - 1,
	}
	// It may be answered as done, which it was: the picture shows whether it was done
	// twice.
	if _, err := secondary.Mutate(ctx, mutate); status.Code(err) == codes.Unavailable || status.Code(err) == codes.DeadlineExceeded {
		t.Errorf("the mutation again: %v", err)
	}
	if after := c.picture(); after != before || c.hash() != hash {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	c.noPanic()
}

// chunkserverNamed is a client of the chunkserver with this name.
func (c *target) chunkserverNamed(name string) api.ChunkserverClient {
	c.t.Helper()
	for i, addr := range c.addresses {
		if fmt.Sprintf("cs%d", i+1) == name {
			return api.NewChunkserverClient(c.conns[addr])
		}
	}
	c.t.Fatalf("no chunkserver %q", name)
	return nil
}

// other is a client of a chunkserver with another name.
func (c *target) other(name string) api.ChunkserverClient {
	if name == "cs1" { // every chunk is on all of them
		return c.chunkserverNamed("cs2")
	}
	return c.chunkserverNamed("cs1")
}

// attack is a message with a wrong version, term, epoch, size or name, and how it
// says that it was refused.
type attack struct {
	name string
	call func(ctx context.Context) (proto.Message, error)
	want func(proto.Message, error) bool
}

func failsWith(want ...codes.Code) func(proto.Message, error) bool {
	return func(_ proto.Message, err error) bool {
		for _, code := range want {
			if status.Code(err) == code {
				return true
			}
		}
		return false
	}
}

func answers(want ...api.Code) func(proto.Message, error) bool {
	return func(m proto.Message, err error) bool {
		r, ok := m.(interface{ GetCode() api.Code })
		for _, code := range want {
			if err == nil && ok && r.GetCode() == code {
				return true
			}
		}
		return false
	}
}

func saysNo(m proto.Message, err error) bool {
	switch r := m.(type) {
	case *api.GrantReply:
		return err == nil && !r.Ok || status.Code(err) == codes.InvalidArgument
	case *api.ClaimReply:
		return err == nil && !r.Granted || status.Code(err) == codes.InvalidArgument
	}
	return false
}

// message fits a call's reply into an attack.
func message[T proto.Message](m T, err error) (proto.Message, error) { return m, err }

// Versions, terms and epochs that are not the chunk's, and masters and chunkservers
// that are somebody else's, are refused and change nothing.
func TestWrongVersionsTermsAndNames(t *testing.T) {
	c := newTarget(t, 3, 3)
	ctx := within(t, 2*patience)
	before, hash := c.picture(), c.hash()
	for _, a := range append(c.attacksOnChunkservers(), c.attacksOnMasters()...) {
		m, err := a.call(ctx)
		if !a.want(m, err) {
			t.Errorf("%s: %v %v", a.name, m, err)
		}
		if r, ok := m.(*api.MutationReply); ok && r.GetAt().GetIndex() != 0 {
			hash = c.hash() // it was refused in the log, which has a time: the picture has to do
		}
		if c.hash() != hash {
			t.Fatalf("%s changed the state", a.name)
		}
	}
	if after := c.picture(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	c.noPanic()
}

func (c *target) attacksOnChunkservers() []attack {
	primary, secondary := c.chunkserverNamed(c.append.Primary), c.other(c.append.Primary)
	handle, version, term, epoch := c.append.Handle, c.append.Version, c.chunk.At.Term, c.chunk.Epoch
	id := &api.DataId{Client: "hostile", Seq: 1}
	grant := func(version, epoch, term uint64, primary string) *api.GrantRequest {
		return &api.GrantRequest{Handle: handle, Version: version, Epoch: epoch, Term: term, Primary: primary, Replicas: c.append.Replicas, Addresses: c.chunk.Addresses}
	}
	mutate := func(change func(*api.MutateRequest)) func(context.Context) (proto.Message, error) {
		r := &api.MutateRequest{Id: id, Handle: handle, Version: version, Term: term, Serial: c.append.Serial + 1, Settled: c.append.Serial, Offset: 0}
		change(r)
		return func(ctx context.Context) (proto.Message, error) { return message(secondary.Mutate(ctx, r)) }
	}
	return []attack{
		{"a prepare of a lower version", func(ctx context.Context) (proto.Message, error) {
			return message(primary.PrepareGrant(ctx, grant(version-1, 0, term, "")))
		}, saysNo},
		{"a prepare of a lower term", func(ctx context.Context) (proto.Message, error) {
			return message(primary.PrepareGrant(ctx, grant(version+1, 0, term-1, "")))
		}, saysNo},
		{"an activation of a lower term", func(ctx context.Context) (proto.Message, error) {
			return message(primary.ActivateGrant(ctx, grant(version, epoch+1, term-1, c.append.Primary)))
		}, saysNo},
		{"an activation of a version that was never prepared", func(ctx context.Context) (proto.Message, error) {
			return message(primary.ActivateGrant(ctx, grant(version+5, epoch+1, term, c.append.Primary)))
		}, saysNo},
		{"an activation of another primary", func(ctx context.Context) (proto.Message, error) {
			return message(secondary.ActivateGrant(ctx, grant(version, epoch, term, c.append.Primary)))
		}, saysNo},
		{"a mutation of a lower version", mutate(func(r *api.MutateRequest) { r.Version-- }), answers(api.Code_STALE)},
		{"a mutation of a higher version", mutate(func(r *api.MutateRequest) { r.Version++ }), answers(api.Code_NO_CHUNK, api.Code_STALE)},
		{"a mutation of a lower term", mutate(func(r *api.MutateRequest) { r.Term-- }), answers(api.Code_STALE)},
		{"a mutation of another chunk", mutate(func(r *api.MutateRequest) { r.Handle = 1 << 40 }), answers(api.Code_NO_CHUNK)},
		{"a mutation without its data", mutate(func(*api.MutateRequest) {}), answers(api.Code_NOT_FOUND)},
		{"a mutation beyond the chunk", mutate(func(r *api.MutateRequest) { r.Offset = 1 << 50 }), failsWith(codes.InvalidArgument)},
		{"a pad beyond the chunk", mutate(func(r *api.MutateRequest) { r.PadTo = 1 << 50 }), failsWith(codes.InvalidArgument)},
		{"an append of another version", func(ctx context.Context) (proto.Message, error) {
			return message(primary.RecordAppend(ctx, &api.AppendRequest{Id: id, Handle: handle, Version: version + 1}))
		}, answers(api.Code_STALE)},
		{"an append at a secondary", func(ctx context.Context) (proto.Message, error) {
			return message(secondary.RecordAppend(ctx, &api.AppendRequest{Id: id, Handle: handle, Version: version}))
		}, failsWith(codes.FailedPrecondition)},
		{"an append without a name", func(ctx context.Context) (proto.Message, error) {
			return message(primary.RecordAppend(ctx, &api.AppendRequest{Handle: handle, Version: version}))
		}, failsWith(codes.InvalidArgument)},
		{"a push with a wrong sum", func(ctx context.Context) (proto.Message, error) {
			return message(primary.PushData(ctx, &api.PushRequest{Id: id, Data: []byte("junk"), Crc32C: 1}))
		}, failsWith(codes.InvalidArgument)},
		{"a push of more than a record", func(ctx context.Context) (proto.Message, error) {
			junk := make([]byte, 3<<20)
			return message(primary.PushData(ctx, &api.PushRequest{Id: id, Data: junk, Crc32C: api.Checksum(junk)}))
		}, failsWith(codes.InvalidArgument, codes.ResourceExhausted)},
		{"a write of another version", func(ctx context.Context) (proto.Message, error) {
			return message(primary.Write(ctx, &api.WriteRequest{Id: id, Handle: handle, Version: version + 1}))
		}, answers(api.Code_STALE)},
		{"a write to records", func(ctx context.Context) (proto.Message, error) {
			return message(primary.Write(ctx, &api.WriteRequest{Id: id, Handle: handle, Version: version}))
		}, answers(api.Code_WRONG_KIND)},
		{"a clone in the name of a lower term", func(ctx context.Context) (proto.Message, error) {
			return message(primary.Clone(ctx, &api.CloneRequest{Handle: handle, Version: version, Term: term - 1, Sources: []string{"127.0.0.1:1"}}))
		}, answers(api.Code_STALE)},
		{"a clone over what is newer", func(ctx context.Context) (proto.Message, error) {
			return message(primary.Clone(ctx, &api.CloneRequest{Handle: handle, Version: version - 1, Term: term, Sources: []string{"127.0.0.1:1"}}))
		}, func(m proto.Message, err error) bool {
			return answers(api.Code_STALE, api.Code_INVALID)(m, err) || failsWith(codes.InvalidArgument)(m, err)
		}},
		{"a copy in the name of a lower term", func(ctx context.Context) (proto.Message, error) {
			return message(primary.CopyChunk(ctx, &api.CopyChunkRequest{From: handle, Version: version, Term: term - 1, To: 1 << 41}))
		}, answers(api.Code_STALE)},
		{"a copy of another version", func(ctx context.Context) (proto.Message, error) {
			return message(primary.CopyChunk(ctx, &api.CopyChunkRequest{From: handle, Version: version + 1, Term: term, To: 1 << 41}))
		}, answers(api.Code_STALE, api.Code_NOT_FOUND)},
		{"a stream of nothing", stream(primary), failsWith(codes.InvalidArgument)},
		{"a stream without a name", stream(primary, &api.PushPiece{Size: 4, Data: []byte("junk")}), failsWith(codes.InvalidArgument)},
		{"a stream beyond all measure", stream(primary, &api.PushPiece{Id: id, Size: 1 << 60, Data: []byte("junk")}), failsWith(codes.InvalidArgument, codes.ResourceExhausted)},
		{"a stream of more than it said", stream(primary, &api.PushPiece{Id: id, Size: 4, Data: []byte("junk")}, &api.PushPiece{Data: []byte("more")}),
			failsWith(codes.InvalidArgument)},
		{"a stream of less than it said", stream(primary, &api.PushPiece{Id: id, Size: 9, Data: []byte("junk")}), failsWith(codes.InvalidArgument)},
		{"a stream with a wrong sum", stream(primary, &api.PushPiece{Id: id, Size: 4, Data: []byte("junk"), Crc32C: 1}), failsWith(codes.InvalidArgument)},
		{"a read of a later version", func(ctx context.Context) (proto.Message, error) {
			return message(primary.ReadChunk(ctx, &api.ReadChunkRequest{Handle: handle, Version: version + 1, Length: 10}))
		}, answers(api.Code_STALE)},
	}
}

// stream pushes pieces.
func stream(cs api.ChunkserverClient, pieces ...*api.PushPiece) func(context.Context) (proto.Message, error) {
	return func(ctx context.Context) (proto.Message, error) {
		s, err := cs.PushStream(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range pieces {
			if s.Send(p) != nil {
				break // CloseAndRecv tells why
			}
		}
		return message(s.CloseAndRecv())
	}
}

func (c *target) attacksOnMasters() []attack {
	handle, version, epoch := c.append.Handle, c.append.Version, c.chunk.Epoch
	claim := func(change func(*api.ClaimRequest)) func(context.Context) (proto.Message, error) {
		r := &api.ClaimRequest{Chunkserver: c.append.Primary, Handle: handle, Version: version, Epoch: epoch}
		change(r)
		return func(ctx context.Context) (proto.Message, error) { return message(c.m.ClaimLease(ctx, r)) }
	}
	beat := func(r *api.HeartbeatRequest) func(context.Context) (proto.Message, error) {
		return func(ctx context.Context) (proto.Message, error) { return message(c.m.Heartbeat(ctx, r)) }
	}
	seal := func(change func(*api.SealRequest)) func(context.Context) (proto.Message, error) {
		r := &api.SealRequest{Chunkserver: c.append.Primary, Handle: handle, Version: version, Epoch: epoch, Length: 1 << 20}
		change(r)
		return func(ctx context.Context) (proto.Message, error) { return message(c.m.Seal(ctx, r)) }
	}
	refused := answers(api.Code_STALE, api.Code_INVALID, api.Code_LEASE_HELD)
	long := make([]byte, 1<<20)
	for i := range long {
		long[i] = 'x'
	}
	path := func(p string) func(context.Context) (proto.Message, error) {
		return func(ctx context.Context) (proto.Message, error) {
			return message(c.m.Create(ctx, &api.PathRequest{Path: p}))
		}
	}
	return []attack{
		{"a claim of another version", claim(func(r *api.ClaimRequest) { r.Version++ }), saysNo},
		{"a claim of another epoch", claim(func(r *api.ClaimRequest) { r.Epoch-- }), saysNo},
		{"a claim of another chunkserver", claim(func(r *api.ClaimRequest) { r.Chunkserver = "cs9" }), saysNo},
		{"a claim of no chunk", claim(func(r *api.ClaimRequest) { r.Handle = 1 << 40 }), saysNo},
		{"a seal of another version", seal(func(r *api.SealRequest) { r.Version++ }), refused},
		{"a seal of another epoch", seal(func(r *api.SealRequest) { r.Epoch-- }), refused},
		{"a report of another cell", beat(&api.HeartbeatRequest{Cluster: "other", Chunkserver: "cs1", Address: "127.0.0.1:1", Boot: "x", Full: true}),
			failsWith(codes.FailedPrecondition)},
		{"a report of nobody", beat(&api.HeartbeatRequest{Address: "127.0.0.1:1", Full: true}), failsWith(codes.InvalidArgument)},
		{"a report from nowhere", beat(&api.HeartbeatRequest{Chunkserver: "cs1", Full: true}), failsWith(codes.InvalidArgument)},
		{"a path with a hidden name", path("/d/\x00f"), answers(api.Code_INVALID)},
		{"a path without a root", path("d/x"), answers(api.Code_INVALID)},
		{"a path with dots", path("/d/../x"), answers(api.Code_INVALID, api.Code_NOT_FOUND)},
		{"a path without end", path("/" + string(long)), answers(api.Code_INVALID)},
		{"a name of a client beyond all measure", func(ctx context.Context) (proto.Message, error) {
			return message(c.m.Create(ctx, &api.PathRequest{Session: &api.Session{Client: string(long), Seq: 1}, Path: "/d/x"}))
		}, func(m proto.Message, err error) bool {
			return answers(api.Code_INVALID)(m, err) || failsWith(codes.InvalidArgument, codes.ResourceExhausted)(m, err)
		}},
		{"a session without a number", func(ctx context.Context) (proto.Message, error) {
			return message(c.m.Create(ctx, &api.PathRequest{Session: &api.Session{Client: "hostile"}, Path: "/d/x"}))
		}, answers(api.Code_INVALID)},
	}
}
