package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gfslab/api"
	"gfslab/client"
	"gfslab/client/clienttest"
)

// What was put is there, of every size, and get brings it back.
func TestPutAndGet(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		dir := t.TempDir()
		for i, size := range []int{0, 1, chunk/8 - 1, chunk / 8, chunk - 1, chunk, chunk + 1, 5*chunk + 17} {
			name, data := "/f"+string(rune('a'+i)), noise(size, uint64(i))
			progress := int64(-1)
			put, err := c.Put(context.Background(), bytes.NewReader(data), name, PutOptions{Source: theSource, Progress: func(n int64) { progress = max(progress, n) }})
			c.must(err)
			if put.Bytes != int64(size) || put.Resumed != 0 || put.SHA256 != sha256.Sum256(data) || size > 0 && progress != int64(size) {
				t.Errorf("put of %d bytes: %+v, progress %d", size, put, progress)
			}
			c.same(name, data)
			local := filepath.Join(dir, "copy")
			got, err := c.Get(context.Background(), name, local, nil)
			c.must(err)
			read, err := os.ReadFile(local)
			c.must(err)
			if !bytes.Equal(read, data) || got.Bytes != int64(size) || got.SHA256 != put.SHA256 {
				t.Errorf("get of %d bytes: %d, %+v", size, len(read), got)
			}
			st, err := c.Stat(context.Background(), name, 0)
			c.must(err)
			if want := (size + chunk - 1) / chunk; len(st.Chunks) != want {
				t.Errorf("%d bytes are in %d chunks, want %d", size, len(st.Chunks), want)
			}
			if n, err := c.Size(context.Background(), name, st); err != nil || n != uint64(size) {
				t.Errorf("size %d, %v; want %d", n, err, size)
			}
			if _, err := c.Stat(context.Background(), Partial(name, theSource), 0); !Refused(err, api.Code_NOT_FOUND) {
				t.Errorf("the partial file is left: %v", err)
			}
			if _, err := os.Stat(local + PartSuffix); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the local part is left: %v", err)
			}
		}
	})
}

func TestPutRefusesWhatIsThere(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		ctx := context.Background()
		c.put("/a", []byte("first"))
		_, err := c.Put(ctx, strings.NewReader("second"), "/a", again)
		c.refused(err, api.Code_EXISTS)
		c.same("/a", []byte("first"))
		_, err = c.Put(ctx, strings.NewReader("second"), "/a", PutOptions{Source: theSource, Replace: true})
		c.must(err)
		c.same("/a", []byte("second"))
		_, err = c.Put(ctx, strings.NewReader("x"), "/none/a", again)
		c.refused(err, api.Code_NOT_FOUND)
		_, err = c.Get(ctx, "/none", filepath.Join(t.TempDir(), "x"), nil)
		c.refused(err, api.Code_NOT_FOUND)
		_, err = c.Get(ctx, "/", filepath.Join(t.TempDir(), "x"), nil)
		c.refused(err, api.Code_IS_DIRECTORY)
	})
}

// A put that was cut off goes on behind what is verified; with another input, or
// one that cannot be read twice, it starts over. Never is a wrong file published.
func TestPutResumes(t *testing.T) {
	data := noise(5*chunk+100, 1)
	changed := bytes.Clone(data)
	changed[chunk+3] ^= 1
	for _, x := range []struct {
		name    string
		again   []byte
		pipe    bool
		resumes bool
	}{
		{"the same input", data, false, true},
		{"a longer input", append(bytes.Clone(data), "more"...), false, true},
		{"an input that changed", changed, false, false},
		{"an input that is shorter", data[:chunk/2], false, false},
		{"a pipe", data, true, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			inCell(t, 3, func(t *testing.T, c *cell) {
				ctx := context.Background()
				cut := &hooked{bytes.NewReader(data), 3*chunk + chunk/2, func() error { return errUnplugged }}
				if _, err := c.Put(ctx, cut, "/f", again); !errors.Is(err, errUnplugged) {
					t.Fatalf("cut off: %v", err)
				}
				_, err := c.Stat(ctx, "/f", 0)
				c.refused(err, api.Code_NOT_FOUND)
				var from = again
				again := c.fs("again")
				var put Transfer
				if x.pipe {
					put, err = again.Put(ctx, pipe{bytes.NewReader(x.again)}, "/f", from)
				} else {
					put, err = again.Put(ctx, bytes.NewReader(x.again), "/f", from)
				}
				c.must(err)
				if put.Bytes != int64(len(x.again)) || put.SHA256 != sha256.Sum256(x.again) || (put.Resumed > 0) != x.resumes {
					t.Errorf("%+v", put)
				}
				c.same("/f", x.again)
			})
		})
	}
}

