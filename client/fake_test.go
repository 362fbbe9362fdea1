package client

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/consensus/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is a master that answers as it is told.
type scripted struct {
	api.UnimplementedMasterServer
	id uint64

	mu     sync.Mutex
	script []func(context.Context) error // one a call; the last one repeats
	calls  []*api.PathRequest
	reads  int
	stat   *api.StatReply // answered to every Stat, whatever the script says
	lists  []*api.ListRequest
	at     uint64 // the index of every List's reply
	info   func() *api.ChunkReply
	infos  int
}

func (s *scripted) step(ctx context.Context) error {
	s.mu.Lock()
	var do func(context.Context) error
	if len(s.script) > 0 {
		do = s.script[0]
		if len(s.script) > 1 {
			s.script = s.script[1:]
		}
	}
	s.mu.Unlock()
	if do == nil {
		return nil
	}
	return do(ctx)
}

func (s *scripted) Create(ctx context.Context, r *api.PathRequest) (*api.MutationReply, error) {
	s.mu.Lock()
	s.calls = append(s.calls, r)
	s.mu.Unlock()
	if err := s.step(ctx); err != nil {
		return nil, err
	}
	return &api.MutationReply{At: &api.Position{Index: s.id}}, nil
}

func (s *scripted) Stat(ctx context.Context, _ *api.ReadRequest) (*api.StatReply, error) {
	s.mu.Lock()
	s.reads++
	known := s.stat
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	if err := s.step(ctx); err != nil {
		return nil, err
	}
	return &api.StatReply{Code: api.Code_NOT_FOUND, At: &api.Position{Index: s.id}}, nil
}

// received are the creates that arrived so far.
func (s *scripted) received() []*api.PathRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*api.PathRequest(nil), s.calls...)
}

func ok(context.Context) error { return nil }

func answer(c codes.Code) func(context.Context) error {
	return func(context.Context) error { return status.Error(c, "scripted") }
}

func redirect(to uint64) func(context.Context) error {
	return func(context.Context) error {
		s, err := status.New(codes.FailedPrecondition, "not leader").WithDetails(&api.NotLeader{Leader: to})
		if err != nil {
			return err
		}
		return s.Err()
	}
}

func hang(ctx context.Context) error {
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

// world is three scripted masters and a client in a bubble.
type world struct {
	masters []*scripted
	client  *Client
	serve   func(addr string, register func(*grpc.Server))
}

func inWorld(t *testing.T, run func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		network := wire.NewMemory()
		var serving sync.WaitGroup
		var servers []*grpc.Server
		w := &world{serve: func(addr string, register func(*grpc.Server)) {
			l, err := network.Listen(addr)
			if err != nil {
				t.Fatal(err)
			}
			g := grpc.NewServer(grpc.WaitForHandlers(true))
			register(g)
			servers = append(servers, g)
			serving.Go(func() { _ = g.Serve(l) })
		}}
		o := Options{Name: "client", Seed: 3}
		t.Logf("seed %d", o.Seed)
		for id := uint64(1); id <= 3; id++ {
			m := &scripted{id: id}
			w.masters = append(w.masters, m)
			addr := fmt.Sprintf("m%d", id)
			o.Masters = append(o.Masters, Master{ID: id, Addr: addr})
			w.serve(addr, func(g *grpc.Server) { api.RegisterMasterServer(g, m) })
		}
		o.Conns = NewConns(network.Dial, 0)
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		w.client = c
		run(t, w)
		if err := o.Conns.Close(); err != nil {
			t.Error(err)
		}
		for _, g := range servers {
			g.Stop()
		}
		serving.Wait()
	})
}

// all gives every master the same script.
func (w *world) all(script ...func(context.Context) error) {
	for _, m := range w.masters {
		m.mu.Lock()
		m.script = append([]func(context.Context) error(nil), script...)
		m.mu.Unlock()
	}
}

