package harness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gfslab/client"
	"gfslab/harness/cluster"
	"gfslab/harness/history"
	kvclient "gfslab/kv/client"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// load drives a plan's workload: one goroutine a client thread, each with one
// operation open at a time.
type load struct {
	plan     rundir.Plan
	began    time.Time // zero of the run's clock
	workload workloads.Workload
	history  *history.Recorder
	conns    *client.Conns
	threads  []*thread
	stopped  chan struct{}
	wg       sync.WaitGroup

	measuring atomic.Bool
	completed atomic.Uint64
	// broken is the node id of the fault's victim, 0 when all is well.
	broken atomic.Uint64

	mu      sync.Mutex
	handles map[string][]uint64 // of allocated chunks, by path and index
	records map[string][]place  // acknowledged records by path
	hidden  map[string]uint64   // ids of what was deleted last, by path
}

// place is where an acknowledged record is.
type place struct {
	handle, offset uint64
	chunk          uint32
}

// newLoad makes the threads; the last one preloads and reads at the end.
func newLoad(p rundir.Plan, cell *cluster.Cluster, began time.Time) (*load, error) {
	w, err := workloads.New(p.Workload, workloads.Config{
		Clients: p.Clients, RecordBytes: p.RecordBytes, Sizes: p.RecordSizes, ChunkBytes: p.ChunkBytes, Files: p.Files,
		Retention: time.Duration(p.Retention), Period: time.Duration(p.Period),
	})
	if err != nil {
		return nil, err
	}
	l := &load{
		plan: p, began: began, workload: w, stopped: make(chan struct{}),
		history: history.New(p.Clients+1, "", func() int64 { return int64(time.Since(began)) }),
		conns:   client.NewConns(client.Dialer(cell.Dialer("client")), 0),
		handles: map[string][]uint64{}, records: map[string][]place{}, hidden: map[string]uint64{},
	}
	limits, err := PlanLimits(p)
	if err != nil {
		return nil, err
	}
	var masters []client.Master
	for id, addr := range cell.MasterAddresses() {
		masters = append(masters, client.Master{ID: id, Addr: addr})
	}
	sortMasters(masters)
	for i := range p.Clients + 1 {
		t := &thread{load: l, id: i, rng: workloads.Rand(p.Seed, uint64(i)+1), masters: p.Replicas + p.Replace, tails: map[string]*cursor{}}
		t.client, err = client.New(client.Options{
			Name: fmt.Sprintf("t%d", i), Masters: masters, Conns: l.conns, Seed: p.Seed<<16 + uint64(i), OpTimeout: time.Duration(p.OpTimeout),
		})
		if err == nil && workloads.IsKV(p.Workload) {
			o := kvclient.Options{Name: fmt.Sprintf("t%d", i)}
			o.Nodes, o.Conns, o.Seed, o.OpTimeout = masters, l.conns, p.Seed<<16+uint64(i), time.Duration(p.OpTimeout)
			t.kv, err = newKVThread(o, limits.ReadMode, workloads.Rand(p.Seed, uint64(i)+1<<32))
		}
		if err != nil {
			return nil, err
		}
		l.threads = append(l.threads, t)
	}
	return l, nil
}

// now is the run's clock; at takes a time to it, exactly: an end that came out
// a little early would order operations that overlapped.
func (l *load) now() int64           { return l.at(time.Now()) }
func (l *load) at(t time.Time) int64 { return int64(t.Sub(l.began)) }

// preload prepares the cell; every operation must succeed. Free ones that stand
// together are spread over all threads.
func (l *load) preload(ctx context.Context) error {
	t := l.threads[l.plan.Clients]
	ops := l.workload.Load(workloads.Rand(l.plan.Seed, 0))
	if l.plan.Retention > 0 && !workloads.IsKV(l.plan.Workload) {
		ops = append([]workloads.Op{{Kind: workloads.SetAttributes, Path: "/", Retention: time.Duration(l.plan.Retention)}}, ops...)
	}
	for len(ops) > 0 {
		n := 0
		for n < len(ops) && ops[n].Free {
			n++
		}
		var err error
		if n > 0 {
			err = l.spread(ctx, ops[:n], rundir.PhasePreload)
		} else {
			n, err = 1, t.mustDo(ctx, ops[0], rundir.PhasePreload)
		}
		if err != nil {
			return err
		}
		ops = ops[n:]
	}
	return nil
}