// An interrupted put says so, and what it leaves is resumed.
func TestPutIsInterrupted(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		data := noise(4*chunk, 1)
		ctx, cancel := context.WithCancel(context.Background())
		_, err := c.Put(ctx, &hooked{bytes.NewReader(data), 2 * chunk, func() error { cancel(); return nil }}, "/f", again)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "goes on") {
			t.Fatalf("%v", err)
		}
		if put := c.put("/f", data); put.Resumed == 0 {
			t.Errorf("resumed %d bytes", put.Resumed)
		}
		c.same("/f", data)
	})
}

// A chunkserver loses its power and the leading master dies in the middle of a
// put: it goes on by itself, and all of it is there.
func TestPutSurvivesCrashes(t *testing.T) {
	for _, x := range []struct {
		name  string
		crash func(c *cell)
	}{
		{"chunkserver restarts", func(c *cell) { c.Crash("cs2", 0) }},
		{"chunkserver is gone", func(c *cell) { c.Fabric.CloseNode("cs3") }},
		{"leader is gone", func(c *cell) { c.KillMaster(c.Leader()) }},
		{"both", func(c *cell) { c.KillMaster(c.Leader()); c.Crash("cs1", 50) }},
	} {
		t.Run(x.name, func(t *testing.T) {
			inCell(t, 4, func(t *testing.T, c *cell) {
				data := noise(12*chunk+5, 2)
				put, err := c.Put(context.Background(), &hooked{bytes.NewReader(data), 5*chunk + 77, func() error { x.crash(c); return nil }}, "/f", again)
				c.must(err)
				if put.SHA256 != sha256.Sum256(data) {
					t.Errorf("%+v", put)
				}
				c.same("/f", data)
				pause, why := c.LongestPause()
				t.Logf("longest pause %v: %s", pause, why)
				if pause > 8*clienttest.LeaseTerm {
					t.Errorf("it paused for %v while %s", pause, why)
				}
			})
		})
	}
}

func TestGetResumes(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		data := noise(4*chunk+9, 3)
		c.put("/f", data)
		local := filepath.Join(t.TempDir(), "f")
		bad := bytes.Clone(data)
		bad[chunk+1] ^= 1
		for _, x := range []struct {
			part []byte
			want int64
		}{
			{nil, 0}, {data[:chunk/2], 0}, {data[:chunk], chunk}, {data[:3*chunk+5], 3 * chunk}, {data, int64(len(data))},
			{append(bytes.Clone(data), "too much"...), int64(len(data))}, {bad, chunk}, {noise(2*chunk, 9), 0},
		} {
			c.must(os.WriteFile(local+PartSuffix, x.part, 0o644))
			got, err := c.Get(context.Background(), "/f", local, nil)
			c.must(err)
			read, err := os.ReadFile(local)
			c.must(err)
			if got.Resumed != x.want || got.SHA256 != sha256.Sum256(data) || !bytes.Equal(read, data) {
				t.Errorf("from a part of %d bytes: %+v, want %d resumed; %d bytes", len(x.part), got, x.want, len(read))
			}
		}
	})
}

// Nothing is published that is not what was read: neither bytes that another
// writer has changed meanwhile, nor chunks that another put has added.
func TestPutNoticesAnotherWriter(t *testing.T) {
	for want, disturb := range map[string]func(c *cell, other *FS) error{
		"were written": func(c *cell, other *FS) error {
			r := other.Client().Write(context.Background(), Partial("/f", theSource), 0, 0, []byte("other bytes"))
			return ended("/f", r.Outcome, r.Code, r.Err)
		},
		"another put": func(c *cell, other *FS) error {
			_, err := take(other, "/f", other.Client().AllocateChunk(context.Background(), Partial("/f", theSource), 1, client.WithKind(api.ChunkKind_BYTES)))
			return err
		},
	} {
		t.Run(want, func(t *testing.T) {
			inCell(t, 3, func(t *testing.T, c *cell) {
				// At seven eighths of the first chunk its first pieces are written.
				from := &hooked{bytes.NewReader(noise(2*chunk, 6)), 7 * chunk / 8, func() error { return disturb(c, c.fs("other")) }}
				_, err := c.Put(context.Background(), from, "/f", again)
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
				_, err = c.Stat(context.Background(), "/f", 0)
				c.refused(err, api.Code_NOT_FOUND)
			})
		})
	}
}
