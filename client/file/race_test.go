package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/client"
)

// from makes an FS whose network is a node's of its own; close its connections.
func (c *cell) from(node string) (*FS, *client.Conns) {
	c.t.Helper()
	shared := c.conns
	defer func() { c.conns = shared }()
	c.conns = client.NewConns(c.Fabric.Node(node).Dial, 0)
	return c.fs(node), c.conns
}

// racers are two such.
func (c *cell) racers() (puts [2]*FS, end func()) {
	one, first := c.from("one")
	two, second := c.from("two")
	return [2]*FS{one, two}, func() {
		c.Fabric.HealAll()
		c.must(errors.Join(first.Close(), second.Close()))
	}
}

// hinder holds back what a node sends to one chunkserver after the other, for random
// times, until the puts have ended.
func (c *cell) hinder(rng *rand.Rand, ended <-chan struct{}, nodes ...string) {
	servers := []string{"cs1", "cs2", "cs3"}
	for {
		node, server := nodes[rng.IntN(len(nodes))], servers[rng.IntN(len(servers))]
		c.Fabric.Cut(node, server)
		select {
		case <-time.After(time.Duration(rng.IntN(900)) * time.Millisecond):
		case <-ended:
		}
		c.Fabric.Heal(node, server)
		select {
		case <-ended:
			return
		case <-time.After(time.Duration(rng.IntN(30)) * time.Millisecond):
		}
	}
}

// race puts two inputs to a path at once and returns what came of them. All that was
// under way has arrived when it returns.
func (c *cell) race(rng *rand.Rand, puts [2]*FS, name string, data [2][]byte, o [2]PutOptions) (errs [2]error) {
	var both, hindered sync.WaitGroup
	done := make(chan struct{})
	later := [2]time.Duration{time.Duration(rng.IntN(5)) * time.Millisecond, time.Duration(rng.IntN(5)) * time.Millisecond}
	hindered.Go(func() { c.hinder(rng, done, "one", "two") }) // the generator is its own until it ends
	for i := range puts {
		both.Go(func() {
			<-time.After(later[i])
			_, errs[i] = puts[i].Put(context.Background(), bytes.NewReader(data[i]), name, o[i])
		})
	}
	both.Wait()
	close(done)
	hindered.Wait()
	<-time.After(2 * time.Second)
	return errs
}

// oneOf checks that the file is one that was put, and that whoever did not put it was
// told so.
func (c *cell) oneOf(name string, data [2][]byte, replace bool, errs [2]error) {
	c.t.Helper()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !replace && Refused(err, api.Code_EXISTS): // the other one was done before it began
		case replace || !strings.HasPrefix(err.Error(), name+": ") || !strings.Contains(err.Error(), "somebody else has put it"):
			c.t.Errorf("%s: the loser is told: %v", name, err)
		}
	}
	if won == 0 || won == 2 && !replace {
		c.t.Errorf("%s: %d puts have won: %v", name, won, errs)
	}
	got := c.content(name)
	if !(errs[0] == nil && bytes.Equal(got, data[0]) || errs[1] == nil && bytes.Equal(got, data[1])) {
		c.t.Errorf("%s: %d bytes that no put has put, which ended with %v; equal up to %d and %d",
			name, len(got), errs, equalUpTo(got, data[0]), equalUpTo(got, data[1]))
	}
}

// Two puts of different bytes to one path at once, some of whose writes come late:
// what is there is one of them, also after all that was under way has arrived.
func TestPutsRace(t *testing.T) {
	const seed = 5
	t.Logf("seed %d", seed)
	inCell(t, 3, func(t *testing.T, c *cell) {
		rng := rand.New(rand.NewPCG(seed, 0))
		puts, end := c.racers()
		defer end()
		for round := range uint64(40) {
			name := fmt.Sprintf("/f%d", round)
			size := 2*chunk + rng.IntN(2*chunk)
			data := [2][]byte{noise(size, 100+round), noise(size, 200+round)}
			replace := round%2 == 0
			errs := c.race(rng, puts, name, data, [2]PutOptions{
				{Source: Source{"one:/in", name}, Replace: replace}, {Source: Source{"two:/in", name}, Replace: replace}})
			c.oneOf(name, data, replace, errs)
			t.Logf("%v", errs)
		}
	})
}

