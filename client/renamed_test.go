package client

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/client/clienttest"
)

// Another client takes a file away from its path, and one goes on there that knows
// the old file's chunks and leases: its reads show the file at the path at once, its
// mutations may go to the old one, but not LocationTimeout later, however busy the
// lease is kept.
func TestFileLeavesItsPath(t *testing.T) {
	const trust = 3 * time.Second
	for name, leave := range map[string]func(other *Client) Result[*api.MutationReply]{
		"renamed": func(other *Client) Result[*api.MutationReply] { return other.Rename(context.Background(), "/f", "/g") },
		"deleted": func(other *Client) Result[*api.MutationReply] { return other.Delete(context.Background(), "/f") },
	} {
		for _, again := range []bool{false, true} {
			for _, kind := range []api.ChunkKind{api.ChunkKind_RECORDS, api.ChunkKind_BYTES} {
				t.Run(fmt.Sprintf("%s %v, made again %v", name, kind, again), func(t *testing.T) {
					inCellOf(t, clienttest.Config{ChunkBytes: 1 << 20}, func(t *testing.T, c *cell) {
						c.Leader()
						client, other := c.client("client", 1), c.client("other", 2)
						client.o.LocationTimeout = trust
						c.makeAt(other, kind)
						old := c.mutateAt(client, kind)
						c.must(done(leave(other)))
						if again {
							c.makeAt(other, kind)
						}
						c.readsNew(client, old.Handle, again)
						late := 0
						for left := time.Now(); time.Since(left) < 3*trust; <-time.After(50 * time.Millisecond) {
							invoked := time.Since(left)
							r := c.mutateAt(client, kind)
							was := r.Outcome == OK && r.Code == api.Code_OK && r.Handle == old.Handle
							if was {
								late++
							}
							if was && invoked >= trust {
								t.Fatalf("it was acknowledged by the old file %v after that had left its path", invoked)
							}
							if again == (r.Code != api.Code_OK) && !was {
								t.Fatalf("%v after the file left its path: %v %v %v", invoked, r.Outcome, r.Code, r.Err)
							}
						}
						t.Logf("%d mutations of the old file", late)
						c.readsNew(client, old.Handle, again)
					})
				})
			}
		}
	}
}

func done(r Result[*api.MutationReply]) error {
	if r.Outcome != OK || r.Reply.Code != api.Code_OK {
		return fmt.Errorf("%v %v %w", r.Outcome, r.Reply.GetCode(), r.Err)
	}
	return nil
}

// makeAt makes the file /f with a chunk of the kind.
func (c *cell) makeAt(cl *Client, kind api.ChunkKind) {
	c.t.Helper()
	c.create(cl, "/f")
	c.must(done(cl.AllocateChunk(context.Background(), "/f", 0, WithKind(kind))))
}

// mutateAt appends or writes to /f.
func (c *cell) mutateAt(cl *Client, kind api.ChunkKind) AppendResult {
	c.t.Helper()
	if kind == api.ChunkKind_BYTES {
		return cl.Write(context.Background(), "/f", 0, 0, []byte("bytes"))
	}
	return cl.RecordAppend(context.Background(), "/f", []byte("record"))
}

// readsNew checks that the client reads by path what is there now, whatever it knows
// of what was there: a read asks the leader for the chunks each time.
func (c *cell) readsNew(cl *Client, old uint64, there bool) {
	c.t.Helper()
	st := cl.Stat(context.Background(), "/f")
	if st.Outcome != OK || (st.Reply.Code == api.Code_OK) != there || slices.Contains(st.Reply.Chunks, old) {
		c.t.Errorf("%v %v %v", st.Outcome, st.Reply, st.Err)
	}
	records, err := cl.ReadAll(context.Background(), "/f")
	if (err == nil) != there || slices.ContainsFunc(records, func(r Record) bool { return r.Handle == old }) {
		c.t.Errorf("%d records, %v", len(records), err)
	}
}