func within(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func TestOutcomes(t *testing.T) {
	for _, x := range []struct {
		name   string
		script []func(context.Context) error
		want   Outcome
	}{
		{"answered", []func(context.Context) error{ok}, OK},
		{"never led", []func(context.Context) error{redirect(0)}, Fail},
		{"always full", []func(context.Context) error{answer(codes.ResourceExhausted)}, Fail},
		{"refused for its form", []func(context.Context) error{answer(codes.InvalidArgument)}, Fail},
		{"aborted to the end", []func(context.Context) error{answer(codes.Aborted)}, Unknown},
		{"no answer", []func(context.Context) error{hang}, Unknown},
		{"precondition without the detail", []func(context.Context) error{answer(codes.FailedPrecondition)}, Unknown},
		{"unavailable", []func(context.Context) error{answer(codes.Unavailable)}, Unknown},
		{"aborted once, then never led", []func(context.Context) error{answer(codes.Aborted), redirect(0)}, Unknown},
		{"aborted once, then refused", []func(context.Context) error{answer(codes.Aborted), answer(codes.InvalidArgument)}, Unknown},
		{"aborted once, then answered", []func(context.Context) error{answer(codes.Aborted), ok}, OK},
		{"full, then answered", []func(context.Context) error{answer(codes.ResourceExhausted), ok}, OK},
	} {
		t.Run(x.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.all(x.script...)
				ctx, cancel := within(time.Second)
				defer cancel()
				begin := time.Now()
				r := w.client.Create(ctx, "/f")
				if r.Outcome != x.want || (r.Err == nil) != (x.want == OK) || (r.Reply != nil) != (x.want == OK) {
					t.Fatalf("%v, reply %v, error %v; want %v", r.Outcome, r.Reply, r.Err, x.want)
				}
				if d := time.Since(begin); d > time.Second {
					t.Errorf("it took %v", d)
				}
				seen := 0
				for _, m := range w.masters {
					for _, call := range m.received() {
						seen++
						if call.Session.Client != "client" || call.Session.Seq != 1 {
							t.Errorf("an attempt with session %v", call.Session)
						}
					}
				}
				if seen == 0 || seen != len(r.Attempts) {
					t.Errorf("%d calls arrived, %d attempts recorded", seen, len(r.Attempts))
				}
				// The next operation has a session of its own, a new name if the
				// end of the last one is not known.
				w.all(ok)
				next := w.client.Create(context.Background(), "/g").Session
				want := Session{Client: "client", Seq: 2}
				if x.want == Unknown {
					want = Session{Client: "client.1", Seq: 1}
				}
				if next != want {
					t.Errorf("next session %v, want %v", next, want)
				}
			})
		})
	}
}

func TestReadsWithoutAnAnswerFail(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.all(hang)
		ctx, cancel := within(time.Second)
		defer cancel()
		if r := w.client.Stat(ctx, "/f"); r.Outcome != Fail || r.Err == nil || len(r.Attempts) < 3 {
			t.Fatalf("%v after %d attempts: %v", r.Outcome, len(r.Attempts), r.Err)
		}
	})
}

func TestHintIsFollowedAtOnceAndRemembered(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.masters[0].script = []func(context.Context) error{redirect(3)}
		w.masters[1].script = []func(context.Context) error{redirect(3)}
		begin := time.Now()
		r := w.client.Create(context.Background(), "/f", WithFirst(1))
		if r.Outcome != OK || r.Node != 3 || len(r.Attempts) != 2 || r.Attempts[0].Node != "m1" {
			t.Fatalf("%v from %d after %v", r.Outcome, r.Node, r.Attempts)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("following a hint took %v", d)
		}
		if r := w.client.Create(context.Background(), "/g"); len(r.Attempts) != 1 || r.Node != 3 {
			t.Errorf("the leader was forgotten: %v", r.Attempts)
		}
		// A hint to one's own is no endless loop without a pause.
		w.all(redirect(1), redirect(1), redirect(1), redirect(1), redirect(1), redirect(1), ok)
		if r := w.client.Create(context.Background(), "/h"); r.Outcome != OK {
			t.Errorf("%v", r.Err)
		}
	})
}

// A deposed leader that does not answer takes one attempt, not the operation.
func TestSilentLeaderIsLeftAfterOneAttempt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		first := w.client.Leader()
		w.masters[first-1].script = []func(context.Context) error{hang}
		begin := time.Now()
		r := w.client.Create(context.Background(), "/f")
		if r.Outcome != OK || time.Since(begin) > 300*time.Millisecond {
			t.Fatalf("%v after %v: %v", r.Outcome, time.Since(begin), r.Attempts)
		}
		if w.client.Leader() == first {
			t.Error("it goes on asking the silent one")
		}
	})
}

func TestCallThatNeverLeftHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := NewConns(func(context.Context, string) (net.Conn, error) { return nil, fmt.Errorf("no route") }, 0)
		defer conns.Close()
		c, err := New(Options{Name: "client", Masters: []Master{{ID: 1, Addr: "a"}, {ID: 2, Addr: "b"}}, Conns: conns})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := within(time.Second)
		defer cancel()
		if r := c.Create(ctx, "/f"); r.Outcome != Fail {
			t.Fatalf("%v: %v", r.Outcome, r.Err)
		}
	})
}

func TestPausesGrowAndCarryJitter(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.all(answer(codes.Aborted))
		ctx, cancel := within(3 * time.Second)
		defer cancel()
		r := w.client.Create(ctx, "/f")
		if n := len(r.Attempts); n < 40 || n > 130 {
			t.Fatalf("%d attempts in 3 s", n)
		}
		distinct := map[time.Duration]bool{}
		for i := 1; i < len(r.Attempts); i++ {
			gap := r.Attempts[i].Start.Sub(r.Attempts[i-1].End)
			if gap > 60*time.Millisecond {
				t.Errorf("pause of %v", gap)
			}
			distinct[gap] = true
		}
		if len(distinct) < len(r.Attempts)/2 {
			t.Errorf("%d distinct pauses of %d: no jitter", len(distinct), len(r.Attempts))
		}
	})
}
