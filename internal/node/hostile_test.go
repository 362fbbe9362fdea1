package node_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"gfslab/api"
	"gfslab/client"
	"gfslab/internal/node"
)

// rawCodec sends and receives bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func (rawCodec) Name() string { return "proto" }

var _ encoding.CodecV2 = rawCodec{}

// target is a cell with something to lose: a tree, a chunk with records, a lease.
type target struct {
	*served
	lead   int
	chunk  *api.ChunkReply
	append client.AppendResult
	conns  map[string]*grpc.ClientConn
	m      api.MasterClient
}

func newTarget(t testing.TB, masters, chunkservers int) *target {
	c := &target{served: serveCell(t, node.MultiPaxos, masters, chunkservers), conns: map[string]*grpc.ClientConn{}}
	c.lead = c.leader()
	for _, p := range c.peers {
		c.conns[p.Addr] = c.dial(p.Addr)
	}
	for _, addr := range c.addresses {
		c.conns[addr] = c.dial(addr)
	}
	c.m = api.NewMasterClient(c.conns[c.peers[c.lead].Addr])
	conns := client.NewConns(nil, 0)
	t.Cleanup(func() { _ = conns.Close() })
	o := client.Options{Name: "victim", Conns: conns, OpTimeout: patience, AttemptTimeout: 5 * time.Second, LeaseTimeout: 5 * time.Second, DataTimeout: 5 * time.Second}
	for _, p := range c.peers {
		o.Masters = append(o.Masters, client.Master{ID: uint64(p.ID), Addr: p.Addr})
	}
	cl, err := client.New(o)
	c.must(err)
	ctx := within(t, patience)
	c.must(cl.Mkdir(ctx, "/d").Err)
	c.must(cl.Create(ctx, "/d/f").Err)
	for range 3 {
		c.append = cl.RecordAppend(ctx, "/d/f", []byte("precious"))
		if c.append.Outcome != client.OK || c.append.Code != api.Code_OK {
			t.Fatalf("append: %+v", c.append)
		}
	}
	c.chunk = cl.ChunkInfo(ctx, c.append.Handle).Reply
	return c
}

// picture is all that a client can see: names, ids, chunks, versions, and the bytes
// of every replica.
func (c *target) picture() string {
	c.t.Helper()
	var b strings.Builder
	ctx := within(c.t, patience)
	list, err := c.m.List(ctx, &api.ListRequest{Path: "/", Recursive: true, Long: true})
	c.must(err)
	for _, e := range list.Entries {
		fmt.Fprintf(&b, "%s id %d chunks %d\n", e.Name, e.Id, e.Chunks)
	}
	for _, path := range []string{"/", "/d", "/d/f", "/d/new", "/d/new/f", "/d/new/g"} {
		s, err := c.m.Stat(ctx, &api.ReadRequest{Path: path})
		c.must(err)
		list, err := c.m.List(ctx, &api.ListRequest{Path: path})
		c.must(err)
		fmt.Fprintln(&b, list.Names)
		fmt.Fprintf(&b, "%s: %v %v %v %v\n", path, s.Code, s.Id, s.Chunks, s.Own)
	}
	info, err := c.m.ChunkInfo(ctx, &api.LeaseRequest{Handle: c.append.Handle})
	c.must(err)
	fmt.Fprintf(&b, "chunk %d version %d epoch %d primary %s of %v\n", info.Handle, info.Version, info.Epoch, info.Primary, info.Replicas)
	for i, addr := range c.addresses {
		r, err := api.NewChunkserverClient(c.conns[addr]).ReadChunk(ctx, &api.ReadChunkRequest{Handle: info.Handle, Version: info.Version, Length: 4096})
		c.must(err)
		fmt.Fprintf(&b, "at %s: %v version %d end %d %x, %d mutations, %d chunks\n", addr, r.Code, r.Version, r.End, api.Checksum(r.Data),
			c.chunkservers[i].Counters().Mutations, c.chunkservers[i].Levels().Chunks)
	}
	return b.String()
}

// hash is the state's, of the leader.
func (c *target) hash() string { return c.masters[c.lead].Machine().Hash() }

// noPanic fails if a handler of some node panicked.
func (c *target) noPanic() {
	c.t.Helper()
	if text := c.log.String(); strings.Contains(text, "panicked") {
		c.t.Errorf("a handler panicked:\n%s", text)
	}
}

