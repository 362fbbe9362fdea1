package node_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"gfslab/internal/node"
)

// stranger is a client that knows the API from reflection alone: none of our
// generated code is in its way.
type stranger struct {
	t  *testing.T
	cc *grpc.ClientConn
	r  grpc.BidiStreamingClient[reflectionpb.ServerReflectionRequest, reflectionpb.ServerReflectionResponse]
}

func (s *stranger) ask(q *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
	s.t.Helper()
	if err := s.r.Send(q); err != nil {
		s.t.Fatal(err)
	}
	answer, err := s.r.Recv()
	if err != nil {
		s.t.Fatal(err)
	}
	if e := answer.GetErrorResponse(); e != nil {
		s.t.Fatal(e)
	}
	return answer
}

func (s *stranger) services() []string {
	s.t.Helper()
	var names []string
	list := s.ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	for _, x := range list.GetListServicesResponse().GetService() {
		names = append(names, x.GetName())
	}
	return names
}

// service fetches the descriptors of a service.
func (s *stranger) service(name string) protoreflect.ServiceDescriptor {
	s.t.Helper()
	answer := s.ask(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}})
	set := new(descriptorpb.FileDescriptorSet)
	for _, raw := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
		f := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(raw, f); err != nil {
			s.t.Fatal(err)
		}
		set.File = append(set.File, f)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return d.(protoreflect.ServiceDescriptor)
}

// call makes a call whose request and reply are maps of field names to values.
func (s *stranger) call(service protoreflect.ServiceDescriptor, method string, fields map[string]any) protoreflect.Message {
	s.t.Helper()
	m := service.Methods().ByName(protoreflect.Name(method))
	request, reply := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	for name, value := range fields {
		request.Set(m.Input().Fields().ByName(protoreflect.Name(name)), protoreflect.ValueOf(value))
	}
	if err := s.cc.Invoke(within(s.t, patience), "/"+string(service.FullName())+"/"+method, request, reply); err != nil {
		s.t.Fatal(err)
	}
	return reply
}

func field(m protoreflect.Message, name string) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

// A client that is not ours lists the services and calls them, on masters and
// chunkservers.
func TestReflectionServesForeignClients(t *testing.T) {
	c := serveCell(t, node.MultiPaxos, 3, 1)
	lead := c.leader()
	strange := func(addr string) *stranger {
		s := &stranger{t: t, cc: c.dial(addr)}
		var err error
		if s.r, err = reflectionpb.NewServerReflectionClient(s.cc).ServerReflectionInfo(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		return s
	}
	m := strange(c.peers[lead].Addr)
	for _, name := range []string{"gfslab.v1.Master", "gfslab.v1.Admin", "grpc.health.v1.Health"} {
		if !slices.Contains(m.services(), name) {
			t.Errorf("a master lists %v, without %s", m.services(), name)
		}
	}
	master := m.service("gfslab.v1.Master")
	if code := field(m.call(master, "Mkdir", map[string]any{"path": "/from"}), "code").Enum(); code != 0 {
		t.Fatalf("Mkdir: %d", code)
	}
	if code := field(m.call(master, "Create", map[string]any{"path": "/from/afar"}), "code").Enum(); code != 0 {
		t.Fatalf("Create: %d", code)
	}
	names := field(m.call(master, "List", map[string]any{"path": "/from"}), "names").List()
	if names.Len() != 1 || names.Get(0).String() != "afar" {
		t.Errorf("List: %v", names)
	}
	again := m.call(master, "Create", map[string]any{"path": "/from/afar"})
	if name := again.Descriptor().Fields().ByName("code").Enum().Values().ByNumber(field(again, "code").Enum()).Name(); name != "EXISTS" {
		t.Errorf("Create again: %s", name)
	}
	s := strange(c.addresses[0])
	if list := s.services(); !slices.Contains(list, "gfslab.v1.Chunkserver") {
		t.Errorf("a chunkserver lists %v", list)
	}
	read := s.call(s.service("gfslab.v1.Chunkserver"), "ReadChunk", map[string]any{"handle": uint64(12345), "version": uint64(1), "length": uint32(10)})
	if name := read.Descriptor().Fields().ByName("code").Enum().Values().ByNumber(field(read, "code").Enum()).Name(); name != "NOT_FOUND" && name != "NO_CHUNK" {
		t.Errorf("ReadChunk of nothing: %s", name)
	}
}

// Health says SERVING when the node can serve, and NOT_SERVING from the moment
// that it begins to stop, while its calls in progress end.
func TestHealthFollowsTheNode(t *testing.T) {
	c := serveCell(t, node.EtcdRaft, 3, 1)
	lead := c.leader()
	watch := func(addr, service string) grpc.ServerStreamingClient[healthpb.HealthCheckResponse] {
		t.Helper()
		w, err := healthpb.NewHealthClient(c.dial(addr)).Watch(within(t, patience), &healthpb.HealthCheckRequest{Service: service})
		c.must(err)
		return w
	}
	await := func(what string, w grpc.ServerStreamingClient[healthpb.HealthCheckResponse], want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for {
			r, err := w.Recv()
			if err != nil {
				t.Fatalf("%s: %v before %v", what, err, want)
			}
			if r.Status == want {
				return
			}
		}
	}
	m, whole := watch(c.peers[lead].Addr, "gfslab.v1.Master"), watch(c.peers[lead].Addr, "")
	s := watch(c.addresses[0], "gfslab.v1.Chunkserver")
	await("master", m, healthpb.HealthCheckResponse_SERVING)
	await("master's node", whole, healthpb.HealthCheckResponse_SERVING)
	await("chunkserver", s, healthpb.HealthCheckResponse_SERVING)
	// The watches are calls in progress, and would keep both until the end.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var retired sync.WaitGroup
	retired.Go(func() { c.masters[lead].Retire(ctx) })
	retired.Go(func() { c.chunkservers[0].Retire(ctx) })
	await("master", m, healthpb.HealthCheckResponse_NOT_SERVING)
	await("chunkserver", s, healthpb.HealthCheckResponse_NOT_SERVING)
	c.eventually("another master to lead after one handed over", func() bool {
		next := c.masters[lead].Replica().Status().Leader
		return next != 0 && next != c.peers[lead].ID
	})
	cancel()
	retired.Wait()
}
