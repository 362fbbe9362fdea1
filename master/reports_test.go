package master

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

func report(sequence uint64, full bool, handles ...uint64) *api.HeartbeatRequest {
	r := &api.HeartbeatRequest{Chunkserver: "cs1", Address: "addr-cs1", Boot: "b", Sequence: sequence, Full: full}
	for _, h := range handles {
		r.Chunks = append(r.Chunks, &api.ChunkReport{Handle: h, Version: 1, Length: 10})
	}
	return r
}

// TestReports: what the master knows after each report, and when it asks for all.
func TestReports(t *testing.T) {
	c := newCell(t, 1)
	defer c.stop()
	m := c.masters[0]
	steps := []struct {
		what     string
		request  *api.HeartbeatRequest
		wantFull bool
		holds    []uint64
		lacks    []uint64
	}{
		{"the first", report(1, false, 7), true, []uint64{7}, nil},
		{"a full one", report(2, true, 8, 9), false, []uint64{8, 9}, []uint64{7}},
		{"an addition", report(3, false, 10), false, []uint64{8, 9, 10}, nil},
		{"an old one", report(2, true, 1), false, []uint64{8, 9, 10}, []uint64{1}},
		{"the same", report(3, false, 1), false, []uint64{8, 9, 10}, []uint64{1}},
		{"one after a lost one", report(5, false, 11), false, []uint64{8, 9, 10, 11}, nil},
		{"another full one", report(7, true, 8), false, []uint64{8}, []uint64{9, 10, 11}},
		{"the first of all, given up and late", report(1, true, 9), false, []uint64{8}, []uint64{9}},
		{"a full one that goes on", report(8, true, 8, 9), false, []uint64{8, 9}, nil},
		{"another boot", func() *api.HeartbeatRequest { r := report(1, false); r.Boot = "c"; return r }(), true, nil, []uint64{8}},
	}
	for _, s := range steps {
		reply, err := m.Heartbeat(t.Context(), s.request)
		if err != nil || reply.WantFull != s.wantFull {
			t.Fatalf("%s: want_full %v, %v; want %v", s.what, reply.GetWantFull(), err, s.wantFull)
		}
		for _, h := range s.holds {
			if _, found := m.servers.byName["cs1"].replicas.get(h); !found {
				t.Fatalf("%s: replica %d is not known", s.what, h)
			}
		}
		for _, h := range s.lacks {
			if _, found := m.servers.byName["cs1"].replicas.get(h); found {
				t.Fatalf("%s: replica %d is known", s.what, h)
			}
		}
	}
	gone := report(2, true, 3, 4)
	gone.Boot = "c"
	if _, err := m.Heartbeat(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	gone = report(3, false)
	gone.Boot, gone.Gone = "c", []uint64{3}
	if _, err := m.Heartbeat(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if set := m.servers.byName["cs1"].replicas; set.count != 1 || set.bytes != 10 {
		t.Fatalf("%d replicas of %d bytes are known, want one of 10", set.count, set.bytes)
	}
}

// TestHostileHeartbeats: each is refused with a code, and nothing is known of it.
func TestHostileHeartbeats(t *testing.T) {
	c := newCell(t, 1)
	defer c.stop()
	long := make([]byte, 1000)
	for i := range long {
		long[i] = 'x'
	}
	change := func(f func(*api.HeartbeatRequest)) *api.HeartbeatRequest {
		r := report(1, true, 1)
		f(r)
		return r
	}
	for i, r := range []*api.HeartbeatRequest{
		{},
		change(func(r *api.HeartbeatRequest) { r.Chunkserver = "" }),
		change(func(r *api.HeartbeatRequest) { r.Address = "" }),
		change(func(r *api.HeartbeatRequest) { r.Chunkserver = string(long) }),
		change(func(r *api.HeartbeatRequest) { r.Rack = string(long) }),
		change(func(r *api.HeartbeatRequest) { r.Address = string(long) }),
		change(func(r *api.HeartbeatRequest) { r.Part = &api.ReportPart{} }),
		change(func(r *api.HeartbeatRequest) { r.Full, r.Sequence, r.Part = false, 0, &api.ReportPart{} }),
		change(func(r *api.HeartbeatRequest) { r.Full, r.Part = false, &api.ReportPart{From: 5, Below: 5} }),
		change(func(r *api.HeartbeatRequest) { r.Full, r.Part = false, &api.ReportPart{From: 5, Below: 4} }),
		change(func(r *api.HeartbeatRequest) { r.Chunks[0].Handle = 0 }),
		change(func(r *api.HeartbeatRequest) { r.Chunks[0].Version = 1 << 32 }),
		change(func(r *api.HeartbeatRequest) { r.Chunks[0].Length = 1 << 32 }),
		change(func(r *api.HeartbeatRequest) { r.Chunks = append(r.Chunks, nil) }),
		change(func(r *api.HeartbeatRequest) { r.Claims = []*api.ClaimRequest{{Chunkserver: "cs2"}} }),
		change(func(r *api.HeartbeatRequest) { r.Claims = []*api.ClaimRequest{nil} }),
		change(func(r *api.HeartbeatRequest) { r.Claims = make([]*api.ClaimRequest, maxClaims+1) }),
	} {
		if reply, err := c.masters[0].Heartbeat(t.Context(), r); status.Code(err) != codes.InvalidArgument {
			t.Errorf("request %d: %v, %v; want INVALID_ARGUMENT", i, reply, err)
		}
	}
	if n := len(c.masters[0].servers.byName); n != 0 {
		t.Fatalf("%d chunkservers are known", n)
	}
}

// TestClaimsInHeartbeats: a heartbeat extends leases as ClaimLease does, at the
// leader alone.
func TestClaimsInHeartbeats(t *testing.T) {
	bubble(t, 2, three, func(t *testing.T, c *fakeCell) {
		handle := c.newChunk("/f")
		grant := c.find(c.masters[0], handle)
		beat := func(m *Master, epoch uint64) *api.HeartbeatReply {
			t.Helper()
			claim := &api.ClaimRequest{Chunkserver: grant.Primary, Handle: handle, Version: grant.Version, Epoch: epoch}
			r, err := m.Heartbeat(t.Context(), &api.HeartbeatRequest{
				Chunkserver: grant.Primary, Address: "addr-" + grant.Primary, Boot: "a", Claims: []*api.ClaimRequest{claim, claim},
			})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		for range 5 {
			time.Sleep(leaseTerm / 2)
			r := beat(c.masters[0], grant.Epoch)
			if len(r.Claims) != 2 || !r.Claims[0].Granted || !r.Claims[1].Granted || r.Claims[0].DurationNs != int64(leaseTerm) {
				t.Fatalf("reply %v", r)
			}
		}
		if now := c.find(c.masters[0], handle); now.Epoch != grant.Epoch {
			t.Fatalf("the lease was not extended: %v", now)
		}
		if r := beat(c.masters[0], grant.Epoch+1); len(r.Claims) != 1+1 || r.Claims[0].Granted {
			t.Fatalf("another epoch was extended: %v", r)
		}
		if r := beat(c.masters[1], grant.Epoch); r.Leader || len(r.Claims) != 0 {
			t.Fatalf("a follower answers claims: %v", r)
		}
		c.group.elect(2)
		if r := beat(c.masters[0], grant.Epoch); len(r.Claims) != 0 {
			t.Fatalf("a deposed leader answers claims: %v", r)
		}
	})
}
