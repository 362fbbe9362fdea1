package harness

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"gfslab/consensus"
	"gfslab/results/rundir"
)

// Settings names the published settings of the limits.
func Settings() []string { return []string{"matched-2", "matched-3", "native"} }

// LimitsOf returns the limits of a setting. Native differs from matched-2 only
// where a backend documents a better value of its own: each backend translates
// BatchNative into its library's own batching.
func LimitsOf(setting string) (consensus.Limits, error) {
	switch setting {
	case "matched-2":
		return consensus.Matched2(), nil
	case "matched-3":
		return consensus.Matched3(), nil
	case "native":
		l := consensus.Matched2()
		l.BatchMode = consensus.BatchNative
		return l, nil
	}
	return consensus.Limits{}, fmt.Errorf("setting %q is unknown; it must be one of %v", setting, Settings())
}

// PlanLimits returns the limits of a plan: its setting's, and what differs.
func PlanLimits(p rundir.Plan) (consensus.Limits, error) {
	l, err := LimitsOf(p.Setting)
	if err != nil {
		return l, err
	}
	return Differ(l, p.Limits)
}

// Differ returns the limits with what d sets, or every contradiction in them.
func Differ(l consensus.Limits, d rundir.Limits) (consensus.Limits, error) {
	l.ReadMode = cmp.Or(consensus.ReadMode(d.ReadMode), l.ReadMode)
	l.SnapshotEvery = cmp.Or(d.SnapshotEvery, l.SnapshotEvery)
	l.TrailingEntries = cmp.Or(d.TrailingEntries, l.TrailingEntries)
	l.Tick = cmp.Or(time.Duration(d.Tick), l.Tick)
	l.ElectionTicks = cmp.Or(d.ElectionTicks, l.ElectionTicks)
	l.HeartbeatTicks = cmp.Or(d.HeartbeatTicks, l.HeartbeatTicks)
	l.BatchEntries = cmp.Or(d.BatchEntries, l.BatchEntries)
	l.BatchBytes = cmp.Or(d.BatchBytes, l.BatchBytes)
	l.Window = cmp.Or(d.Window, l.Window)
	l.MaxClockDrift = cmp.Or(d.MaxClockDrift, l.MaxClockDrift)
	l.Phase1Quorum = cmp.Or(d.Phase1Quorum, l.Phase1Quorum)
	l.Phase2Quorum = cmp.Or(d.Phase2Quorum, l.Phase2Quorum)
	for _, b := range []struct {
		name, value string
		field       *bool
	}{
		{"leader_disk_parallel", d.LeaderDiskParallel, &l.LeaderDiskParallel},
		{"pre_vote", d.PreVote, &l.PreVote},
		{"check_quorum", d.CheckQuorum, &l.CheckQuorum},
	} {
		switch b.value {
		case "":
		case "on", "off":
			*b.field = b.value == "on"
		default:
			return l, fmt.Errorf("%s is %q; it must be on or off", b.name, b.value)
		}
	}
	if s := (consensus.Switches{
		Eligibility: d.Eligibility, Number: d.Number, OldSlots: d.OldSlots, Acceptance: d.Acceptance, Notice: d.Notice, CatchUp: d.CatchUp,
	}); s != (consensus.Switches{}) {
		l.Switches = s
	}
	return l, l.Validate()
}

// SetLimit changes one limit, given as its key and value in a plan's [limits].
func SetLimit(d *rundir.Limits, assignment string) error {
	key, value, ok := strings.Cut(assignment, "=")
	if !ok {
		return fmt.Errorf("limit %s: want key=value", assignment)
	}
	// A number as it stands, anything else as text.
	if _, err := strconv.ParseFloat(value, 64); err != nil {
		value = strconv.Quote(value)
	}
	if err := decodeStrict([]byte(key+" = "+value), d); err != nil {
		return fmt.Errorf("limit %s: %w", assignment, err)
	}
	return nil
}

// limitAssignments lists what d sets, as SetLimit takes it.
func limitAssignments(d rundir.Limits) []string {
	text, err := toml.Marshal(d)
	if err != nil {
		panic(err) // plain fields only
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		value = strings.Trim(value, "'\"")
		if ok && !slices.Contains([]string{"", "0", "0.0", "0s"}, value) {
			out = append(out, key+"="+value)
		}
	}
	return out
}
