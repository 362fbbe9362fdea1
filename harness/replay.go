package harness

import (
	"fmt"
	"math"

	"gfslab/results/rundir"
)

// profileFlags are the flags of a plan that most plans leave as they are.
func profileFlags(p rundir.Plan) (line string) {
	for _, f := range []struct {
		name  string
		value any
		set   bool
	}{
		{"record-sizes", p.RecordSizes, p.RecordSizes != ""},
		{"files", p.Files, p.Files != 0},
		{"replication", p.Replication, p.Replication != 0},
		{"racks", p.Racks, p.Racks != 0},
		{"fencing", p.Fencing, p.Fencing},
		{"strict", p.Strict, p.Strict},
		{"dead-after", p.DeadAfter, p.DeadAfter != 0},
		{"replicate-after", p.ReplicateAfter, p.ReplicateAfter != 0},
		{"orphan-age", p.OrphanAge, p.OrphanAge != 0},
		{"clone-rate", p.CloneRate, p.CloneRate != 0},
		{"scrub-rate", p.ScrubRate, p.ScrubRate != 0},
		{"settle", p.Settle, p.Settle != 0},
		{"retention", p.Retention, p.Retention != 0},
		{"period", p.Period, p.Period != 0},
	} {
		if f.set {
			line += fmt.Sprintf(" --%s=%v", f.name, f.value)
		}
	}
	return line
}

// ReplayCommand is the one line that runs the plan again.
func ReplayCommand(p rundir.Plan) string {
	line := fmt.Sprintf("gfslab run --backend %s --workload %s --fault %s --setting %s --tier %s --seed %d --replicas %d --chunkservers %d --clients %d --arrival %s",
		p.Backend, p.Workload, p.Fault, p.Setting, p.Tier, p.Seed, p.Replicas, p.Chunkservers, p.Clients, p.Arrival)
	if p.Rate > 0 && !math.IsInf(p.Rate, 0) {
		line += fmt.Sprintf(" --rate %g", p.Rate)
	}
	if p.Replace > 0 {
		line += fmt.Sprintf(" --replace %d --replace-at %v --replace-every %v", p.Replace, p.ReplaceAt, p.ReplaceEvery)
	}
	line += profileFlags(p)
	for _, l := range limitAssignments(p.Limits) {
		line += " --limit " + l
	}
	return line + fmt.Sprintf(" --warm-up %v --duration %v --fault-at %v --fault-for %v --fault-repeat %d --fault-every %v --op-timeout %v --lease-term %v --record-bytes %d --chunk-bytes %d",
		p.WarmUp, p.Duration, p.FaultAt, p.FaultFor, p.FaultRepeat, p.FaultEvery, p.OpTimeout, p.LeaseTerm, p.RecordBytes, p.ChunkBytes)
}
