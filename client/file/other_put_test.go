package file

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"gfslab/api"
	"gfslab/client"
)

// A put whose partial file another put has thrown away and made anew fails, whatever
// it was about to do: it neither adds a chunk to the other one's file and calls the
// mixture its own, nor gives the name to what the other one has so far.
func TestPutOverAnotherOnesPartialFile(t *testing.T) {
	for _, late := range []bool{false, true} {
		inCell(t, 3, func(t *testing.T, c *cell) {
			ctx := context.Background()
			old, first, second := noise(100, 1), noise(3*chunk, 2), noise(3*chunk, 3)
			c.put("/f", old)
			other := c.fs("other")
			cut := func() {
				// It begins, starts over since its input is another one, and is cut off after
				// two chunks.
				in := &hooked{bytes.NewReader(second), 2 * chunk, func() error { return errUnplugged }}
				if _, err := other.Put(ctx, in, "/f", PutOptions{Source: theSource, Replace: true}); !errors.Is(err, errUnplugged) {
					t.Errorf("late %v: the other put: %v", late, err)
				}
			}
			in := &hooked{bytes.NewReader(first), 2 * chunk, func() error { cut(); return nil }}
			o := PutOptions{Source: theSource, Replace: true}
			if late {
				in.hook = nil
				o.Progress = func(n int64) {
					if n == int64(len(first)) {
						cut()
					}
				}
			}
			_, err := c.Put(ctx, in, "/f", o)
			if got := c.content("/f"); err == nil && !bytes.Equal(got, first) {
				t.Errorf("late %v: the put succeeded, and the file has %d bytes, like its own up to %d and the other's up to %d",
					late, len(got), equalUpTo(got, first), equalUpTo(got, second))
			} else if err != nil && !bytes.Equal(got, old) {
				t.Errorf("late %v: the put failed with %v, and the file has %d bytes, not the old ones", late, err, len(got))
			}
		})
	}
}

// A put that was not told whether its file got the name says so, also when it did get
// it: then the partial file is gone, and no other put need have had a hand in that.
func TestPutThatIsNotToldOfItsName(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		ctx := context.Background()
		p := &putting{f: c.FS, name: "/f", partial: "/partial"}
		c.must(p.create(ctx))
		c.must(c.Rename(ctx, p.partial, p.name))
		err := p.lost(ctx, ended(p.name, client.Unknown, api.Code_OK, errUnplugged))
		var e *Error
		if !errors.As(err, &e) || e.Outcome != client.Unknown {
			t.Errorf("the file may have got its name, and the put says: %v", err)
		}
	})
}