// spread has the client threads perform operations side by side; each must succeed.
func (l *load) spread(ctx context.Context, ops []workloads.Op, phase string) error {
	var wg sync.WaitGroup
	errs := make([]error, l.plan.Clients)
	for i := range l.plan.Clients {
		wg.Go(func() {
			for j := i; j < len(ops) && errs[i] == nil; j += l.plan.Clients {
				errs[i] = l.threads[i].mustDo(ctx, ops[j], phase)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// tryAll has the threads do operations that may fail.
func (l *load) tryAll(ctx context.Context, ops []workloads.Op, phase string) {
	var wg sync.WaitGroup
	for i := range l.plan.Clients {
		wg.Go(func() {
			for j := i; j < len(ops) && ctx.Err() == nil; j += l.plan.Clients {
				l.threads[i].do(ctx, ops[j], phase, l.now())
			}
		})
	}
	wg.Wait()
}

// start lets the threads run until stop.
func (l *load) start(ctx context.Context) {
	began := l.now()
	for _, t := range l.threads[:l.plan.Clients] {
		if paced, ok := l.workload.(workloads.Paced); ok && paced.Period(t.id) > 0 {
			arrival := workloads.NewPeriodic(paced.Period(t.id))
			l.wg.Go(func() { t.loop(ctx, arrival, began) })
			continue
		}
		arrival, err := workloads.NewArrival(l.plan.Arrival, l.plan.Rate, l.plan.Clients, rand.New(rand.NewPCG(l.plan.Seed, uint64(t.id)<<32)))
		if err != nil {
			// ValidatePlan refuses every plan for which this can happen.
			panic(err)
		}
		l.wg.Go(func() { t.loop(ctx, arrival, began) })
	}
}

// measure marks the end of the warm-up.
func (l *load) measure() { l.measuring.Store(true) }

// done is the number of operations answered since measure.
func (l *load) done() uint64 { return l.completed.Load() }

// stop ends the load and waits for the operations in flight.
func (l *load) stop() {
	l.measuring.Store(false)
	select {
	case <-l.stopped:
	default:
		close(l.stopped)
	}
	l.wg.Wait()
}

func (l *load) close() {
	l.stop()
	l.conns.Close()
}

// victim tells the readers which master to try first, by name; "" is none.
func (l *load) victim(name string) {
	var id uint64
	if _, err := fmt.Sscanf(name, "m%d", &id); err != nil {
		id = 0
	}
	l.broken.Store(id)
}

// finalReads looks once more, from every thread, at what the run touched: a
// sample spread over all paths, every directory and every chunk that it knows.
func (l *load) finalReads(ctx context.Context) error {
	if workloads.IsKV(l.plan.Workload) {
		return l.finalGets(ctx)
	}
	const sample = 240
	// contents are what lies in chunks: a read of that may fail, which the checkers
	// hold against the run.
	var todo, contents []workloads.Op
	seen := map[string]bool{}
	add := func(op workloads.Op) {
		key := fmt.Sprint(op.Kind, op.Path, op.Chunk, op.Offset)
		switch {
		case seen[key]:
			return
		case op.Kind == workloads.ReadRecords || op.Kind == workloads.ReadBytes:
			contents = append(contents, op)
		default:
			todo = append(todo, op)
		}
		seen[key] = true
	}
	l.mu.Lock()
	for _, path := range sortedKeys(l.handles) {
		for i := range l.handles[path] {
			add(workloads.Op{Kind: workloads.ChunkInfo, Path: path, Chunk: uint32(i)})
		}
	}
	l.mu.Unlock()
	ops := l.history.Ops()
	for _, op := range ops {
		switch op.Kind {
		case rundir.KindMkdir:
			add(workloads.Op{Kind: workloads.List, Path: op.Path})
		case rundir.KindAppend:
			add(workloads.Op{Kind: workloads.ReadRecords, Path: op.Path})
		case rundir.KindWrite:
			add(workloads.Op{Kind: workloads.ReadBytes, Path: op.Path, Chunk: op.Chunk, Offset: op.Offset, Size: int(op.Length)})
		}
	}
	stride := max(1, len(ops)/sample)
	for i := len(ops) - 1; i >= 0; i -= stride {
		if ops[i].Path != "" && ops[i].Kind != rundir.KindReadRecord {
			add(workloads.Op{Kind: workloads.Stat, Path: ops[i].Path})
		}
	}
	for _, path := range l.copies(ops) {
		add(workloads.Op{Kind: workloads.ReadRecords, Path: path})
	}
	l.tryAll(ctx, contents, rundir.PhaseFinal)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return l.spread(ctx, todo, rundir.PhaseFinal)
}

// maxCopies bounds the files of snapshots that are read at the end.
const maxCopies = 64

// copies lists the files that the last snapshots copied and somebody had appended
// to, whether they are still there or not.
func (l *load) copies(ops []rundir.Op) (paths []string) {
	appended := map[string]bool{}
	for _, op := range ops {
		if op.Kind == rundir.KindAppend {
			appended[op.Path] = true
		}
	}
	for i := len(ops) - 1; i >= 0; i-- {
		if ops[i].Kind != rundir.KindSnapshot {
			continue
		}
		for _, path := range sortedKeys(appended) {
			if below, is := strings.CutPrefix(path, ops[i].Path); is && len(paths) < maxCopies && (below == "" || below[0] == '/') {
				paths = append(paths, ops[i].Path2+below)
			}
		}
	}
	return paths
}

// handle returns the handle of a chunk that was allocated, 0 if none is known.
func (l *load) handle(path string, index uint32) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.handles[path]; int(index) < len(h) {
		return h[index]
	}
	return 0
}

func (l *load) learnChunk(path string, index uint32, handle uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.handles[path]) <= int(index) {
		l.handles[path] = append(l.handles[path], 0)
	}
	l.handles[path][index] = handle
}

// learnHidden notes what was hidden under the path last; hiddenAt is its id.
func (l *load) learnHidden(path string, id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hidden[path] = id
}

func (l *load) hiddenAt(path string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hidden[path]
}

func (l *load) learnRecord(path string, p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records[path] = append(l.records[path], p)
}

func (l *load) pickRecord(path string, pick uint64) (place, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.records[path]
	if len(all) == 0 {
		return place{}, false
	}
	return all[pick%uint64(len(all))], true
}
