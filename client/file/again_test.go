package file

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// What was put and moved away stays as it is when something else is put to its name,
// and so does what replaces it: neither is written to by what is known of the other.
func TestPutAgainToTheSameName(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		ctx := context.Background()
		first, second, third := noise(3*chunk+7, 1), noise(3*chunk+9, 2), noise(2*chunk, 3)
		c.put("/f", first)
		c.must(c.Rename(ctx, "/f", "/g"))
		c.put("/f", second)
		c.same("/g", first)
		c.same("/f", second)
		_, err := c.Put(ctx, bytes.NewReader(third), "/f", PutOptions{Source: theSource, Replace: true})
		c.must(err)
		c.same("/f", third)
		c.same("/g", first)
	})
}

// A put that starts over writes nothing to the chunks of the one before it.
func TestPutStartsOverWithTheSameClients(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		cut := &hooked{bytes.NewReader(noise(4*chunk, 1)), 3 * chunk, func() error { return errUnplugged }}
		if _, err := c.Put(context.Background(), cut, "/f", again); !errors.Is(err, errUnplugged) {
			t.Fatalf("cut off: %v", err)
		}
		data := noise(4*chunk, 2)
		if put := c.put("/f", data); put.Resumed != 0 {
			t.Errorf("resumed %d bytes of another input", put.Resumed)
		}
		c.same("/f", data)
	})
}
