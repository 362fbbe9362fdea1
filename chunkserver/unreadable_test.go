package chunkserver

import (
	"errors"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/internal/disk"
)

// unreadable is a file of which a sector cannot be read.
type unreadable struct{ disk.File }

func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, errors.New("bad sector") }

// The masters hear of a replica that the disk does not give back: nobody else would
// ever replace it.
func TestUnreadableReplicaIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.grant(1, 10, 5, "a")
		c.append(1, 1, payload(1, 100), "a")
		s := c.servers["a"]
		if r := s.report(); len(r) != 1 || r[0].Corrupt {
			t.Fatalf("%v", r)
		}
		x := s.chunk(handle)
		x.mu.Lock()
		whole := x.file.handle
		x.file.handle = unreadable{whole}
		x.mu.Unlock()
		read := &api.ReadChunkRequest{Handle: handle, Version: 1, Length: 10}
		if _, err := s.ReadChunk(c.ctx(), read); status.Code(err) != codes.Unavailable {
			t.Errorf("read of a bad sector: %v", err)
		}
		if r := s.report(); len(r) != 1 || !r[0].Corrupt {
			t.Errorf("reported as %v", r)
		}
		x.mu.Lock()
		x.file.handle = whole
		x.mu.Unlock()
		if r, err := s.ReadChunk(c.ctx(), read); err != nil || len(r.Data) != 10 {
			t.Errorf("read once the disk answers: %v, %v", r, err)
		}
	})
}
