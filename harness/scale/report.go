package scale

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gfslab/results/rundir"
)

// Report is everything that one measurement found.
type Report struct {
	Version string           `json:"version"`
	Host    rundir.Host      `json:"host"`
	Setting string           `json:"setting"`
	Machine []MachineFigures `json:"machine"`
	Cluster []ClusterFigures `json:"cluster"`
}

// Save writes figures.json and figures.md into a folder.
func (r Report) Save(dir string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	var md strings.Builder
	r.Markdown(&md)
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "figures.json"), append(raw, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, "figures.md"), []byte(md.String()), 0o644),
	)
}

// Markdown writes the figures as tables: medians, with the range in brackets.
func (r Report) Markdown(w io.Writer) {
	fmt.Fprintf(w, "Medians of the repeats, ranges in brackets. %s, %d cores (%s), %s; fdatasync %.0f us alone, %.0f us of three at once.\n",
		r.Version, r.Host.Cores, r.Host.CPU, r.Host.FileSystem, r.Host.Sync1P50US, r.Host.Sync3P50US)
	if len(r.Machine) > 0 {
		r.machineTables(w)
	}
	if len(r.Cluster) > 0 {
		r.clusterTables(w)
	}
}

func row(w io.Writer, cells ...any) {
	for _, c := range cells {
		if x, ok := c.(float64); ok {
			c = fmt.Sprintf("%.1f", x)
		}
		fmt.Fprintf(w, "| %v ", c)
	}
	fmt.Fprintln(w, "|")
}

func header(w io.Writer, cells ...any) {
	fmt.Fprintln(w)
	row(w, cells...)
	fmt.Fprintln(w, strings.Repeat("|---", len(cells))+"|")
}

func (r Report) machineTables(w io.Writer) {
	fmt.Fprintf(w, "\n## The state machine alone\n\nGFS keeps less than 64 B of name a file, and less than 64 B a chunk, in memory.\n")
	header(w, "files", "names", "path B", "chunks", "heap B/file", "heap B/chunk", "snapshot B/file", "snapshot B/chunk", "snapshot MB")
	for _, f := range r.Machine {
		row(w, f.Population.Files, f.Population.Names, f.PathBytes, f.Chunks, f.HeapPerFile, f.HeapPerChunk, f.SnapshotPerFile, f.SnapshotPerChunk, float64(f.SnapshotBytes)/1e6)
	}
	header(w, "names", "capture us", "write+sync ms", "restore ms", "Apply p50 us", "p99 us", "max us", "beside a snapshot: p50 us", "p99 us", "max us", "p99 ratio")
	for _, f := range r.Machine {
		row(w, f.Population.Names, f.Capture, f.Write, f.Restore,
			pick(f.Quiet, p50), pick(f.Quiet, p99), pick(f.Quiet, most), pick(f.Beside, p50), pick(f.Beside, p99), pick(f.Beside, most), ratios(f.Beside, f.Quiet, p99))
	}
	fmt.Fprintf(w, "\nOne timed entry has %d creates.\n", entryCommands)
	header(w, "names", "files", "create ns", "lookup ns", "rename a file ns", "rename a directory ns")
	for _, f := range r.Machine {
		for _, s := range f.Sizes {
			row(w, f.Population.Names, s.Files, fmt.Sprintf("%.0f", s.Create), fmt.Sprintf("%.0f", s.Lookup), fmt.Sprintf("%.0f", s.Rename), fmt.Sprintf("%.0f", s.MoveTree))
		}
	}
}

func (r Report) clusterTables(w io.Writer) {
	fmt.Fprintf(w, "\n## Three masters under load\n\nSetting %s; loaded through the log, at the leader's replica; then creates by gRPC in an open loop, latency from due time.\n", r.Setting)
	header(w, "backend", "files", "chunks", "load commands/s", "creates/s", "failed")
	for _, f := range r.Cluster {
		row(w, f.Backend, f.Population.Files, f.Population.Files*f.Population.ChunksPerFile, fmt.Sprintf("%.0f", float64(f.LoadCommands)/f.LoadSeconds), f.Rate, f.Failed)
	}
	fmt.Fprintf(w, "\nA snapshot of all three at once. Latencies in us, of all repeats together: number: p50 / p99 / max; ratios with the range of the repeats.\n")
	header(w, "backend", "MB each", "all done ms", "before", "during", "after", "p99 during/before")
	for _, f := range r.Cluster {
		row(w, f.Backend, float64(f.SnapshotBytes)/1e6, f.SnapshotMS, f.Before, f.During, f.After, f.During.tail(f.Before))
	}
	fmt.Fprintf(w, "\nA follower's restart (load + replay), and a laggard that needs the others' snapshot:\n")
	header(w, "backend", "restart: load ms", "load + replay ms", "entries behind", "laggard caught up ms", "MB written by it", "creates meanwhile", "p99 / before a snapshot")
	for _, f := range r.Cluster {
		row(w, f.Backend, f.OpenMS, f.RestartMS, f.RestartEntries, f.LaggardMS, mega(f.LaggardBytes), f.DuringLaggard, f.DuringLaggard.tail(f.Before))
	}
}

func mega(s Spread) (out Spread) {
	for _, v := range s.Values {
		out.add(v / 1e6)
	}
	return out
}
