package harness

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"gfslab/results/rundir"
)

func itoa(n int) string { return strconv.Itoa(n) }

// ReplicationPlan is one run of the measurement of lost replicas: chunkservers with
// some hundred chunks, each with a record in it, a light load beside it, and a fault
// that stays longer than the repair.
func ReplicationPlan(backend, fault string, chunkservers, chunks, recordBytes int, rate uint64, seed uint64) rundir.Plan {
	p := DefaultPlan()
	p.Backend, p.Workload, p.Fault, p.Seed = backend, "gfs-append-N", fault, seed
	p.Clients, p.Files, p.Chunkservers = 4, chunks, chunkservers
	p.Arrival, p.Rate = "open", 60
	p.Fencing, p.LeaseTerm = true, rundir.Duration(2*time.Second)
	p.ChunkBytes, p.RecordBytes = 1<<20, recordBytes
	p.DeadAfter, p.ReplicateAfter, p.CloneRate = rundir.Duration(500*time.Millisecond), rundir.Duration(200*time.Millisecond), rate
	p.OrphanAge, p.Settle = rundir.Duration(time.Second), rundir.Duration(30*time.Second)
	p.Duration, p.FaultAt, p.FaultFor = rundir.Duration(22*time.Second), rundir.Duration(time.Second), rundir.Duration(20*time.Second)
	p.CheckTimeout = rundir.Duration(time.Minute)
	return p
}

// RotPlan is one run of bit rot under readers. ScrubbedPlan is one that nobody reads: each client appends to
// a file of its own, and the scrubber finds what rots in the others.
func RotPlan(backend string, chunkservers int, seed uint64) rundir.Plan {
	p := ReplicationPlan(backend, "bit-rot", chunkservers, 0, 1<<10, 0, seed)
	p.Workload, p.Clients, p.Rate = "append", 8, 400
	p.Duration, p.FaultFor = rundir.Duration(8*time.Second), rundir.Duration(6*time.Second)
	return p
}

// ScrubbedPlan is described at RotPlan.
func ScrubbedPlan(backend string, chunkservers, chunks, recordBytes int, seed uint64) rundir.Plan {
	p := ReplicationPlan(backend, "bit-rot", chunkservers, chunks, recordBytes, 0, seed)
	p.Rate, p.ScrubRate = 60, 64<<20
	return p
}

// Repair is how a run's first fault was repaired. Times are milliseconds from its
// injection.
type Repair struct {
	Fault string `json:"fault"`
	// Queued chunks were below their goal, Single of them with one replica left.
	Queued int `json:"queued"`
	Single int `json:"single"`
	// Cloned chunks and bytes until the end of the fault.
	Cloned int     `json:"cloned"`
	MB     float64 `json:"mb"`
	// FirstMS is when the first clone was asked for, SingleMS when the last chunk that
	// had a single replica had two, DoneMS when the last was cloned.
	FirstMS  float64 `json:"first_ms"`
	SingleMS float64 `json:"single_ms"`
	DoneMS   float64 `json:"done_ms"`
	// PerSecond and MBs are rates from the first clone to the last.
	PerSecond float64 `json:"chunks_per_s"`
	MBs       float64 `json:"mb_per_s"`
	// Inversions are clones of chunks with more replicas left that were begun while
	// one with fewer was due (ReplicateAfter of the plan is over), had not been begun,
	// and could have been. PassedOver
	// are those where it could not: the chunkserver with its only replica took part in
	// as many clones as it may.
	Inversions int `json:"inversions"`
	PassedOver int `json:"passed_over"`
	// CorruptMS is when bad bytes were found first, after bit rot.
	CorruptMS float64 `json:"corrupt_ms"`
	Failed    int     `json:"failed"`
}

// MeasureRepair reads the repair of a run's first fault from the masters' events.
func MeasureRepair(run *rundir.Run) Repair {
	r := Repair{}
	if len(run.Faults) == 0 {
		return r
	}
	f := run.Faults[0]
	r.Fault = f.Name
	end := f.Heal
	if end < 0 {
		end = 1 << 62
	}
	var events []rundir.ReplicaEvent
	for _, node := range sortedKeys(run.Replicas) {
		for _, e := range run.Replicas[node] {
			if e.At >= f.Inject && e.At < end {
				events = append(events, e)
			}
		}
	}
	slices.SortStableFunc(events, func(a, b rundir.ReplicaEvent) int { return cmp.Compare(a.At, b.At) })
	ms := func(at int64) float64 { return float64(at-f.Inject) / 1e6 }
	single := map[uint64]bool{}
	seen := map[uint64]bool{}
	for _, e := range events {
		switch e.Kind {
		case rundir.ReplicaQueued:
			if !seen[e.Handle] {
				seen[e.Handle] = true
				r.Queued++
			}
			if _, known := single[e.Handle]; e.Live == 1 && e.Goal > 1 && !known {
				single[e.Handle] = true
				r.Single++
			}
		case rundir.ReplicaClone:
			if r.FirstMS == 0 {
				r.FirstMS = ms(e.At)
			}
		case rundir.ReplicaCloned:
			r.Cloned++
			r.MB += float64(e.Bytes) / 1e6
			r.DoneMS = ms(e.At)
			if single[e.Handle] {
				single[e.Handle] = false
				r.SingleMS = ms(e.At)
			}
		case rundir.ReplicaFailed:
			r.Failed++
		}
	}
	r.Inversions, r.PassedOver = inversions(events, int64(run.Manifest.Plan.ReplicateAfter))
	r.CorruptMS = foundCorrupt(run, f.Inject)
	if took := (r.DoneMS - r.FirstMS) / 1e3; took > 0 {
		r.PerSecond, r.MBs = float64(r.Cloned)/took, r.MB/took
	}
	return r
}

// foundCorrupt is when, in milliseconds from then on, a chunkserver first found bytes
// that do not match their checksum; 0: never.
func foundCorrupt(run *rundir.Run, from int64) (ms float64) {
	for _, node := range sortedKeys(run.Leases) {
		for _, e := range run.Leases[node] {
			if at := float64(e.At-from) / 1e6; e.Kind == rundir.LeaseCorrupt && e.At >= from && (ms == 0 || at < ms) {
				ms = at
			}
		}
	}
	return ms
}
