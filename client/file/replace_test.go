package file

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"gfslab/api"
)

// A put that replaces a file and is cut off leaves the old one as it was; when it is
// done the old one can be brought back. A directory is not replaced.
func TestPutReplacesInOneStep(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		ctx := context.Background()
		first, second := noise(2*chunk+5, 1), noise(3*chunk+7, 2)
		c.put("/f", first)
		cut, cancel := context.WithCancel(ctx)
		_, err := c.Put(cut, bytes.NewReader(second), "/f", PutOptions{Source: theSource, Replace: true, Progress: func(n int64) {
			if n > 2*chunk {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cut off: %v", err)
		}
		c.same("/f", first)
		_, err = c.Put(ctx, bytes.NewReader(second), "/f", PutOptions{Source: theSource, Replace: true})
		c.must(err)
		c.same("/f", second)
		c.must(c.Rename(ctx, "/f", "/new"))
		c.must(c.Undelete(ctx, "/f", 0))
		c.same("/f", first)
		c.must(c.Mkdir(ctx, "/d", false))
		_, err = c.Put(ctx, bytes.NewReader(second), "/d", PutOptions{Source: theSource, Replace: true})
		c.refused(err, api.Code_EXISTS)
	})
}

// Of two puts to one path at once each is whole or fails; what is there in the end is
// one of the two files, never a mix.
func TestTwoPutsAtOnce(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		ctx := context.Background()
		for round := range uint64(6) {
			name := "/f" + string(rune('a'+round))
			data := [][]byte{noise(3*chunk+100, 10+round), noise(3*chunk+int(round)*chunk/2, 20+round)}
			errs := make([]error, 2)
			var both sync.WaitGroup
			for i, f := range []*FS{c.fs("one" + name), c.fs("two" + name)} {
				both.Go(func() {
					_, errs[i] = f.Put(ctx, bytes.NewReader(data[i]), name, PutOptions{Replace: round%2 == 0})
				})
			}
			both.Wait()
			var got bytes.Buffer
			err := c.Read(ctx, name, ReadOptions{}, func(b Block) error { got.Write(b.Data); return nil })
			switch {
			case Refused(err, api.Code_NOT_FOUND) && errs[0] != nil && errs[1] != nil:
				// Each hindered the other.
			case err != nil:
				t.Errorf("round %d: %v; the puts %v", round, err, errs)
			case errs[0] == nil && bytes.Equal(got.Bytes(), data[0]) || errs[1] == nil && bytes.Equal(got.Bytes(), data[1]):
			default:
				t.Errorf("round %d: %d bytes that neither put, which ended with %v", round, got.Len(), errs)
			}
			t.Logf("round %d: %v", round, errs)
		}
	})
}
