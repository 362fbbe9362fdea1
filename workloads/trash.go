package workloads

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// deleteGC makes temporary files with a record each and deletes them: what it
// leaves behind has to be collected when its retention is over.
type deleteGC struct {
	size      func(*rand.Rand) int
	retention time.Duration
	clients   []trash
}

// trash is what one client believes to have: names by number, from the oldest on.
type trash struct {
	made int
	// live are those that it made and did not delete, gone those that it deleted.
	live, gone []int
}

// The shares in percent; the rest is divided evenly between creating and deleting.
const (
	trashUndelete = 1
	trashExpedite = 1
)

func newDeleteGC(cfg Config) Workload {
	w := &deleteGC{size: cfg.recordSize(), retention: cfg.Retention, clients: make([]trash, cfg.Clients)}
	if w.retention == 0 {
		w.retention = time.Second
	}
	return w
}

func (w *deleteGC) Load(*rand.Rand) []Op {
	var ops []Op
	for c := range w.clients {
		top := trashTop(c)
		ops = append(ops, Op{Kind: Mkdir, Path: top}, Op{Kind: SetAttributes, Path: top, Retention: w.retention})
	}
	return ops
}

func trashTop(client int) string { return fmt.Sprintf("/g%d", client) }

func trashFile(client, n int) string { return fmt.Sprintf("/g%d/t%d", client, n) }

// Next deletes the oldest file, and brings back or expedites one of those deleted
// last: their retention is not over yet.
func (w *deleteGC) Next(rng *rand.Rand, client int) Op {
	t := &w.clients[client]
	pick := rng.IntN(100)
	switch {
	case pick < trashUndelete && len(t.gone) > 0:
		n := t.take(rng)
		t.live = append(t.live, n)
		return Op{Kind: Undelete, Path: trashFile(client, n)}
	case pick < trashUndelete+trashExpedite && len(t.gone) > 0:
		return Op{Kind: Delete, Path: trashFile(client, t.take(rng)), Hidden: true}
	case pick%2 == 0 || len(t.live) == 0:
		path := trashFile(client, t.made)
		t.live = append(t.live, t.made)
		t.made++
		return Op{Kind: Create, Path: path, Then: &Op{Kind: Append, Path: path, Size: w.size(rng)}}
	}
	n := t.live[0]
	t.live = t.live[1:]
	t.gone = append(t.gone, n)
	if len(t.gone) > 16 {
		t.gone = t.gone[1:]
	}
	return Op{Kind: Delete, Path: trashFile(client, n)}
}

// take forgets one of the names that were deleted last and returns it.
func (t *trash) take(rng *rand.Rand) int {
	i := rng.IntN(len(t.gone))
	n := t.gone[i]
	t.gone = append(t.gone[:i], t.gone[i+1:]...)
	return n
}
