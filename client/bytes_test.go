package client

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// shelf is a chunkserver that answers as it is told.
type shelf struct {
	api.UnimplementedChunkserverServer
	mu     sync.Mutex
	reads  int
	answer func(*api.ReadChunkRequest) (*api.ReadChunkReply, error)
	sum    func() (*api.ChecksumReply, error)
}

func (s *shelf) ReadChunk(ctx context.Context, r *api.ReadChunkRequest) (*api.ReadChunkReply, error) {
	s.mu.Lock()
	s.reads++
	answer := s.answer
	s.mu.Unlock()
	if answer == nil {
		return nil, hang(ctx)
	}
	return answer(r)
}

// asked is how many reads came, answered or not.
func (s *shelf) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

func (s *shelf) ChecksumChunk(context.Context, *api.ChecksumRequest) (*api.ChecksumReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sum()
}

// whole answers with a range of the text.
func whole(text string) func(*api.ReadChunkRequest) (*api.ReadChunkReply, error) {
	return func(r *api.ReadChunkRequest) (*api.ReadChunkReply, error) {
		from := min(int(r.Offset), len(text))
		data := []byte(text[from:min(from+int(r.Length), len(text))])
		return &api.ReadChunkReply{Data: data, End: uint64(len(text)), Version: 5, Kind: api.ChunkKind_BYTES, Crc32C: api.Checksum(data)}, nil
	}
}

func code(c api.Code) func(*api.ReadChunkRequest) (*api.ReadChunkReply, error) {
	return func(*api.ReadChunkRequest) (*api.ReadChunkReply, error) {
		return &api.ReadChunkReply{Code: c, Version: 4}, nil
	}
}

// shelves are three chunkservers with replicas of chunk 7.
func (w *world) shelves() map[string]*shelf {
	all := map[string]*shelf{}
	reply := &api.ChunkReply{Handle: 7, Version: 5, Kind: api.ChunkKind_BYTES, Addresses: map[string]string{}, At: &api.Position{Index: 1}}
	for _, name := range []string{"a", "b", "c"} {
		s := &shelf{answer: whole("0123456789")}
		all[name] = s
		w.serve(name, func(g *grpc.Server) { api.RegisterChunkserverServer(g, s) })
		reply.Replicas, reply.Addresses[name] = append(reply.Replicas, name), name
	}
	for _, m := range w.masters {
		m.info = func() *api.ChunkReply { return reply }
	}
	return all
}

func (s *scripted) ChunkInfo(ctx context.Context, _ *api.LeaseRequest) (*api.ChunkReply, error) {
	s.mu.Lock()
	s.infos++
	info := s.info
	s.mu.Unlock()
	if err := s.step(ctx); err != nil {
		return nil, err
	}
	return info(), nil
}

// A replica that is stale, damaged, gone or garbled on the way is passed over.
func TestReadPassesOverBadReplicas(t *testing.T) {
	for name, bad := range map[string]func(*api.ReadChunkRequest) (*api.ReadChunkReply, error){
		"stale":   code(api.Code_STALE),
		"corrupt": code(api.Code_CORRUPT),
		"absent":  code(api.Code_NOT_FOUND),
		"dead": func(*api.ReadChunkRequest) (*api.ReadChunkReply, error) {
			return nil, status.Error(codes.Unavailable, "")
		},
		"too much": func(*api.ReadChunkRequest) (*api.ReadChunkReply, error) {
			return &api.ReadChunkReply{Data: []byte("0123456789"), End: 10, Crc32C: api.Checksum([]byte("0123456789"))}, nil
		},
		"garbled": func(*api.ReadChunkRequest) (*api.ReadChunkReply, error) {
			return &api.ReadChunkReply{Data: []byte("0x"), End: 10, Crc32C: api.Checksum([]byte("01"))}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				s := w.shelves()
				s["a"].answer, s["b"].answer = bad, bad
				for _, first := range []string{"a", "b", "c"} {
					r := w.client.ReadBytes(context.Background(), 7, 3, 4, WithReplica(first))
					if r.Outcome != OK || string(r.Data) != "3456" || r.End != 10 || r.Replica != "c" || r.Kind != api.ChunkKind_BYTES {
						t.Fatalf("%+v", r)
					}
				}
				s["c"].answer = bad
				ctx, cancel := within(time.Second)
				defer cancel()
				if r := w.client.ReadBytes(ctx, 7, 3, 4); r.Outcome != Fail || r.Err == nil || len(r.Data) != 0 {
					t.Errorf("of no good replica: %+v", r)
				}
			})
		})
	}
}

