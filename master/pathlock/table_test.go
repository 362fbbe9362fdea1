package pathlock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// conflict says by strings alone whether two sets of locks exclude each other:
// one writes what the other locks, or an ancestor of it.
func conflict(a, b []Lock) bool {
	covers := func(w, l Lock) bool {
		return w.Write && (w.Path == l.Path || w.Path == "/" || strings.HasPrefix(l.Path, w.Path+"/"))
	}
	for _, x := range a {
		for _, y := range b {
			if covers(x, y) || covers(y, x) {
				return true
			}
		}
	}
	return false
}

// user is one caller of a random test: it arrives, holds, and may lose patience.
type user struct {
	locks    []Lock
	arrives  time.Duration
	holds    time.Duration
	patience time.Duration // 0: waits as long as it takes
}

// play runs the users against one table and returns what went wrong. A deadlock
// ends the bubble with a panic that says so.
func play(t *testing.T, users []user) (faults []string) {
	synctest.Test(t, func(t *testing.T) {
		var table Table
		var mu sync.Mutex
		holding := map[int]bool{}
		fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
		var wg sync.WaitGroup
		for i, u := range users {
			wg.Go(func() {
				time.Sleep(u.arrives)
				ctx := t.Context()
				if u.patience > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, u.patience)
					defer cancel()
				}
				held, err := table.Acquire(ctx, u.locks...)
				mu.Lock()
				if err != nil {
					if u.patience == 0 || !errors.Is(err, context.DeadlineExceeded) {
						fault("user %d: %v", i, err)
					}
					mu.Unlock()
					return
				}
				for other := range holding {
					if conflict(u.locks, users[other].locks) {
						fault("%v is held beside %v", u.locks, users[other].locks)
					}
				}
				holding[i] = true
				mu.Unlock()
				time.Sleep(u.holds)
				mu.Lock()
				delete(holding, i)
				mu.Unlock()
				held.Release()
			})
		}
		wg.Wait()
		if n := table.Len(); n != 0 || table.root.users != 0 || table.root.readers != 0 || table.root.writer || len(table.root.queue) != 0 {
			fault("%d paths are still in the table; / is %+v", n, table.root)
		}
	})
	return faults
}

// TestExclusion: random users on a few overlapping paths exclude each other as
// the strings say, all come through, and nothing stays behind.
func TestExclusion(t *testing.T) {
	paths := []string{"/", "/a", "/b", "/a/a", "/a/b", "/b/a", "/ab", "/a/a/a", "/a/a/b", "/a/b/c/d/e/f/g/h/i"}
	rapid.Check(t, func(rt *rapid.T) {
		lock := rapid.Custom(func(rt *rapid.T) Lock {
			return Lock{rapid.SampledFrom(paths).Draw(rt, "path"), rapid.Bool().Draw(rt, "write")}
		})
		users := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) user {
			ms := func(label string, most int) time.Duration {
				return time.Duration(rapid.IntRange(0, most).Draw(rt, label)) * time.Millisecond
			}
			return user{rapid.SliceOfN(lock, 1, 3).Draw(rt, "locks"), ms("arrives", 5), ms("holds", 5), ms("patience", 8)}
		}), 1, 16).Draw(rt, "users")
		if faults := play(t, users); len(faults) > 0 {
			rt.Fatalf("%s", strings.Join(faults, "\n"))
		}
	})
}

