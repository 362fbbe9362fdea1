package client

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"gfslab/api"
)

func (s *scripted) List(ctx context.Context, r *api.ListRequest) (*api.ListReply, error) {
	s.mu.Lock()
	s.lists = append(s.lists, r)
	at := s.at
	s.mu.Unlock()
	if err := s.step(ctx); err != nil {
		return nil, err
	}
	return &api.ListReply{At: &api.Position{Index: at}}, nil
}

func (s *scripted) Health(ctx context.Context, _ *api.StatusRequest) (*api.HealthReply, error) {
	if err := s.step(ctx); err != nil {
		return nil, err
	}
	return &api.HealthReply{Leader: s.id == 2}, nil
}

// A stale lookup demands what the client has seen before, by whatever call, and
// what it shows counts as seen.
func TestStaleLookupsNeverGoBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		for i, m := range w.masters {
			m.at = uint64(100 * (i + 1))
		}
		if r := w.client.Create(ctx, "/f", WithFirst(3)); r.Outcome != OK || w.client.Seen() != 3 {
			t.Fatalf("%v, seen %d: a mutation's reply was at 3", r.Err, w.client.Seen())
		}
		for _, x := range []struct{ node, demanded, seen uint64 }{{2, 3, 200}, {1, 200, 200}, {3, 200, 300}} {
			r := w.client.List(ctx, "/d", WithStale(x.node))
			if r.Outcome != OK || r.Node != x.node || len(r.Attempts) != 1 {
				t.Fatalf("%v from %d in %d attempts: %v", r.Outcome, r.Node, len(r.Attempts), r.Err)
			}
			lists := w.masters[x.node-1].lists
			last := lists[len(lists)-1]
			if !last.Stale || last.AtLeast != x.demanded || last.Path != "/d" {
				t.Errorf("asked for %v, want at least %d", last, x.demanded)
			}
			if w.client.Seen() != x.seen {
				t.Errorf("seen %d, want %d", w.client.Seen(), x.seen)
			}
		}
		w.client.See(1000)
		if r := w.client.List(ctx, "/d"); r.Outcome != OK {
			t.Fatal(r.Err)
		}
		for _, m := range w.masters {
			for _, l := range m.lists {
				if !l.Stale && l.AtLeast != 0 {
					t.Errorf("a linearizable lookup was pinned: %v", l)
				}
			}
		}
	})
}

// A stale lookup of any replica passes over those that do not answer; of one it
// makes one attempt.
func TestStaleLookupOfSilentReplicas(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.masters[0].script = []func(context.Context) error{hang}
		w.masters[1].script = []func(context.Context) error{answer(codes.Unavailable)}
		for range 5 {
			if r := w.client.List(context.Background(), "/", WithStale(0)); r.Outcome != OK || r.Node != 3 {
				t.Fatalf("%v from %d: %v", r.Outcome, r.Node, r.Err)
			}
		}
		if r := w.client.List(context.Background(), "/", WithStale(2)); r.Outcome != Fail || r.Err == nil || r.Reply != nil || len(r.Attempts) != 1 {
			t.Errorf("of a silent one: %v after %d attempts, reply %v", r.Outcome, len(r.Attempts), r.Reply)
		}
		if r := w.client.List(context.Background(), "/", WithStale(9)); r.Outcome != Fail || r.Err == nil {
			t.Errorf("of one that is not: %v", r.Outcome)
		}
		w.all(hang)
		ctx, cancel := within(2 * time.Second)
		defer cancel()
		if r := w.client.List(ctx, "/", WithStale(0)); r.Outcome != Fail || len(r.Attempts) < 4 {
			t.Errorf("of silent ones: %v after %d attempts", r.Outcome, len(r.Attempts))
		}
	})
}

func TestLeaderHealthFindsTheLeader(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.masters[0].script = []func(context.Context) error{answer(codes.Unavailable)}
		h, id, err := w.client.LeaderHealth(context.Background())
		if err != nil || id != 2 || !h.Leader {
			t.Fatalf("%v from %d: %v", h, id, err)
		}
		w.masters[1].script = []func(context.Context) error{answer(codes.Unavailable)}
		ctx, cancel := within(time.Second)
		defer cancel()
		if _, _, err := w.client.LeaderHealth(ctx); err == nil {
			t.Error("found a leader where none answers")
		}
	})
}
