package file

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"os"

	"gfslab/api"
	"gfslab/client"
)

// Transfer is how a put or get ended.
type Transfer struct {
	Bytes int64
	// Resumed is how many of them were there from an earlier try.
	Resumed int64
	SHA256  [sha256.Size]byte
}

// Progress is called with the bytes that are done; calls come one at a time.
type Progress func(done int64)

// PartSuffix is what a get that is not complete is named by.
const PartSuffix = ".part"

// Get copies a file to a local one, which appears under its name when it is
// complete; until then it is in local.part, where a later Get goes on after the
// chunks that are whole and equal. The local file is replaced.
func (f *FS) Get(ctx context.Context, name, local string, progress Progress) (t Transfer, err error) {
	st, err := f.Stat(ctx, name, 0)
	if err != nil {
		return t, err
	}
	if st.Directory {
		return t, ended(name, client.OK, api.Code_IS_DIRECTORY, nil)
	}
	part, err := os.OpenFile(local+PartSuffix, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return t, err
	}
	defer func() {
		if e := part.Close(); err == nil {
			err = e
		}
		if err == nil {
			err = os.Rename(local+PartSuffix, local)
		}
	}()
	g := &getting{f: f, name: name, st: st, to: part, sha: sha256.New(), progress: progress}
	if err := g.resume(ctx); err != nil {
		return t, err
	}
	t.Resumed = g.done
	if err := f.ReadChunks(ctx, name, st, ReadOptions{From: g.chunk}, g.write); err != nil {
		return t, err
	}
	t.Bytes = g.done
	g.sha.Sum(t.SHA256[:0])
	return t, part.Sync()
}

// getting is a Get while it runs.
type getting struct {
	f        *FS
	name     string
	st       *api.StatReply
	to       *os.File
	sha      hash.Hash
	done     int64
	chunk    int // the first one that is still to be read
	progress Progress
}

// resume finds the chunks that the local file has whole, bytes chunks at its start
// whose checksum a replica confirms, and cuts it behind them.
func (g *getting) resume(ctx context.Context) error {
	info, err := g.to.Stat()
	if err != nil {
		return err
	}
	for left := info.Size(); left > 0 && g.chunk < len(g.st.Chunks); g.chunk++ {
		if g.chunk >= len(g.st.Details) || g.st.Details[g.chunk].Kind != api.ChunkKind_BYTES {
			break
		}
		n, err := g.same(ctx, g.st.Chunks[g.chunk], left)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		g.done += n
		left -= n
	}
	if err := g.to.Truncate(g.done); err != nil {
		return err
	}
	if _, err := g.to.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.CopyN(g.sha, g.to, g.done); err != nil {
		return err
	}
	g.tell()
	return nil
}

// same is the length of the chunk if the local file has just its bytes at the
// place, out of left; else 0.
func (g *getting) same(ctx context.Context, handle uint64, left int64) (int64, error) {
	sums, code, err := g.f.main.Sums(ctx, handle)
	if err != nil || code != api.Code_OK {
		return 0, ended(g.name, outcomeOf(err), code, err)
	}
	for _, s := range sums {
		if s.Err != nil || s.End == 0 || int64(s.End) > left {
			continue
		}
		sum := crc32.New(castagnoli)
		if _, err := io.Copy(sum, io.NewSectionReader(g.to, g.done, int64(s.End))); err != nil {
			return 0, err
		}
		if sum.Sum32() == s.CRC {
			return int64(s.End), nil
		}
	}
	return 0, nil
}

func (g *getting) write(b Block) error {
	if _, err := g.to.Write(b.Data); err != nil {
		return err
	}
	g.sha.Write(b.Data)
	g.done += int64(len(b.Data))
	g.tell()
	return nil
}

func (g *getting) tell() {
	if g.progress != nil {
		g.progress(g.done)
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// outcomeOf is that of a lookup: it has no effect that could be in doubt.
func outcomeOf(err error) client.Outcome {
	if err != nil {
		return client.Fail
	}
	return client.OK
}

var errChanged = errors.New("the input is not what the first part was made from")