// Two puts of the same source at once go on in each other's partial file; what is there
// is that source's.
func TestPutsOfTheSameSourceRace(t *testing.T) {
	const seed = 6
	t.Logf("seed %d", seed)
	inCell(t, 3, func(t *testing.T, c *cell) {
		rng := rand.New(rand.NewPCG(seed, 0))
		puts, end := c.racers()
		defer end()
		for round := range uint64(20) {
			name := fmt.Sprintf("/f%d", round)
			data := noise(2*chunk+rng.IntN(2*chunk), round)
			errs := c.race(rng, puts, name, [2][]byte{data, data}, [2]PutOptions{again, again})
			t.Logf("%v", errs)
			for _, err := range errs {
				if err != nil && !strings.HasPrefix(err.Error(), name+": ") {
					t.Errorf("%s: %v", name, err)
				}
			}
			if errs[0] != nil && errs[1] != nil {
				c.put(name, data)
			}
			c.same(name, data)
		}
	})
}

// The loser's bytes are there for a put that replaces; those of an input that cannot
// be had again are removed.
func TestPutThatLost(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		ctx := context.Background()
		first, second := noise(2*chunk, 1), noise(3*chunk, 2)
		for name, o := range map[string]PutOptions{"/kept": again, "/removed": {}} {
			_, err := c.Put(ctx, &hooked{bytes.NewReader(second), 2 * chunk, func() error {
				_, err := c.fs("other"+name).Put(ctx, bytes.NewReader(first), name, PutOptions{})
				return err
			}}, name, o)
			if err == nil || !strings.HasPrefix(err.Error(), name+": somebody else has put it meanwhile") {
				t.Errorf("%s: %v", name, err)
			}
			c.same(name, first)
		}
		left := c.names("/")
		if len(left) != 3 || left[0] != Partial("/kept", theSource)[1:] {
			t.Errorf("left are %q", left)
		}
		put, err := c.Put(ctx, bytes.NewReader(second), "/kept", PutOptions{Source: theSource, Replace: true})
		c.must(err)
		if put.Resumed != int64(len(second)) {
			t.Errorf("resumed %d bytes of %d", put.Resumed, len(second))
		}
		c.same("/kept", second)
	})
}

// A source that has changed is put from its beginning, and what was put of it before
// is removed; that of other sources stays.
func TestPutOfAChangedSource(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		ctx := context.Background()
		for _, s := range []Source{{"a", "1"}, {"b", "1"}} {
			cut := &hooked{bytes.NewReader(noise(3*chunk, 1)), 2 * chunk, func() error { return errUnplugged }}
			if _, err := c.Put(ctx, cut, "/f", PutOptions{Source: s}); err == nil {
				t.Fatal("it was not cut off")
			}
		}
		data := noise(2*chunk, 2)
		put, err := c.Put(ctx, bytes.NewReader(data), "/f", PutOptions{Source: Source{"a", "2"}})
		c.must(err)
		if put.Resumed != 0 {
			t.Errorf("resumed %d bytes", put.Resumed)
		}
		c.same("/f", data)
		if left := c.names("/"); len(left) != 2 || left[0] != Partial("/f", Source{"b", "1"})[1:] {
			t.Errorf("left are %q", left)
		}
	})
}

func (c *cell) names(dir string) (all []string) {
	c.t.Helper()
	_, err := c.List(context.Background(), dir, ListOptions{}, func(e *api.Entry) error { all = append(all, e.Name); return nil })
	c.must(err)
	return all
}

// Names of partial files are valid for every name, and no two sources or paths have
// the same.
func TestPartialNames(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{"/f", "/d/f", "/" + strings.Repeat("x", 255), "/" + strings.Repeat("x", 254) + "y", "/" + strings.Repeat("é", 127)} {
		for _, s := range []Source{{}, {"a", ""}, {"", "a"}, {"a", "b"}, {"ab", ""}} {
			p := Partial(name, s)
			base := p[strings.LastIndex(p, "/")+1:]
			if seen[p] || len(base) > 255 || !strings.HasPrefix(p, name[:strings.LastIndex(name, "/")+1]+".") || strings.ToValidUTF8(p, "") != p {
				t.Errorf("%q for %q of %v", p, name, s)
			}
			seen[p] = true
		}
	}
	inCell(t, 3, func(t *testing.T, c *cell) { c.put("/"+strings.Repeat("x", 255), []byte("x")) })
}
