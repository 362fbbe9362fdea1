package scale

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gfslab/consensus"
)

// ClusterOptions are what a measured cluster runs with.
type ClusterOptions struct {
	Backend    string
	Population Population
	// Limits of the replicas; SnapshotEvery is set to 0, because the measurement
	// asks for snapshots itself.
	Limits consensus.Limits
	// Trailing is how many entries are kept below a snapshot.
	Trailing uint64
	// Rate is the number of creates a second that clients make meanwhile; Window
	// how long the load is observed before and after each event.
	Rate    float64
	Window  time.Duration
	Repeats int
	// Dir is where the masters keep their logs; it is removed afterwards.
	Dir      string
	Seed     uint64
	Progress func(string)
}

// ClusterFigures are those of three masters under load.
type ClusterFigures struct {
	Backend    string     `json:"backend"`
	Population Population `json:"population"`
	Rate       float64    `json:"creates_per_second"`
	// The population was loaded through the log.
	LoadCommands int64   `json:"load_commands"`
	LoadSeconds  float64 `json:"load_seconds"`

	SnapshotBytes int64 `json:"snapshot_bytes"`
	// SnapshotMS is how long all three masters take for theirs, begun at once.
	SnapshotMS Spread `json:"snapshot_ms"`
	// Before, During and After are the latencies of creates that were due in the
	// window before, while the snapshots were written, and in the window after.
	Before Latencies `json:"before"`
	During Latencies `json:"during"`
	After  Latencies `json:"after"`

	// A restart opens a stopped follower on its snapshot (OpenMS) and ends when it
	// has applied what the leader had at its start (RestartMS); RestartEntries lay
	// between.
	OpenMS         Spread `json:"open_ms"`
	RestartMS      Spread `json:"restart_ms"`
	RestartEntries Spread `json:"restart_entries"`

	// A laggard's next entry was compacted away by all others when it started. It
	// has caught up (LaggardMS) when it applied what the leader had at its start.
	LaggardMS     Spread    `json:"laggard_ms"`
	LaggardBytes  Spread    `json:"laggard_bytes_written"`
	DuringLaggard Latencies `json:"during_laggard"`

	Failed int64 `json:"failed_creates"`
}

// Cluster loads the population into three masters and measures them.
func Cluster(ctx context.Context, o ClusterOptions) (f ClusterFigures, err error) {
	o.Limits.SnapshotEvery, o.Limits.TrailingEntries = 0, o.Trailing
	f = ClusterFigures{Backend: o.Backend, Population: o.Population, Rate: o.Rate}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	c, err := openCell(o.Backend, filepath.Join(o.Dir, "cell"), o.Limits, o.Seed)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if _, err := c.leader(ctx); err != nil {
		return f, err
	}
	began := time.Now()
	if f.LoadCommands, err = fill(ctx, c, o.Population, o.say); err != nil {
		return f, err
	}
	f.LoadSeconds = time.Since(began).Seconds()
	m := &measurement{o: o, c: c, f: &f}
	return f, m.run(ctx)
}

func (o ClusterOptions) say(text string) { o.Progress(o.Backend + ": " + text) }

type measurement struct {
	o     ClusterOptions
	c     *cell
	f     *ClusterFigures
	loads int
}

func (m *measurement) run(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{{"snapshot", m.snapshot}, {"restart", m.restart}, {"laggard", m.laggard}} {
		for i := range m.o.Repeats {
			m.o.say(fmt.Sprintf("%s %d of %d", step.name, i+1, m.o.Repeats))
			if err := step.do(ctx); err != nil {
				return fmt.Errorf("%s %d: %w", step.name, i+1, err)
			}
		}
	}
	return nil
}

