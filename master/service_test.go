package master

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"gfslab/api"
	"gfslab/consensus"
	"gfslab/master/meta"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestNamespace: the calls reach the state machine and come back with positions.
func TestNamespace(t *testing.T) {
	c := newCell(t, 1)
	defer c.stop()
	m, ctx := c.masters[0], t.Context()

	check := func(r *api.MutationReply, err error, want api.Code, index uint64) {
		t.Helper()
		if err != nil || r.Code != want || r.At.Index != index || r.At.Term != 1 {
			t.Fatalf("reply %v, error %v; want %v at index %d", r, err, want, index)
		}
	}
	r, err := m.Mkdir(ctx, &api.PathRequest{Session: c.session(), Path: "/d"})
	check(r, err, api.Code_OK, 1)
	r, err = m.Create(ctx, &api.PathRequest{Session: c.session(), Path: "/d/f"})
	check(r, err, api.Code_OK, 2)
	r, err = m.Create(ctx, &api.PathRequest{Session: c.session(), Path: "/d/f"})
	check(r, err, api.Code_EXISTS, 3)
	r, err = m.Create(ctx, &api.PathRequest{Session: c.session(), Path: "/d/../f"})
	check(r, err, api.Code_INVALID, 0) // never in the log
	r, err = m.Create(ctx, &api.PathRequest{Session: &api.Session{Client: "x"}, Path: "/g"})
	check(r, err, api.Code_INVALID, 0) // a session without a number
	r, err = m.Rename(ctx, &api.RenameRequest{Session: c.session(), From: "/d/f", To: "/g"})
	check(r, err, api.Code_OK, 4)
	r, err = m.AllocateChunk(ctx, &api.AllocateRequest{Session: c.session(), Path: "/g"})
	check(r, err, api.Code_OK, 5)
	handle := r.Handle

	stat, err := m.Stat(ctx, &api.ReadRequest{Path: "/g"})
	if err != nil || stat.Code != api.Code_OK || stat.Directory || len(stat.Chunks) != 1 || stat.Id != meta.FileID(2, 0) || stat.At.Index != 5 || stat.At.Offset != 1 {
		t.Fatalf("stat: %v, %v", stat, err)
	}
	list, err := m.List(ctx, &api.ListRequest{Path: "/"})
	if err != nil || len(list.Names) != 2 || list.Names[0] != "d/" || list.Names[1] != "g" {
		t.Fatalf("list: %v, %v", list, err)
	}
	for _, find := range []func() (*api.ChunkReply, error){
		func() (*api.ChunkReply, error) { return m.FindLocation(ctx, &api.LocationRequest{Path: "/g"}) },
		func() (*api.ChunkReply, error) { return m.ChunkInfo(ctx, &api.LeaseRequest{Handle: handle}) },
	} {
		if chunk, err := find(); err != nil || chunk.Code != api.Code_OK || chunk.Handle != handle || chunk.Epoch != 0 {
			t.Fatalf("chunk: %v, %v", chunk, err)
		}
	}
	r, err = m.Delete(ctx, &api.DeleteRequest{Session: c.session(), Path: "/g"})
	check(r, err, api.Code_OK, 6)
	r, err = m.Delete(ctx, &api.DeleteRequest{Session: c.session(), Path: "/g", Id: stat.Id}) // now it is gone, not only hidden
	check(r, err, api.Code_OK, 7)
	if chunk, err := m.ChunkInfo(ctx, &api.LeaseRequest{Handle: handle}); err != nil || chunk.Code != api.Code_NO_CHUNK {
		t.Fatalf("chunk of a deleted file: %v, %v", chunk, err)
	}
	st, err := m.Status(ctx, &api.StatusRequest{})
	if err != nil || st.Role != "leader" || st.Applied != 7 || st.StateHash != m.Machine().Hash() {
		t.Fatalf("status: %v, %v", st, err)
	}
}

// TestCodes: the state machine's codes are the API's.
func TestCodes(t *testing.T) {
	for code, want := range map[meta.Code]api.Code{
		meta.OK: api.Code_OK, meta.NotFound: api.Code_NOT_FOUND, meta.Exists: api.Code_EXISTS, meta.NotDirectory: api.Code_NOT_DIRECTORY,
		meta.IsDirectory: api.Code_IS_DIRECTORY, meta.NotEmpty: api.Code_NOT_EMPTY, meta.Invalid: api.Code_INVALID,
		meta.NoChunk: api.Code_NO_CHUNK, meta.LeaseHeld: api.Code_LEASE_HELD, meta.Stale: api.Code_STALE, meta.NoChunkserver: api.Code_NO_CHUNKSERVER,
	} {
		if api.Code(code) != want {
			t.Errorf("%v is %d in meta", want, code)
		}
	}
}

