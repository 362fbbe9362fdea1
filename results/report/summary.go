package report

import (
	"encoding/json"
	"slices"
	"time"

	"gfslab/results/rundir"
)

// SchemaVersion is the version of summary.json. It rises when a field changes
// its meaning or goes; a field may be added without.
const SchemaVersion = 1

// Summary is summary.json.
type Summary struct {
	Schema      int         `json:"schema"`
	ID          string      `json:"id"`
	Created     time.Time   `json:"created"`
	Version     string      `json:"version"`
	Command     string      `json:"command"`
	WallSeconds float64     `json:"wall_seconds"`
	Interrupted bool        `json:"interrupted"`
	Host        rundir.Host `json:"host"`
	Runs        tally       `json:"runs"`
	// Rows are a row a cell and slice, in order of the cells.
	Rows []Row `json:"rows"`
	// Cells are the medians over the slices of each cell, by figure.
	Cells []CellSummary `json:"cells"`
	// Pairs say of every two backends of a cell what may be said.
	Pairs []pair `json:"pairs"`
	// Failovers are the leader failovers, virtual and local.
	Failovers []*failoverSet `json:"failovers"`
	BareLog   []BareLogRow   `json:"bare_log"`
	// Notes are what could not be read beside the runs.
	Notes []string `json:"notes"`
}

// CellSummary is one cell over its slices.
type CellSummary struct {
	rundir.Cell
	Verdicts tally                `json:"verdicts"`
	Ops      float64              `json:"ops"` // over all valid slices
	Figures  map[string]*Interval `json:"figures"`
}

// BareLogRow is one row of the bare log over its slices.
type BareLogRow struct {
	Backend  string    `json:"backend"`
	Setting  string    `json:"setting"`
	Clients  int       `json:"clients"`
	Bytes    int       `json:"command_bytes"`
	Durable  bool      `json:"durable"`
	Ops      *Interval `json:"ops_per_s"`
	P50      *Interval `json:"p50_us"`
	P99      *Interval `json:"p99_us"`
	CPU      *Interval `json:"cpu_s_per_100k"`
	Allocs   *Interval `json:"allocs_per_op"`
	Leader   *Interval `json:"leader_fsyncs_per_op"`
	Follower *Interval `json:"follower_fsyncs_per_op"`
	Frames   *Interval `json:"leader_frames_per_op"`
	Wire     *Interval `json:"leader_bytes_per_op"`
}

func (b *bench) summary() Summary {
	s := Summary{
		Schema: SchemaVersion, ID: b.ID, Created: b.Created, Version: b.Version, Command: b.Command,
		WallSeconds: b.WallSeconds, Interrupted: b.Interrupted, Host: b.Host, Runs: b.tally(),
		Rows: []Row{}, Pairs: b.pairs(), Failovers: b.failoverSets(), BareLog: b.bareLogRows(), Notes: b.notes,
	}
	for _, c := range b.cells {
		out := CellSummary{Cell: c.Cell, Verdicts: c.tally(), Figures: map[string]*Interval{}}
		for _, f := range figures {
			out.Figures[f.key] = c.over(f)
		}
		for _, m := range c.runs {
			s.Rows = append(s.Rows, m.Row)
			if m.Verdict == rundir.Valid && m.Ops != nil {
				out.Ops += *m.Ops
			}
		}
		s.Cells = append(s.Cells, out)
	}
	return s
}

// bareLogRows groups the slices of barelog.json, by clients and backend.
func (b *bench) bareLogRows() []BareLogRow {
	type key struct {
		backend, setting string
		clients, bytes   int
	}
	grouped := map[key][]rundir.BareLog{}
	var keys []key
	for _, r := range b.barelog {
		k := key{r.Backend, r.Setting, r.Clients, r.CommandBytes}
		if grouped[k] == nil {
			keys = append(keys, k)
		}
		grouped[k] = append(grouped[k], r)
	}
	slices.SortStableFunc(keys, func(x, y key) int {
		if x.clients != y.clients {
			return x.clients - y.clients
		}
		return byBackend(x.backend, y.backend)
	})
	out := []BareLogRow{}
	for _, k := range keys {
		rows := grouped[k]
		over := func(of func(rundir.BareLog) float64) *Interval {
			var values []float64
			for _, r := range rows {
				values = append(values, of(r))
			}
			return summarise(values)
		}
		out = append(out, BareLogRow{
			Backend: k.backend, Setting: k.setting, Clients: k.clients, Bytes: k.bytes,
			Durable:  !slices.ContainsFunc(rows, func(r rundir.BareLog) bool { return !r.Durable }),
			Ops:      over(func(r rundir.BareLog) float64 { return r.OpsPerSecond }),
			P50:      over(func(r rundir.BareLog) float64 { return r.P50US }),
			P99:      over(func(r rundir.BareLog) float64 { return r.P99US }),
			CPU:      over(func(r rundir.BareLog) float64 { return r.CPUSecondsPer100k }),
			Allocs:   over(func(r rundir.BareLog) float64 { return r.AllocsPerOp }),
			Leader:   over(func(r rundir.BareLog) float64 { return r.LeaderFsyncsPerOp }),
			Follower: over(func(r rundir.BareLog) float64 { return r.FollowFsyncsPerOp }),
			Frames:   over(func(r rundir.BareLog) float64 { return r.LeaderFramesPerOp }),
			Wire:     over(func(r rundir.BareLog) float64 { return r.LeaderBytesPerOp }),
		})
	}
	return out
}

func (s Summary) encode() ([]byte, error) {
	data, err := json.MarshalIndent(s, "", "  ")
	return append(data, '\n'), err
}
