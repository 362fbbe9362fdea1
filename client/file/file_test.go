package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/client"
)

// A file may be put and then appended to: the bytes come first, then each record
// once, and duplicates only if they are asked for.
func TestMixedFile(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		ctx := context.Background()
		data := noise(chunk+100, 4)
		c.put("/f", data)
		want := string(data)
		for i := range 40 {
			record := fmt.Sprintf("record %d of some length that fills a chunk sooner %0200d\n", i, i)
			_, err := c.Append(ctx, "/f", []byte(record))
			c.must(err)
			want += record
		}
		c.same("/f", []byte(want))
		// The same (client, seq) again is a copy that a retry has left.
		s := client.Session{Client: "twice", Seq: 1}
		for range 2 {
			// Another client: the primary gives the first offset to one that asks twice.
			other := c.fs("other").Client()
			if r := other.RecordAppend(ctx, "/f", []byte("twice\n"), client.WithSession(s)); r.Outcome != client.OK || r.Code != api.Code_OK {
				t.Fatalf("%v %v", r.Code, r.Err)
			}
			if r := other.FindLeaseHolderAt(ctx, "/f", lastChunk(c, "/f")); r.Outcome == client.OK {
				// The next grant does not know the last one's data.
				c.must(r.Err)
				other.RevokeLease(ctx, r.Reply.Handle)
			}
		}
		c.same("/f", []byte(want+"twice\n"))
		copies := 0
		c.must(c.Read(ctx, "/f", ReadOptions{Duplicates: true}, func(b Block) error {
			if string(b.Data) == "twice\n" {
				copies++
			}
			return nil
		}))
		if copies != 2 {
			t.Errorf("%d copies with duplicates, want 2", copies)
		}
	})
}

func lastChunk(c *cell, name string) uint32 {
	st, err := c.Stat(context.Background(), name, 0)
	c.must(err)
	return uint32(len(st.Chunks) - 1)
}

// A snapshot keeps what was there, whichever side is written to, and through the
// same client, whose leases are from before.
func TestSnapshotIsFrozen(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		ctx := context.Background()
		c.must(c.Mkdir(ctx, "/d/e", true))
		data := noise(2*chunk, 5)
		c.put("/d/e/bytes", data)
		_, err := c.Append(ctx, "/d/e/log", []byte("before\n"))
		c.must(err)
		c.must(c.Snapshot(ctx, "/d", "/snap"))
		_, err = c.Append(ctx, "/d/e/log", []byte("after\n"))
		c.must(err)
		c.same("/snap/e/log", []byte("before\n"))
		c.same("/d/e/log", []byte("before\nafter\n"))
		_, err = c.fs("other").Append(ctx, "/snap/e/log", []byte("aside\n"))
		c.must(err)
		c.same("/snap/e/log", []byte("before\naside\n"))
		c.same("/d/e/log", []byte("before\nafter\n"))
		// A write into shared bytes copies them.
		if r := c.Client().Write(ctx, "/d/e/bytes", 1, 10, []byte("overwritten")); r.Outcome != client.OK || r.Code != api.Code_OK {
			t.Fatalf("%v %v", r.Code, r.Err)
		}
		c.same("/snap/e/bytes", data)
		copy(data[chunk+10:], "overwritten")
		c.same("/d/e/bytes", data)
		c.refused(c.Snapshot(ctx, "/d", "/snap"), api.Code_EXISTS)
	})
}