// TestParallel: what the paper wants to run side by side does.
func TestParallel(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []Lock
		want bool
	}{
		{"creates in one directory", []Lock{Write("/home/a")}, []Lock{Write("/home/b")}, true},
		{"creates of one name", []Lock{Write("/home/a")}, []Lock{Write("/home/a")}, false},
		{"create below a directory that is copied", []Lock{Write("/home/user"), Write("/save/user")}, []Lock{Write("/home/user/foo")}, false},
		{"create beside a directory that is copied", []Lock{Write("/home/user"), Write("/save/user")}, []Lock{Write("/home/other")}, true},
		{"two leases on one file", []Lock{Read("/f")}, []Lock{Read("/f")}, true},
		{"a lease and a copy", []Lock{Read("/d/f")}, []Lock{Write("/d"), Write("/e")}, false},
		{"a copy of everything", []Lock{Write("/")}, []Lock{Read("/d/f")}, false},
		{"names that begin alike", []Lock{Write("/a")}, []Lock{Write("/ab/c")}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var table Table
			a, err := table.Acquire(t.Context(), c.a...)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan *Held)
			go func() {
				b, err := table.Acquire(t.Context(), c.b...)
				if err != nil {
					t.Error(err)
				}
				done <- b
			}()
			synctest.Wait()
			beside := false
			select {
			case b := <-done:
				beside = true
				b.Release()
				a.Release()
			default:
				a.Release()
				(<-done).Release()
			}
			if beside != c.want {
				t.Errorf("%s: side by side is %v, want %v", c.name, beside, c.want)
			}
		})
	}
}

// TestNoStarvation: a writer comes before the readers that came after it.
func TestNoStarvation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table Table
		first, err := table.Acquire(t.Context(), Read("/f"))
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		var mu sync.Mutex
		var wg sync.WaitGroup
		enter := func(name string, l Lock) {
			wg.Go(func() {
				h, err := table.Acquire(t.Context(), l)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				h.Release()
			})
			synctest.Wait()
		}
		enter("writer", Write("/f"))
		enter("reader", Read("/f"))
		first.Release()
		wg.Wait()
		if got := strings.Join(order, " "); got != "writer reader" {
			t.Fatalf("the order is %s", got)
		}
	})
}

// TestGivenUp: who waited behind one that gave up need not wait longer than for who
// holds the lock.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table Table
		reader, err := table.Acquire(t.Context(), Read("/f"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error)
		go func() {
			_, err := table.Acquire(ctx, Write("/f"))
			gaveUp <- err
		}()
		synctest.Wait()
		beside := make(chan *Held)
		go func() {
			h, err := table.Acquire(t.Context(), Read("/f"))
			if err != nil {
				t.Error(err)
			}
			beside <- h
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		(<-beside).Release()
		reader.Release()
		if table.Len() != 0 {
			t.Fatalf("%d paths are still in the table", table.Len())
		}
	})
}

// TestConcurrent is for the race detector.
func TestConcurrent(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var table Table
	counts := make([]int, 8) // counts[i] is guarded by the lock of /d/i
	var wg sync.WaitGroup
	for worker := range 8 {
		rng := rand.New(rand.NewPCG(seed, uint64(worker)))
		wg.Go(func() {
			for range 2000 {
				i, j := rng.IntN(len(counts)), rng.IntN(len(counts))
				h, err := table.Acquire(t.Context(), Write(fmt.Sprint("/d/", i)), Write(fmt.Sprint("/d/", j)))
				if err != nil {
					t.Error(err)
					return
				}
				counts[i]++
				counts[j]++
				h.Release()
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	if total != 8*2000*2 {
		t.Fatalf("seed %d: %d increments, want %d", seed, total, 8*2000*2)
	}
}

func BenchmarkAcquire(b *testing.B) {
	paths := make([]string, 64)
	for i := range paths {
		paths[i] = fmt.Sprintf("/home/user%02d/project/file%02d", i%8, i)
	}
	b.Run("depth 4", func(b *testing.B) {
		var table Table
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			h, err := table.Acquire(b.Context(), Write(paths[i%len(paths)]))
			if err != nil {
				b.Fatal(err)
			}
			h.Release()
		}
	})
	b.Run("depth 4 twice", func(b *testing.B) {
		var table Table
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			h, err := table.Acquire(b.Context(), Write(paths[i%len(paths)]), Write(paths[(i+1)%len(paths)]))
			if err != nil {
				b.Fatal(err)
			}
			h.Release()
		}
	})
	b.Run("depth 4 from all cores", func(b *testing.B) {
		var table Table
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := rand.IntN(len(paths)); pb.Next(); i++ {
				h, err := table.Acquire(b.Context(), Write(paths[i%len(paths)]))
				if err != nil {
					b.Error(err)
					return
				}
				h.Release()
			}
		})
	})
}
