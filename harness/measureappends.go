package harness

import (
	"slices"
	"strings"
	"time"

	"gfslab/results/rundir"
)

// AppendScalingPlan is one run of the measurement of figure 3c.
func AppendScalingPlan(backend string, clients, files, recordBytes int, sizes string, seed uint64) rundir.Plan {
	p := DefaultPlan()
	p.Backend, p.Workload, p.Fault, p.Seed = backend, "gfs-append-N", "none", seed
	p.Clients, p.Files, p.Chunkservers = clients, files, 3
	p.LeaseTerm, p.Fencing = rundir.Duration(60*time.Second), true
	p.ChunkBytes, p.RecordBytes, p.RecordSizes = 64<<20, recordBytes, sizes
	p.WarmUp, p.Duration = rundir.Duration(500*time.Millisecond), rundir.Duration(3*time.Second)
	p.OpTimeout = rundir.Duration(5 * time.Second)
	return p
}

// AppendRate is what a run appended, and how its chunkservers waited for their disks
// meanwhile; of these the mean over the chunkservers.
type AppendRate struct {
	MBs     float64 // 10^6 bytes a second
	Appends float64 // a second
	P50MS   float64
	// Syncs a second, and how long one takes.
	Syncs  float64
	SyncMS float64
	// Busy is the part of the time in which at least one sync was in flight, InFlight
	// how many there were on average.
	Busy     float64
	InFlight float64
	// Wait is the part of the appends' time, as their clients saw it, in which the
	// primary was syncing their chunk.
	Wait float64
	CPUs float64
}

// MeasureAppends reads the rate of a run.
func MeasureAppends(run *rundir.Run) AppendRate {
	c := run.Counters
	r := AppendRate{CPUs: c.CPUSeconds / c.Seconds}
	var latencies []float64
	bytes, spent := 0.0, 0.0
	for _, op := range run.Ops {
		if appended(&op) && op.Phase == rundir.PhaseRun {
			bytes += float64(op.Length)
			latencies = append(latencies, float64(op.End-op.Start)/1e6)
			spent += float64(op.End-op.Start) / 1e9
		}
	}
	r.MBs, r.Appends, r.P50MS = bytes/1e6/c.Seconds, float64(len(latencies))/c.Seconds, medianOf(latencies)
	servers := 0.0
	total := map[string]float64{}
	for name, counters := range c.Nodes {
		if strings.HasPrefix(name, "cs") {
			servers++
			for k, v := range counters {
				total[k] += float64(v)
			}
		}
	}
	seconds := c.Seconds * max(servers, 1)
	r.Syncs, r.SyncMS = total["syncs"]/seconds, total["sync_us"]/1e3/max(total["syncs"], 1)
	r.Busy, r.InFlight = total["sync_busy_us"]/1e6/seconds, total["sync_us"]/1e6/seconds
	if len(latencies) > 0 {
		waited := total["sync_wait_us"] / 1e6 / max(total["acknowledged"], 1)
		r.Wait = waited / (spent / float64(len(latencies)))
	}
	return r
}

// sizeName is a plan's size of records in words.
func sizeName(p rundir.Plan) string {
	if p.RecordSizes != "" {
		return p.RecordSizes
	}
	if p.RecordBytes%(1<<20) == 0 {
		return itoa(p.RecordBytes>>20) + " MiB"
	}
	if p.RecordBytes%(1<<10) == 0 {
		return itoa(p.RecordBytes>>10) + " KiB"
	}
	return itoa(p.RecordBytes) + " B"
}

// AppendRow is one row of the measurement of appends: the figures of AppendRate over
// its valid runs.
type AppendRow struct {
	Clients  int    `json:"clients"`
	Files    int    `json:"files"`
	Record   string `json:"record"`
	Runs     int    `json:"runs"`
	Valid    int    `json:"valid"`
	MBs      Spread `json:"mb_per_s"`
	Appends  Spread `json:"appends_per_s"`
	P50MS    Spread `json:"p50_ms"`
	Syncs    Spread `json:"syncs_per_s"`
	SyncMS   Spread `json:"sync_ms"`
	Busy     Spread `json:"sync_busy_share"`
	InFlight Spread `json:"syncs_in_flight"`
	Wait     Spread `json:"sync_wait_share"`
	CPUs     Spread `json:"cpus"`
}

// AppendRows puts the runs of a sweep together by size of records, clients and
// files, in their order, and returns the worst verdict.
func AppendRows(all []Swept) (rows []AppendRow, worst string, err error) {
	worst = rundir.Valid
	var rates [][]AppendRate
	for _, s := range all {
		worst = rundir.Worse(worst, s.Verdict)
		i := slices.IndexFunc(rows, func(r AppendRow) bool {
			return r.Clients == s.Plan.Clients && r.Files == s.Plan.Files && r.Record == sizeName(s.Plan)
		})
		if i < 0 {
			i = len(rows)
			rows = append(rows, AppendRow{Clients: s.Plan.Clients, Files: s.Plan.Files, Record: sizeName(s.Plan)})
			rates = append(rates, nil)
		}
		rows[i].Runs++
		if s.Verdict != rundir.Valid {
			continue
		}
		run, err := rundir.Load(s.Dir)
		if err != nil {
			return nil, worst, err
		}
		rates[i] = append(rates[i], MeasureAppends(run))
	}
	for i := range rows {
		rows[i].spread(rates[i])
	}
	return rows, worst, nil
}

// spread fills in the figures of the valid runs.
func (r *AppendRow) spread(rates []AppendRate) {
	r.Valid = len(rates)
	if r.Valid == 0 {
		return
	}
	over := func(of func(AppendRate) float64) Spread {
		var v []float64
		for _, r := range rates {
			v = append(v, of(r))
		}
		return Spread{slices.Min(v), medianOf(v), slices.Max(v)}
	}
	r.MBs, r.Appends = over(func(r AppendRate) float64 { return r.MBs }), over(func(r AppendRate) float64 { return r.Appends })
	r.P50MS, r.CPUs = over(func(r AppendRate) float64 { return r.P50MS }), over(func(r AppendRate) float64 { return r.CPUs })
	r.Syncs, r.SyncMS = over(func(r AppendRate) float64 { return r.Syncs }), over(func(r AppendRate) float64 { return r.SyncMS })
	r.Busy, r.InFlight = over(func(r AppendRate) float64 { return r.Busy }), over(func(r AppendRate) float64 { return r.InFlight })
	r.Wait = over(func(r AppendRate) float64 { return r.Wait })
}
