package workloads

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// appendN is the load of figure 3c of the GFS paper: clients append to one file,
// and do nothing else. With several files, client i appends to file i mod files;
// where there are more files than clients, each of them has a record from the start.
type appendN struct {
	size           func(*rand.Rand) int
	files, clients int
}

func newAppendN(cfg Config) Workload {
	return &appendN{size: cfg.recordSize(), files: max(1, cfg.Files), clients: cfg.Clients}
}

func (w *appendN) Load(rng *rand.Rand) []Op {
	ops := loadAppendFiles("/n", w.files)
	for f := 0; w.files > w.clients && f < w.files; f++ {
		ops = append(ops, Op{Kind: Append, Path: appendPath("/n", f), Size: w.size(rng), Free: true})
	}
	return ops
}

// loadAppendFiles makes files that are ready to take records.
func loadAppendFiles(dir string, n int) []Op {
	ops := []Op{{Kind: Mkdir, Path: dir}}
	for f := range n {
		path := appendPath(dir, f)
		ops = append(ops, Op{Kind: Create, Path: path}, Op{Kind: Allocate, Path: path}, Op{Kind: FindLease, Path: path})
	}
	return ops
}

func appendPath(dir string, f int) string { return dir + "/f" + strconv.Itoa(f) }

func (w *appendN) Next(rng *rand.Rand, client int) Op {
	return Op{Kind: Append, Path: appendPath("/n", client%w.files), Size: w.size(rng)}
}

// prodCons is a queue on a file: client 0 reads its tail, all others append.
type prodCons struct{ size func(*rand.Rand) int }

func newProdCons(cfg Config) Workload { return &prodCons{size: cfg.recordSize()} }

func (w *prodCons) Load(*rand.Rand) []Op { return loadAppendFiles("/q", 1) }

func (w *prodCons) Next(rng *rand.Rand, client int) Op {
	if client == 0 {
		return Op{Kind: ReadRecords, Path: appendPath("/q", 0), Tail: true}
	}
	return Op{Kind: Append, Path: appendPath("/q", 0), Size: w.size(rng)}
}

// snapAppend appends to the files of a directory while client 0 makes snapshots of
// it, of these, and of those in turn. It reads what it copied when it is made
// and again before it is deleted: nothing may have changed.
type snapAppend struct {
	size   func(*rand.Rand) int
	period time.Duration
	ticks  int // of client 0 alone
}

// snapDirs are the directory that is appended to and its copies.
var snapDirs = []string{"/v/live", "/v/a", "/v/b", "/v/c"}

const snapFiles = 2

func newSnapAppend(cfg Config) Workload {
	w := &snapAppend{size: cfg.recordSize(), period: cfg.Period}
	if w.period == 0 {
		w.period = 2 * time.Second
	}
	return w
}

// Period is that of the snapshots.
func (w *snapAppend) Period(client int) time.Duration {
	if client == 0 {
		return w.period
	}
	return 0
}

// Load makes the first generation of copies, so that each tick has one to delete.
func (w *snapAppend) Load(*rand.Rand) []Op {
	ops := append([]Op{{Kind: Mkdir, Path: "/v"}}, loadAppendFiles(snapDirs[0], snapFiles)...)
	for i := 1; i < len(snapDirs); i++ {
		ops = append(ops, Op{Kind: Snapshot, Path: snapDirs[i-1], Path2: snapDirs[i]})
	}
	return ops
}

// Next of client 0 makes the copies in the order live to a, a to b, b to c.
func (w *snapAppend) Next(rng *rand.Rand, client int) Op {
	if client > 0 {
		return Op{Kind: Append, Path: appendPath(snapDirs[0], rng.IntN(snapFiles)), Size: w.size(rng)}
	}
	level := 1 + w.ticks%(len(snapDirs)-1)
	w.ticks++
	from, to := snapDirs[level-1], snapDirs[level]
	file := appendPath(to, rng.IntN(snapFiles))
	look := Op{Kind: ReadRecords, Path: file}
	look.Then = &Op{Kind: Delete, Path: to, Recursive: true, Then: &Op{Kind: Snapshot, Path: from, Path2: to,
		Then: &Op{Kind: Stat, Path: file, Then: &Op{Kind: ReadRecords, Path: file}}}}
	return look
}