// Bytes that are no protocol at all end their own connection at most.
func TestHostileConnections(t *testing.T) {
	const seed = 41
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	c := newTarget(t, 3, 3)
	before, hash := c.picture(), c.hash()
	preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	noise := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return string(b)
	}
	greetings := []string{"", "g", "gfsw", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01", preface, preface[:10], preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"}
	for range 12 {
		greetings = append(greetings, noise(1+rng.IntN(4000)), "gfsw"+noise(rng.IntN(4000)), preface+noise(rng.IntN(4000)),
			preface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"+noise(rng.IntN(4000)))
	}
	for _, greeting := range greetings {
		for _, addr := range []string{c.peers[c.lead].Addr, c.addresses[0]} {
			conn, err := net.Dial("tcp", addr)
			c.must(err)
			_, _ = conn.Write([]byte(greeting)) // it may be closed amid the noise
			if rng.IntN(2) == 0 {
				defer conn.Close() // it hangs about meanwhile
			} else {
				conn.Close()
			}
		}
	}
	if after := c.picture(); after != before || c.hash() != hash {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	c.noPanic()
}

// method is a call that a stranger can make.
type method struct {
	addr, name string
	request    proto.Message
}

// methods lists the calls, each with a request that is well-formed and refused:
// what it names is not there, or is no more.
func (c *target) methods() []method {
	master, server := c.peers[c.lead].Addr, c.addresses[0]
	missing := &api.PathRequest{Session: &api.Session{Client: "hostile", Seq: 1}, Path: "/no/such"}
	lease := &api.LeaseRequest{Session: &api.Session{Client: "hostile", Seq: 1}, Handle: 1 << 40}
	grant := &api.GrantRequest{Handle: c.append.Handle, Version: c.append.Version, Epoch: 1, Term: 1, Primary: "cs1", Replicas: []string{"cs1", "cs2"},
		Addresses: map[string]string{"cs2": "127.0.0.1:1"}}
	id := &api.DataId{Client: "hostile", Seq: 1}
	seven := uint64(7)
	list := []method{
		{master, "Master/Create", missing}, {master, "Master/Mkdir", missing},
		{master, "Master/Delete", &api.DeleteRequest{Path: "/no/such", Recursive: true, Id: 77}},
		{master, "Master/Undelete", &api.UndeleteRequest{Path: "/no/such", Id: 77}},
		{master, "Master/Rename", &api.RenameRequest{From: "/no/such", To: "/no/more"}},
		{master, "Master/Snapshot", &api.SnapshotTreeRequest{From: "/no/such", To: "/no/more"}},
		{master, "Master/SetAttributes", &api.SetAttributesRequest{Path: "/no/such", Set: &api.Attributes{MaxFiles: &seven}, Clear: []string{"retention"}}},
		{master, "Master/AllocateChunk", &api.AllocateRequest{Path: "/no/such", ChunkIndex: 3}},
		{master, "Master/Stat", &api.ReadRequest{Path: "/no/such"}}, {master, "Master/List", &api.ListRequest{Path: "/no/such", Long: true, After: "x", Limit: 3}},
		{master, "Master/Usage", &api.ReadRequest{Path: "/no/such"}}, {master, "Master/FindLocation", &api.LocationRequest{Path: "/no/such"}},
		{master, "Master/FindLeaseHolder", lease}, {master, "Master/RevokeLease", lease}, {master, "Master/ChunkInfo", lease},
		{master, "Master/Seal", &api.SealRequest{Chunkserver: "cs1", Handle: c.append.Handle, Version: c.append.Version - 1, Epoch: 1, Length: 5}},
		{master, "Master/ClaimLease", &api.ClaimRequest{Chunkserver: "cs1", Handle: c.append.Handle, Version: c.append.Version - 1, Epoch: 1}},
		{master, "Admin/ChangeMembers", &api.ChangeMembersRequest{Remove: []uint64{99}}},
		{server, "Chunkserver/PrepareGrant", grant}, {server, "Chunkserver/ActivateGrant", grant}, {server, "Chunkserver/EndLease", grant},
		{server, "Chunkserver/PushData", &api.PushRequest{Id: id, Data: []byte("junk"), Crc32C: 1}},
		{server, "Chunkserver/RecordAppend", &api.AppendRequest{Id: id, Handle: c.append.Handle, Version: c.append.Version - 1}},
		{server, "Chunkserver/Write", &api.WriteRequest{Id: id, Handle: c.append.Handle, Version: c.append.Version - 1, Offset: 3}},
		{server, "Chunkserver/Mutate", &api.MutateRequest{Id: id, Handle: c.append.Handle, Version: c.append.Version - 1, Term: 1, Serial: 1}},
		{server, "Chunkserver/ReadChunk", &api.ReadChunkRequest{Handle: 1 << 40, Version: 3, Length: 10}},
		{server, "Chunkserver/Clone", &api.CloneRequest{Handle: c.append.Handle, Version: 1, Term: 1, Sources: []string{"127.0.0.1:1"}}},
		{server, "Chunkserver/CopyChunk", &api.CopyChunkRequest{From: c.append.Handle, Version: 1, Term: 1, To: 1 << 41}},
		{server, "Chunkserver/ChecksumChunk", &api.ChecksumRequest{Handle: 1 << 40, Version: 1}},
	}
	return list
}

// send makes the call with these bytes, and returns the reply's code: its own if it
// has one that is not OK, else the status.
func (c *target) send(m method, body []byte) (refused bool, err error) {
	var raw []byte
	ctx := within(c.t, patience)
	err = c.conns[m.addr].Invoke(ctx, "/gfslab.v1."+m.name, body, &raw, grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		return true, err
	}
	return refuses(m.name, raw), nil
}

// refuses reads from a reply whether it says no.
func refuses(name string, raw []byte) bool {
	service, call, _ := strings.Cut(name, "/")
	for _, file := range []protoreflect.FileDescriptor{api.File_gfs_proto, api.File_admin_proto} {
		s := file.Services().ByName(protoreflect.Name(service))
		if s == nil {
			continue
		}
		reply := newMessage(s.Methods().ByName(protoreflect.Name(call)).Output())
		if proto.Unmarshal(raw, reply.Interface()) != nil {
			return false
		}
		for _, said := range []string{"code", "ok", "granted"} {
			if f := reply.Descriptor().Fields().ByName(protoreflect.Name(said)); f != nil {
				switch v := reply.Get(f).Interface().(type) {
				case protoreflect.EnumNumber:
					return v != 0
				case bool:
					return !v
				}
			}
		}
	}
	return false
}

// Requests that are random, cut short, altered or too large are answered, by an
// error or a refusal, and change nothing.
func TestHostileRequests(t *testing.T) {
	const seed, rounds = 42, 60
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	c := newTarget(t, 3, 3)
	before := c.picture()
	answers := map[string]int{}
	for _, m := range c.methods() {
		body, err := proto.Marshal(m.request)
		c.must(err)
		try := func(what string, b []byte) {
			t.Helper()
			refused, err := c.send(m, b)
			switch code := status.Code(err); {
			case code == codes.DeadlineExceeded || code == codes.Unavailable || code == codes.Unknown:
				t.Errorf("%s, %s: %v", m.name, what, err)
			case !refused && !harmless(m.name):
				t.Errorf("%s, %s %x: not refused", m.name, what, b)
			default:
				answers[code.String()]++
			}
		}
		try("as it is", body)
		try("nothing", nil)
		if _, err := c.send(m, make([]byte, 17<<20)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s, oversized: %v, want ResourceExhausted", m.name, err)
		}
		for range rounds {
			try("cut short", body[:rng.IntN(len(body)+1)])
			junk := make([]byte, rng.IntN(200))
			for i := range junk {
				junk[i] = byte(rng.Uint32())
			}
			try("random", junk)
			try("with a tail", append(bytes.Clone(body), junk...))
		}
	}
	t.Logf("answers: %v", answers)
	if answers["Internal"] == 0 {
		t.Error("no message failed to decode: the junk was none") // gRPC answers Internal to what protobuf cannot read
	}
	if after := c.picture(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	c.noPanic()
	again, err := c.m.Create(within(t, patience), &api.PathRequest{Path: "/d/after"})
	if err != nil || again.Code != api.Code_OK {
		t.Errorf("the cell does not serve any more: %v %v", again, err)
	}
}

// harmless calls change nothing that lasts, whatever they answer.
func harmless(name string) bool {
	switch name {
	case "Master/Stat", "Master/List", "Master/Usage", "Master/FindLocation", "Master/ChunkInfo", "Chunkserver/ReadChunk", "Chunkserver/ChecksumChunk",
		"Chunkserver/EndLease", "Chunkserver/PushData":
		return true
	}
	return false
}

func newMessage(d protoreflect.MessageDescriptor) protoreflect.Message {
	return dynamicpb.NewMessage(d)
}

// FuzzHostileRequests: whatever a stranger sends is answered, trips nobody, and
// changes nothing unless it is answered as done.
func FuzzHostileRequests(f *testing.F) {
	c := newTarget(f, 1, 1)
	methods := slices.DeleteFunc(c.methods(), func(m method) bool {
		return m.name == "Admin/ChangeMembers" // an operator may take the only master's majority away
	})
	for i, m := range methods {
		body, err := proto.Marshal(m.request)
		c.must(err)
		f.Add(byte(i), body)
	}
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		c.t = t
		m := methods[int(which)%len(methods)]
		before := c.picture()
		refused, err := c.send(m, body)
		certain := true
		switch status.Code(err) {
		case codes.Unavailable, codes.Unknown:
			t.Fatalf("%s %x: %v", m.name, body, err)
		case codes.DeadlineExceeded, codes.Aborted: // it waits for a lease or another server, or does not know the outcome
			certain = false
		}
		if after := c.picture(); refused && certain && !harmless(m.name) && after != before {
			t.Fatalf("%s %x was refused, and changed\n%s\nto\n%s", m.name, body, before, after)
		}
		c.noPanic()
	})
}
