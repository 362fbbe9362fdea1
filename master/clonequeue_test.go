package master

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestCloneQueueOrder: copies left, then who is waited for, then who is not
// hidden, then who came first.
func TestCloneQueueOrder(t *testing.T) {
	q, now := newCloneQueue(), time.Unix(1, 0)
	q.put(1, urgency{live: 2, hidden: true}, now, 0)
	q.put(2, urgency{live: 2}, now, 0)
	q.put(3, urgency{live: 2}, now, 0)
	q.put(4, urgency{live: 2}, now, 0)
	q.put(5, urgency{live: 1, hidden: true}, now, 0)
	q.put(6, urgency{live: 1}, now, time.Second)
	q.want(4, now)
	q.want(1, now)
	var got []uint64
	for {
		task := q.take(now)
		if task == nil {
			break
		}
		got = append(got, task.handle)
	}
	if want := []uint64{5, 4, 1, 2, 3}; !slices.Equal(got, want) {
		t.Fatalf("taken %v, want %v", got, want)
	}
	if task := q.take(now.Add(time.Second)); task == nil || task.handle != 6 {
		t.Fatalf("a second later: %v", task)
	}
}

// TestCloneQueueRandom: against a list that is sorted anew for each task.
func TestCloneQueueRandom(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		q, now := newCloneQueue(), time.Unix(1, 0)
		taken := make(map[uint64]*task)
		for range 500 {
			now = now.Add(time.Duration(rng.IntN(100)) * time.Millisecond)
			handle := 1 + rng.Uint64N(30)
			switch rng.IntN(6) {
			case 0, 1:
				u := urgency{live: rng.IntN(3), hidden: rng.IntN(2) == 0}
				if _, known := q.tasks[handle]; q.put(handle, u, now, time.Duration(rng.IntN(1000))*time.Millisecond) == known {
					t.Fatalf("seed %d: a task is new or known", seed)
				}
			case 2:
				q.want(handle, now)
			case 3:
				q.drop(handle)
				delete(taken, handle)
			case 4:
				if x := taken[handle]; x != nil {
					q.giveBack(x, now, time.Duration(rng.IntN(300))*time.Millisecond)
					delete(taken, handle)
				}
			case 5:
				want := best(q, taken, now)
				got := q.take(now)
				if got != want {
					t.Fatalf("seed %d: took %+v, want %+v", seed, got, want)
				}
				if got != nil {
					taken[got.handle] = got
				}
			}
			if q.waiting()+len(taken) != len(q.tasks) {
				t.Fatalf("seed %d: %d wait, %d are taken, %d known", seed, q.waiting(), len(taken), len(q.tasks))
			}
		}
	}
}

func best(q *cloneQueue, taken map[uint64]*task, now time.Time) *task {
	var ready []*task
	for h, x := range q.tasks {
		if taken[h] == nil && !x.notBefore.After(now) {
			ready = append(ready, x)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	number := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return slices.MinFunc(ready, func(a, b *task) int {
		return cmp.Or(cmp.Compare(a.live, b.live), number(b.wanted)-number(a.wanted), number(a.hidden)-number(b.hidden), cmp.Compare(a.seq, b.seq))
	})
}
