package master

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gfslab/api"
)

// TestStatDetails: chunks one by one, attributes, and what is hidden by its id.
func TestStatDetails(t *testing.T) {
	synctestCell(t, func(*Options) {}, 1, three, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		code[*api.MutationReply](t, api.Code_OK)(c.retain(m, "/", time.Hour))
		handle := c.newChunk("/f")
		allocate := &api.AllocateRequest{Session: c.session(), Path: "/f", ChunkIndex: 1, Kind: api.ChunkKind_BYTES}
		code[*api.MutationReply](t, api.Code_OK)(m.AllocateChunk(t.Context(), allocate))
		code[*api.MutationReply](t, api.Code_OK)(c.snapshot(m, "/f", "/g"))
		r := code[*api.StatReply](t, api.Code_OK)(m.Stat(t.Context(), &api.ReadRequest{Path: "/f"}))
		if len(r.Details) != 2 || r.Details[0].Handle != handle || r.Details[0].Kind != api.ChunkKind_RECORDS ||
			r.Details[1].Kind != api.ChunkKind_BYTES || r.Details[1].Refs != 2 {
			t.Fatalf("details %v", r.Details)
		}
		if r.Own.RetentionNs != nil || r.Effective.GetRetentionNs() != int64(time.Hour) {
			t.Fatalf("own %v, effective %v", r.Own, r.Effective)
		}
		gone := code[*api.MutationReply](t, api.Code_OK)(c.delete(m, "/f", 0))
		code[*api.StatReply](t, api.Code_NOT_FOUND)(m.Stat(t.Context(), &api.ReadRequest{Path: "/f"}))
		r = code[*api.StatReply](t, api.Code_OK)(m.Stat(t.Context(), &api.ReadRequest{Path: "/f", DeletedId: gone.Id}))
		if r.Id != gone.Id || len(r.Chunks) != 2 {
			t.Fatalf("hidden: %v", r)
		}
		at := code[*api.ChunkReply](t, api.Code_OK)(m.FindLocation(t.Context(), &api.LocationRequest{Path: "/f", ChunkIndex: 1, DeletedId: gone.Id}))
		if at.Handle != r.Chunks[1] || at.ChunkIndex != 1 || at.Kind != api.ChunkKind_BYTES {
			t.Fatalf("location of a hidden chunk: %v", at)
		}
	})
}

// TestListPages: every way to page through a directory yields it whole, once, and
// within the bounds of a reply.
func TestListPages(t *testing.T) {
	synctestCell(t, func(*Options) {}, 1, nil, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		var want []string
		long := strings.Repeat("x", 200)
		for i := range 6000 { // 1.2 MB of names
			name := fmt.Sprintf("%05d%s", i, long)
			code[*api.MutationReply](t, api.Code_OK)(m.Create(t.Context(), &api.PathRequest{Session: c.session(), Path: "/" + name}))
			want = append(want, name)
		}
		for _, limit := range []uint32{0, 1000, 1 << 31} {
			var got []string
			request := &api.ListRequest{Path: "/", Limit: limit}
			for pages := 1; ; pages++ {
				r := code[*api.ListReply](t, api.Code_OK)(m.List(t.Context(), request))
				if size := len(strings.Join(r.Names, "")); size > listBytes || limit > 0 && len(r.Names) > int(limit) {
					t.Fatalf("limit %d: a page of %d names, %d bytes", limit, len(r.Names), size)
				}
				got = append(got, r.Names...)
				if r.Next == "" {
					if limit != 1000 && pages != 2 || limit == 1000 && pages != 6 {
						t.Errorf("limit %d: %d pages", limit, pages)
					}
					break
				}
				request.After = r.Next
			}
			if !slices.Equal(got, want) {
				t.Fatalf("limit %d: %d names of %d", limit, len(got), len(want))
			}
		}
		r := code[*api.ListReply](t, api.Code_OK)(m.List(t.Context(), &api.ListRequest{Path: "/", Prefix: "0599"}))
		if len(r.Names) != 10 || r.Next != "" {
			t.Fatalf("%d names by prefix", len(r.Names))
		}
	})
}

// TestListKinds: long, recursive and deleted listings, and usage.
func TestListKinds(t *testing.T) {
	synctestCell(t, func(*Options) {}, 1, three, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		code[*api.MutationReply](t, api.Code_OK)(m.Mkdir(t.Context(), &api.PathRequest{Session: c.session(), Path: "/d"}))
		for _, path := range []string{"/d/a", "/d/b", "/e"} {
			c.newChunk(path)
		}
		gone := code[*api.MutationReply](t, api.Code_OK)(c.delete(m, "/d/b", 0))
		list := func(r *api.ListRequest) *api.ListReply {
			return code[*api.ListReply](t, api.Code_OK)(m.List(t.Context(), r))
		}
		if got := list(&api.ListRequest{Path: "/", Recursive: true}).Names; !slices.Equal(got, []string{"d/", "d/a", "e"}) {
			t.Fatalf("recursive: %v", got)
		}
		long := list(&api.ListRequest{Path: "/d", Long: true}).Entries
		if len(long) != 1 || long[0].Name != "a" || long[0].Chunks != 1 || long[0].Directory || long[0].Id == 0 {
			t.Fatalf("long: %v", long)
		}
		hidden := list(&api.ListRequest{Path: "/d", Deleted: true}).Entries
		if len(hidden) != 1 || hidden[0].Name != "b" || hidden[0].Id != gone.Id || hidden[0].ExpiresNs-hidden[0].DeletedNs != int64(72*time.Hour) {
			t.Fatalf("deleted: %v", hidden)
		}
		code[*api.ListReply](t, api.Code_NOT_DIRECTORY)(m.List(t.Context(), &api.ListRequest{Path: "/e"}))
		u := code[*api.UsageReply](t, api.Code_OK)(m.Usage(t.Context(), &api.ReadRequest{Path: "/"}))
		if u.Files != 2 || u.Chunks != 2 || u.Directories != 1 || u.HiddenFiles != 1 || u.HiddenChunks != 1 || u.At.Index != gone.At.Index {
			t.Fatalf("usage %v", u)
		}
		code[*api.UsageReply](t, api.Code_NOT_FOUND)(m.Usage(t.Context(), &api.ReadRequest{Path: "/nowhere"}))
	})
}