// TestOutcomes: an error tells the client exactly what it may conclude. A failure
// that is not certain must never look certain.
func TestOutcomes(t *testing.T) {
	c := newCell(t, 1)
	defer c.stop()
	m, replica := c.masters[0], c.group.replicas[0]
	deadline, canceled := context.DeadlineExceeded, context.Canceled
	for _, tc := range []struct {
		err           error
		propose, read codes.Code
		hint          int64 // of the NotLeader detail; -1: there is none
	}{
		{&consensus.NotLeaderError{Hint: 3}, codes.FailedPrecondition, codes.FailedPrecondition, 3},
		{fmt.Errorf("wrapped: %w", &consensus.NotLeaderError{}), codes.FailedPrecondition, codes.FailedPrecondition, 0},
		{consensus.ErrClosed, codes.FailedPrecondition, codes.FailedPrecondition, 0},
		{consensus.ErrDropped, codes.ResourceExhausted, codes.ResourceExhausted, -1},
		{consensus.ErrUnknown, codes.Aborted, codes.Unavailable, -1},
		{errors.New("anything else"), codes.Aborted, codes.Unavailable, -1},
		{fmt.Errorf("%w: %w", consensus.ErrUnknown, deadline), codes.DeadlineExceeded, codes.DeadlineExceeded, -1},
		{fmt.Errorf("%w: %w", consensus.ErrUnknown, canceled), codes.Canceled, codes.Canceled, -1},
		// What is certain wins over why.
		{fmt.Errorf("%w: %w", consensus.ErrDropped, deadline), codes.ResourceExhausted, codes.DeadlineExceeded, -1},
		// And what is uncertain wins over what looks certain.
		{fmt.Errorf("%w: %w", consensus.ErrUnknown, &consensus.NotLeaderError{Hint: 2}), codes.Aborted, codes.FailedPrecondition, -1},
	} {
		replica.fail(tc.err, tc.err, false)
		_, err := m.Create(t.Context(), &api.PathRequest{Session: c.session(), Path: "/f"})
		if got := status.Code(err); got != tc.propose {
			t.Errorf("%v: Create says %v, want %v", tc.err, got, tc.propose)
		}
		if got := hintOf(err); got != tc.hint {
			t.Errorf("%v: the NotLeader detail is %d, want %d", tc.err, got, tc.hint)
		}
		_, err = m.Stat(t.Context(), &api.ReadRequest{Path: "/f"})
		if got := status.Code(err); got != tc.read {
			t.Errorf("%v: Stat says %v, want %v", tc.err, got, tc.read)
		}
	}
}

func hintOf(err error) int64 {
	for _, d := range status.Convert(err).Details() {
		if n, ok := d.(*api.NotLeader); ok {
			return int64(n.Leader)
		}
	}
	return -1
}

// TestDeadline: an ended context before the proposal is a certain failure.
func TestDeadline(t *testing.T) {
	c := newCell(t, 1)
	defer c.stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.masters[0].Create(ctx, &api.PathRequest{Session: c.session(), Path: "/f"})
	if status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("error %v, want ResourceExhausted: surely not done", err)
	}
}

// TestRetryOverLeaderChange: the first leader applies the command but its answer
// is lost; the retry at the next leader gets the first reply.
func TestRetryOverLeaderChange(t *testing.T) {
	c := newCell(t, 3)
	defer c.stop()
	request := &api.PathRequest{Session: c.session(), Path: "/f"}
	c.group.replicas[0].fail(consensus.ErrUnknown, nil, true)
	if _, err := c.masters[0].Create(t.Context(), request); status.Code(err) != codes.Aborted {
		t.Fatalf("error %v, want Aborted", err)
	}
	c.group.elect(2)
	c.group.replicas[0].fail(nil, nil, false)
	if _, err := c.masters[0].Create(t.Context(), request); hintOf(err) != 2 {
		t.Fatalf("error %v, want NotLeader with hint 2", err)
	}
	r, err := c.masters[1].Create(t.Context(), request)
	if err != nil || r.Code != api.Code_OK || !r.Replayed || r.At.Index != 1 || r.At.Term != 2 {
		t.Fatalf("the retry: %v, %v", r, err)
	}
}

// TestOnApply: the observer sees every entry, at every replica, with the hash
// after it.
func TestOnApply(t *testing.T) {
	var hashes []string
	group := &fakeGroup{}
	m, err := New(Options{
		Open: group.open, Dial: func(context.Context, string) (net.Conn, error) { return nil, errors.New("no network") },
		OnApply: func(index uint64, commands, replies [][]byte, hash string) {
			if index != uint64(len(hashes)+1) || len(commands) != 1 || len(replies) != 1 {
				t.Errorf("entry %d: %d commands, %d replies", index, len(commands), len(replies))
			}
			hashes = append(hashes, hash)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	group.elect(1)
	for _, path := range []string{"/a", "/b", "/b"} {
		if _, err := m.Create(t.Context(), &api.PathRequest{Path: path}); err != nil {
			t.Fatal(err)
		}
	}
	if len(hashes) != 3 || hashes[0] == hashes[1] || hashes[2] != m.Machine().Hash() {
		t.Fatalf("hashes %v, now %s", hashes, m.Machine().Hash())
	}
}

// TestAuthority: a barrier of one term proves nothing about the next one.
func TestAuthority(t *testing.T) {
	c := newCell(t, 2)
	defer c.stop()
	replica := c.group.replicas[0]
	replica.afterBarrier = func() {
		if replica.barriers == 1 { // deposed and elected again, unnoticed
			c.group.elect(2)
			c.group.elect(1)
		}
	}
	term, err := c.masters[0].authority(t.Context())
	if err != nil || term != 3 || replica.barriers != 2 {
		t.Fatalf("term %d after %d barriers, error %v; want term 3 after 2", term, replica.barriers, err)
	}
}

// TestOverGRPC: replies and the NotLeader detail survive the wire.
func TestOverGRPC(t *testing.T) {
	c := newCell(t, 2)
	defer c.stop()
	l := bufconn.Listen(64 << 10)
	server := grpc.NewServer()
	api.RegisterMasterServer(server, c.masters[1])
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///master", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	client := api.NewMasterClient(conn)
	request := &api.PathRequest{Session: c.session(), Path: "/f"}
	if _, err := client.Create(t.Context(), request); status.Code(err) != codes.FailedPrecondition || hintOf(err) != 1 {
		t.Errorf("error %v; want NotLeader with hint 1", err)
	}
	c.group.elect(2)
	if r, err := client.Create(t.Context(), request); err != nil || r.At.Index != 1 || r.At.Term != 2 {
		t.Errorf("reply %v, error %v", r, err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	server.Stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