func TestNamespace(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		ctx := context.Background()
		c.must(c.Mkdir(ctx, "/a/b/c", true))
		c.must(c.Mkdir(ctx, "/a/b/c", true))
		c.refused(c.Mkdir(ctx, "/a", false), api.Code_EXISTS)
		c.put("/a/b/x.log", []byte("x"))
		c.put("/a/b/c/y.log", []byte("y"))
		c.refused(c.Mkdir(ctx, "/a/b/x.log/z", true), api.Code_NOT_DIRECTORY)
		for pattern, want := range map[string][]string{
			"/a/b/*":          {"/a/b/c", "/a/b/x.log"},
			"/a/**/*.log":     {"/a/b/c/y.log", "/a/b/x.log"},
			"/a/b/{x,y}.log":  {"/a/b/x.log"},
			"/a/b/[x-z].l?g":  {"/a/b/x.log"},
			"/a/b/x.log":      {"/a/b/x.log"},
			"/not/there":      {"/not/there"},
			"/a/b/x.log/*/**": nil,
			"/none/*":         nil,
		} {
			found, err := c.Glob(ctx, pattern)
			slices.Sort(found)
			if !slices.Equal(found, want) || (err == nil) != (want != nil) {
				t.Errorf("%s: %q %v, want %q", pattern, found, err, want)
			}
		}
		id, err := c.Remove(ctx, "/a", true)
		c.must(err)
		_, err = c.Stat(ctx, "/a/b/x.log", 0)
		c.refused(err, api.Code_NOT_FOUND)
		var hidden []*api.Entry
		_, err = c.List(ctx, "/", ListOptions{Deleted: true}, func(e *api.Entry) error {
			hidden = append(hidden, e)
			return nil
		})
		c.must(err)
		if len(hidden) != 1 || hidden[0].Id != id || hidden[0].ExpiresNs <= hidden[0].DeletedNs {
			t.Fatalf("hidden: %v, want id %d", hidden, id)
		}
		c.must(c.Undelete(ctx, "/a", 0))
		c.same("/a/b/x.log", []byte("x"))
		c.must(c.Rename(ctx, "/a/b/x.log", "/a/z"))
		c.same("/a/z", []byte("x"))
		c.refused(c.Rename(ctx, "/a/b/x.log", "/a/y"), api.Code_NOT_FOUND)
		id, err = c.Remove(ctx, "/a/z", false)
		c.must(err)
		c.must(c.RemoveNow(ctx, "/a/z", id))
		c.refused(c.Undelete(ctx, "/a/z", id), api.Code_NOT_FOUND)
		_, err = c.Remove(ctx, "/a", false)
		c.refused(err, api.Code_NOT_EMPTY)
		files := uint64(1)
		c.must(c.SetAttributes(ctx, "/a/b", &api.Attributes{MaxFiles: &files}, nil))
		_, err = c.Create(ctx, "/a/b/one-too-many")
		c.refused(err, api.Code_QUOTA)
		u, err := c.Usage(ctx, "/")
		c.must(err)
		if u.Files != 1 || u.Directories < 3 {
			t.Errorf("usage %v", u)
		}
	})
}

// A listing of many pages is whole and in order.
func TestListPages(t *testing.T) {
	inCell(t, 1, func(t *testing.T, c *cell) {
		ctx := context.Background()
		c.must(c.Mkdir(ctx, "/d", false))
		const n = pageEntries + 7
		for i := range n {
			_, err := c.Create(ctx, fmt.Sprintf("/d/%06d", i))
			c.must(err)
		}
		next := 0
		_, err := c.List(ctx, "/d", ListOptions{}, func(e *api.Entry) error {
			if want := fmt.Sprintf("%06d", next); e.Name != want {
				t.Fatalf("entry %d is %s", next, e.Name)
			}
			next++
			return nil
		})
		if err != nil || next != n {
			t.Errorf("%d entries, %v", next, err)
		}
	})
}

// A shadow shows at least what the FS itself has done.
func TestShadowLookups(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		c.o.Shadow = true
		for i := range 30 {
			name := fmt.Sprintf("/f%d", i)
			_, err := c.Create(context.Background(), name)
			c.must(err)
			if _, err := c.Stat(context.Background(), name, 0); err != nil {
				t.Fatal(err)
			}
			if at := c.ShadowAt(); at == nil || at.Index < c.Client().Seen() {
				t.Fatalf("at %v, seen %d", at, c.Client().Seen())
			}
		}
	})
}