// A chunkserver that hangs holds up one read, not every third.
func TestSilentReplicaIsAskedLast(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.shelves()
		s["b"].answer = nil
		begin := time.Now()
		for range 30 {
			if r := w.client.ReadBytes(context.Background(), 7, 0, 10); r.Outcome != OK {
				t.Fatal(r.Err)
			}
		}
		if d := time.Since(begin); d != 750*time.Millisecond {
			t.Errorf("30 reads took %v, want the time of one that hangs", d)
		}
		time.Sleep(silence)
		for range 10 {
			w.client.ReadBytes(context.Background(), 7, 0, 10)
		}
		if n := s["b"].asked(); n != 2 {
			t.Errorf("the silent one was asked %d times, want once more after a while", n)
		}
	})
}

// Where replicas are is asked again when the answer is old, and only then.
func TestLocationsTimeOut(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.shelves()
		asked := func() (n int) {
			for _, m := range w.masters {
				m.mu.Lock()
				n += m.infos
				m.mu.Unlock()
			}
			return n
		}
		for i := range 7 {
			if r := w.client.ReadBytes(context.Background(), 7, 0, 1); r.Outcome != OK {
				t.Fatal(r.Err)
			}
			// One every 20 s: a location of 60 s serves three of them.
			if want := 1 + i/3; asked() != want {
				t.Errorf("after %d s the masters were asked %d times, want %d", 20*i, asked(), want)
			}
			time.Sleep(20 * time.Second)
		}
	})
}

// A leader that is warming up knows less than there is: what it does not know is
// asked again, not taken for lost.
func TestWarmingUpIsWaitedFor(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.shelves()
		known, warm := w.masters[0].info, time.Now().Add(3*time.Second)
		for _, m := range w.masters {
			m.info = func() *api.ChunkReply {
				if time.Now().Before(warm) {
					return &api.ChunkReply{Code: api.Code_WARMING_UP, Handle: 7, Version: 5, At: &api.Position{Index: 1}}
				}
				return known()
			}
		}
		if r := w.client.ReadBytes(context.Background(), 7, 0, 10); r.Outcome != OK || string(r.Data) != "0123456789" {
			t.Fatalf("%+v", r)
		}
		if time.Now().Before(warm) {
			t.Error("it was not waited for")
		}
		w.client.chunks = map[uint64]location{}
		for _, m := range w.masters {
			m.info = func() *api.ChunkReply { return &api.ChunkReply{Handle: 7, At: &api.Position{Index: 1}} }
		}
		if r := w.client.ReadBytes(context.Background(), 7, 0, 10); r.Outcome != OK || len(r.Data) != 0 || r.Replica != "" {
			t.Errorf("of a chunk without a grant: %+v", r)
		}
	})
}

func TestSumsTellOfEveryReplica(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.shelves()
		s["a"].sum = func() (*api.ChecksumReply, error) {
			return &api.ChecksumReply{Crc32C: 1, End: 10, ChunkBytes: 64}, nil
		}
		s["b"].sum = func() (*api.ChecksumReply, error) {
			return &api.ChecksumReply{Code: api.Code_CORRUPT, Crc32C: 1, End: 10}, nil
		}
		s["c"].sum = func() (*api.ChecksumReply, error) { return nil, status.Error(codes.Unavailable, "gone") }
		sums, c, err := w.client.Sums(context.Background(), 7)
		if err != nil || c != api.Code_OK || len(sums) != 3 {
			t.Fatalf("%v %v %v", sums, c, err)
		}
		for i, want := range []string{"", "CORRUPT", "gone"} {
			got := ""
			if sums[i].Err != nil {
				got = sums[i].Err.Error()
			}
			if (want == "") != (got == "") || !strings.Contains(got, want) {
				t.Errorf("replica %s: %q, want %q", sums[i].Replica, got, want)
			}
		}
		if sums[0].CRC != 1 || sums[0].End != 10 || sums[0].ChunkBytes != 64 {
			t.Errorf("%+v", sums[0])
		}
	})
}