// under runs what is to be measured under load, and hands back the times at
// which it began and ended.
func (m *measurement) under(ctx context.Context, do func() error) (l *load, from, to time.Time, err error) {
	m.loads++
	l, err = startLoad(ctx, m.c, m.o.Population, fmt.Sprintf("load%d", m.loads), m.o.Rate, m.o.Seed+uint64(m.loads))
	if err != nil {
		return nil, from, to, err
	}
	err = pause(ctx, m.o.Window+m.o.Window/2) // the first half finds the leader and warms up
	from = time.Now()
	if err == nil {
		err = do()
	}
	to = time.Now()
	err = errors.Join(err, pause(ctx, m.o.Window))
	l.end()
	m.f.Failed += l.failed.Load()
	return l, from, to, err
}

func (m *measurement) snapshot(ctx context.Context) error {
	var took time.Duration
	l, from, to, err := m.under(ctx, func() error {
		began := time.Now()
		infos, err := m.c.snapshot(ctx, 0, 1, 2)
		took = time.Since(began)
		if err == nil {
			m.f.SnapshotBytes = infos[0].Bytes
		}
		return err
	})
	if err != nil {
		return err
	}
	m.f.SnapshotMS.add(micro(took) / 1e3)
	m.f.Before.add(l.between(from.Add(-m.o.Window), from))
	m.f.During.add(l.between(from, to))
	m.f.After.add(l.between(to, to.Add(m.o.Window)))
	return nil
}

// restart stops a follower under load and opens it again.
func (m *measurement) restart(ctx context.Context) error {
	_, _, _, err := m.under(ctx, func() error {
		i, err := m.c.follower(ctx)
		if err != nil {
			return err
		}
		if err := m.c.stop(i); err != nil {
			return err
		}
		began := time.Now()
		leader, err := m.c.leader(ctx)
		if err != nil {
			return err
		}
		target := m.c.status(leader).Applied
		if err := m.c.start(i); err != nil {
			return err
		}
		m.f.OpenMS.add(micro(time.Since(began)) / 1e3)
		m.f.RestartEntries.add(float64(target) - float64(m.c.status(i).Snapshot))
		if err := m.c.reach(ctx, i, target); err != nil {
			return err
		}
		m.f.RestartMS.add(micro(time.Since(began)) / 1e3)
		return nil
	})
	return err
}

// laggard stops a follower until the others have compacted what it lacks, and
// lets it catch up.
func (m *measurement) laggard(ctx context.Context) error {
	i, err := m.c.follower(ctx)
	if err != nil {
		return err
	}
	lastApplied := m.c.status(i).Applied
	if err := m.c.stop(i); err != nil {
		return err
	}
	var began time.Time
	l, _, to, err := m.under(ctx, func() error {
		if err := m.outrun(ctx, i, lastApplied); err != nil {
			return err
		}
		leader, err := m.c.leader(ctx)
		if err != nil {
			return err
		}
		target, written := m.c.status(leader).Applied, m.c.nodes[i].files.Written()
		began = time.Now()
		if err := m.c.start(i); err != nil {
			return err
		}
		if err := m.c.reach(ctx, i, target); err != nil {
			return err
		}
		m.f.LaggardMS.add(micro(time.Since(began)) / 1e3)
		m.f.LaggardBytes.add(float64(m.c.nodes[i].files.Written() - written))
		if got := m.c.nodes[i].restored.Load(); got <= lastApplied {
			return fmt.Errorf("scale: the laggard at %d caught up without the others' snapshot (its own is at %d)", lastApplied, got)
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.f.DuringLaggard.add(l.between(began, to))
	return nil
}

// outrun waits until the others have compacted what a stopped node at lastApplied
// lacks.
func (m *measurement) outrun(ctx context.Context, stopped int, lastApplied uint64) error {
	for i := range m.c.nodes {
		if i == stopped {
			continue
		}
		if err := m.c.reach(ctx, i, lastApplied+m.o.Trailing+20); err != nil {
			return err
		}
		for m.c.status(i).First <= lastApplied+1 {
			if _, err := m.c.snapshot(ctx, i); err != nil {
				return err
			}
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}