// Shadows serve names and data while no master leads.
func TestShadowsServeWithoutALeader(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		data := noise(2*chunk+5, 8)
		c.put("/f", data)
		f := c.fs("shadow")
		f.o.Shadow = true
		// The shadow that is left has to have applied the put.
		for id := range c.Masters {
			if r := c.Client().Stat(context.Background(), "/f", client.WithStale(id)); r.Outcome != client.OK || r.Reply.Code != api.Code_OK {
				t.Fatalf("master %d: %v %v", id, r.Reply, r.Err)
			}
		}
		c.KillMaster(c.Leader())
		c.KillMaster(c.Leader())
		var all []byte
		c.must(f.Read(context.Background(), "/f", ReadOptions{}, func(b Block) error {
			all = append(all, b.Data...)
			return nil
		}))
		if !bytes.Equal(all, data) {
			t.Errorf("%d bytes, want %d", len(all), len(data))
		}
		if _, err := f.Create(context.Background(), "/g"); err == nil {
			t.Error("a file was made without a leader")
		}
		_, err := f.Stat(context.Background(), "/f", 0)
		c.must(err)
		if at := f.ShadowAt(); at == nil || at.LagNs < int64(time.Second) {
			t.Errorf("at %v: no lag is told of", at)
		}
	})
}

// Errors name the path and say in words what is wrong.
func TestErrorsSpeak(t *testing.T) {
	for want, err := range map[string]error{
		"/a: no such file or directory":                               ended("/a", client.OK, api.Code_NOT_FOUND, nil),
		"/a: it may have been done, or may yet: gone away":            ended("/a", client.Unknown, 0, status.Error(codes.Unavailable, "gone away")),
		"/a: timed out; last: gone away":                              ended("/a", client.Fail, 0, fmt.Errorf("%w; last attempt: %w", context.DeadlineExceeded, status.Error(codes.Unavailable, "gone away"))),
		"/a: timed out":                                               ended("/a", client.Fail, 0, context.DeadlineExceeded),
		"/a: interrupted; it may have been done":                      ended("/a", client.Unknown, 0, fmt.Errorf("%w; last attempt: %w", context.Canceled, errors.New("x"))),
		"/a: the quota of a directory above is used up":               ended("/a", client.OK, api.Code_QUOTA, nil),
		"/b: it exists already":                                       ended(blame(api.Code_EXISTS, "/a", "/b"), client.OK, api.Code_EXISTS, nil),
		"/a -> /b: no such file or directory":                         ended(blame(api.Code_NOT_FOUND, "/a", "/b"), client.OK, api.Code_NOT_FOUND, nil),
		"/a: chunk 3 cannot be verified: there is none":               failed("/a", "chunk %d cannot be verified: %w", 3, errNoReplica),
		"/a: more entries than one operation may touch":               ended("/a", client.OK, api.Code_TOO_LARGE, nil),
		"/a: no chunkserver is alive to hold the data":                ended("/a", client.OK, api.Code_NO_CHUNKSERVER, nil),
		"/a: the data is damaged on every replica":                    ended("/a", client.OK, api.Code_CORRUPT, nil),
		"/a: in use: a lease on one of its chunks could not be ended": ended("/a", client.OK, api.Code_LEASE_HELD, nil),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	for want, err := range map[string]error{
		"did not answer within 3s":               status.Error(codes.DeadlineExceeded, "context deadline exceeded"),
		"cannot be reached (connection refused)": status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp 1.2.3.4:5: connect: connection refused"`),
		"cannot be reached (EOF)":                status.Error(codes.Unavailable, "EOF"),
		"answered: not the leader":               status.Error(codes.FailedPrecondition, "not the leader"),
	} {
		begin := time.Now()
		if got := complaint(client.Attempt{Node: "cs1", Start: begin, End: begin.Add(3*time.Second + time.Millisecond), Err: err}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for code := range api.Code_name {
		if c := api.Code(code); c != api.Code_OK && Reason(c) == c.String() {
			t.Errorf("%v has no words", c)
		}
	}
}
