package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	"gfslab/api"
	"gfslab/client"
	"gfslab/client/clienttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const chunk = clienttest.ChunkBytes

// theSource is that of every put that a later one may go on with.
var theSource = Source{Place: "host:/in"}

var again = PutOptions{Source: theSource}

// cell is masters and chunkservers, and an FS on them.
type cell struct {
	*clienttest.Cell
	*FS
	t     *testing.T
	conns *client.Conns
}

func inCell(t *testing.T, chunkservers int, run func(t *testing.T, c *cell)) {
	clienttest.Run(t, clienttest.Config{Chunkservers: chunkservers}, func(t *testing.T, under *clienttest.Cell) {
		c := &cell{Cell: under, t: t, conns: client.NewConns(under.Dial, 0)}
		defer func() {
			c.Fabric.HealAll()
			if err := c.conns.Close(); err != nil {
				t.Error(err)
			}
		}()
		c.Leader()
		c.FS = c.fs("fs")
		run(t, c)
	})
}

func (c *cell) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// fs is another FS with its own clients.
func (c *cell) fs(name string) *FS {
	c.t.Helper()
	o := Options{Client: client.Options{Name: name, Conns: c.conns, Seed: clienttest.Seed}}
	for i, addr := range clienttest.Addrs() {
		o.Client.Masters = append(o.Client.Masters, client.Master{ID: uint64(i + 1), Addr: addr})
	}
	f, err := New(o)
	c.must(err)
	return f
}

// noise is n bytes that no two seeds have alike.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// put puts the bytes and checks what it says of them.
func (c *cell) put(name string, data []byte) Transfer {
	c.t.Helper()
	t, err := c.Put(context.Background(), bytes.NewReader(data), name, again)
	c.must(err)
	if t.Bytes != int64(len(data)) || t.SHA256 != sha256.Sum256(data) {
		c.t.Fatalf("put %s: %d bytes, %x; the input has %d", name, t.Bytes, t.SHA256, len(data))
	}
	return t
}

// content reads a file whole.
func (c *cell) content(name string) []byte {
	c.t.Helper()
	var all []byte
	c.must(c.Read(context.Background(), name, ReadOptions{}, func(b Block) error {
		all = append(all, b.Data...)
		return nil
	}))
	return all
}

func (c *cell) same(name string, want []byte) {
	c.t.Helper()
	if got := c.content(name); !bytes.Equal(got, want) {
		c.t.Fatalf("%s has %d bytes, want %d; equal up to %d", name, len(got), len(want), equalUpTo(got, want))
	}
}

func equalUpTo(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func (c *cell) refused(err error, code api.Code) {
	c.t.Helper()
	if !Refused(err, code) {
		c.t.Fatalf("%v; want a refusal with %v", err, code)
	}
}

// hooked calls a function when the first n bytes were read. It can seek.
type hooked struct {
	*bytes.Reader
	at   int64
	hook func() error
}

func (h *hooked) Read(b []byte) (int, error) {
	if h.hook != nil && h.Size()-int64(h.Len()) >= h.at {
		hook := h.hook
		h.hook = nil
		if err := hook(); err != nil {
			return 0, err
		}
	}
	return h.Reader.Read(b)
}

// pipe hides that a reader can seek.
type pipe struct{ io.Reader }

var errUnplugged = errors.New("unplugged")
