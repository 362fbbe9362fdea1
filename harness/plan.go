package harness

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"gfslab/api"
	"gfslab/consensus"
	"gfslab/harness/nemesis"
	"gfslab/internal/node"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// DefaultPlan returns a plan that runs as it stands.
func DefaultPlan() rundir.Plan {
	return rundir.Plan{
		Backend: "multipaxos", Workload: "create", Fault: "none",
		Setting: "matched-3", Tier: "local", Seed: 1,
		Replicas: 3, Chunkservers: 3, Clients: 8, Arrival: "closed",
		WarmUp:   rundir.Duration(200 * time.Millisecond),
		Duration: rundir.Duration(1500 * time.Millisecond),
		FaultAt:  rundir.Duration(400 * time.Millisecond),
		FaultFor: rundir.Duration(600 * time.Millisecond),

		FaultRepeat: 1,
		FaultEvery:  rundir.Duration(1500 * time.Millisecond),

		OpTimeout:    rundir.Duration(3 * time.Second),
		LeaseTerm:    rundir.Duration(500 * time.Millisecond),
		ChunkBytes:   1 << 20,
		RecordBytes:  1024,
		CheckTimeout: rundir.Duration(30 * time.Second),
	}
}

// LoadPlan reads a plan in TOML. An unknown key is refused with the line shown.
// Keys that the file leaves out keep DefaultPlan's values.
func LoadPlan(path string) (rundir.Plan, error) {
	p, err := ReadPlan(path)
	if err != nil {
		return rundir.Plan{}, err
	}
	Normalize(&p)
	if err := ValidatePlan(p); err != nil {
		return rundir.Plan{}, fmt.Errorf("plan %s: %w", path, err)
	}
	return p, nil
}

// ReadPlan is LoadPlan for a plan that will still be changed: it neither
// normalizes nor validates.
func ReadPlan(path string) (rundir.Plan, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return rundir.Plan{}, fmt.Errorf("plan: %w", err)
	}
	p, err := decodePlan(text)
	if err != nil {
		return rundir.Plan{}, fmt.Errorf("plan %s: %w", path, err)
	}
	return p, nil
}

// ParsePlan is LoadPlan on bytes.
func ParsePlan(text []byte) (rundir.Plan, error) {
	p, err := decodePlan(text)
	if err != nil {
		return rundir.Plan{}, err
	}
	Normalize(&p)
	return p, ValidatePlan(p)
}

func decodePlan(text []byte) (rundir.Plan, error) {
	p := DefaultPlan()
	if err := decodeStrict(text, &p); err != nil {
		return rundir.Plan{}, err
	}
	return p, nil
}

// decodeStrict reads TOML; an unknown key is an error that shows the line.
func decodeStrict(text []byte, into any) error {
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(into)
	var strict *toml.StrictMissingError
	var decode *toml.DecodeError
	switch {
	case errors.As(err, &strict):
		return fmt.Errorf("unknown key:\n%s\n`gfslab plan print` shows every key", strict.String())
	case errors.As(err, &decode):
		return fmt.Errorf("cannot be read:\n%s", decode.String())
	}
	return err
}

// Normalize sets what follows from other fields: the unreplicated control has
// one replica, the key-value store no chunkservers.
func Normalize(p *rundir.Plan) {
	if p.Backend == node.Unreplicated {
		p.Replicas = 1
	}
	if workloads.IsKV(p.Workload) {
		p.Chunkservers = 0
	}
}

// EncodePlan writes the plan as TOML, every key present.
func EncodePlan(p rundir.Plan) ([]byte, error) { return toml.Marshal(p) }

// ValidatePlan reports every fault of a plan at once; each line names the bad
// value and what would do.
func ValidatePlan(p rundir.Plan) error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	oneOf := func(key, got string, want []string) {
		check(slices.Contains(want, got), "%s is %q; it must be one of %s", key, got, strings.Join(want, ", "))
	}
	oneOf("backend", p.Backend, node.Backends())
	oneOf("workload", p.Workload, workloads.Names())
	oneOf("fault", p.Fault, nemesis.Names())
	oneOf("setting", p.Setting, Settings())
	if slices.Contains(Settings(), p.Setting) && slices.Contains(node.Backends(), p.Backend) {
		l, err := PlanLimits(p)
		if err == nil {
			err = node.CheckLimits(p.Backend, l, p.Replicas)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("limits: %w", err))
		}
	}
	oneOf("tier", p.Tier, []string{"local", "virtual"})
	oneOf("arrival", p.Arrival, []string{"closed", "open"})
	check(p.Replicas >= 1 && p.Replicas <= 9, "replicas is %d; it must be 1 to 9", p.Replicas)
	check(p.Backend != node.Unreplicated || p.Replicas == 1, "replicas is %d; the unreplicated control has 1", p.Replicas)
	check(p.Fault == "none" || p.Fault == "power-loss" || nemesis.OfChunkservers(p.Fault) || p.Replicas >= 3, "fault %s needs at least 3 replicas, there is %d", p.Fault, p.Replicas)
	check(!nemesis.OfChunkservers(p.Fault) || p.Chunkservers > 0, "fault %s needs chunkservers; workload %s has none", p.Fault, p.Workload)
	if workloads.IsKV(p.Workload) {
		check(p.Chunkservers == 0, "chunkservers is %d; workload %s has none", p.Chunkservers, p.Workload)
	} else {
		check(p.Chunkservers >= 1 && p.Chunkservers <= 32, "chunkservers is %d; it must be 1 to 32", p.Chunkservers)
		check(p.Limits.ReadMode != string(consensus.ReadStale), "limits: read_mode is %s; only workload register can judge stale reads", p.Limits.ReadMode)
	}
	check(p.Clients >= 1 && p.Clients <= 4096, "clients is %d; it must be 1 to 4096", p.Clients)
	check(p.Arrival != "open" || p.Rate > 0 && !math.IsInf(p.Rate, 0), "rate is %g; open arrival needs a rate above 0 operations a second", p.Rate)
	positive := func(key string, d rundir.Duration) {
		check(d > 0, "%s is %v; it must be above 0", key, time.Duration(d))
	}
	positive("duration", p.Duration)
	positive("op_timeout", p.OpTimeout)
	positive("lease_term", p.LeaseTerm)
	positive("check_timeout", p.CheckTimeout)
	check(p.WarmUp >= 0, "warm_up is %v; it must not be negative", time.Duration(p.WarmUp))
	if p.Fault != "none" {
		positive("fault_at", p.FaultAt)
		positive("fault_for", p.FaultFor)
		check(p.FaultRepeat >= 1, "fault_repeat is %d; it must be at least 1", p.FaultRepeat)
		check(p.FaultRepeat <= 1 || p.FaultEvery > p.FaultFor, "fault_every is %v; it must be above fault_for %v", time.Duration(p.FaultEvery), time.Duration(p.FaultFor))
		check(lastHeal(p) < p.Duration, "the last fault heals at %v, which is not before the end of duration %v; leave time to recover",
			time.Duration(lastHeal(p)), time.Duration(p.Duration))
	}
	check(p.Replace >= 0 && p.Replace <= 9, "replace is %d; it must be 0 to 9", p.Replace)
	if p.Replace > 0 {
		check(p.Replicas >= 3, "replace is %d; it needs at least 3 replicas", p.Replace)
		check(p.ReplaceAt >= 0 && p.ReplaceEvery >= 0, "replace_at is %v and replace_every %v; they must not be negative", time.Duration(p.ReplaceAt), time.Duration(p.ReplaceEvery))
		check(p.ReplaceAt+rundir.Duration(p.Replace-1)*p.ReplaceEvery < p.Duration, "the last replacement begins after the end of duration %v", time.Duration(p.Duration))
	}
	checkProfile(p, check)
	oneOf("record_sizes", p.RecordSizes, workloads.SizeTables())
	check(p.RecordBytes >= 1 && p.RecordBytes <= 16<<20, "record_bytes is %d; it must be 1 to %d", p.RecordBytes, 16<<20)
	check(p.ChunkBytes >= 4096 && p.ChunkBytes <= 1<<31, "chunk_bytes is %d; it must be 4096 to %d", p.ChunkBytes, int64(1<<31))
	check(int64(p.RecordBytes)+frameBytes <= p.ChunkBytes/4, "record_bytes is %d; a record (with its frame of up to %d bytes) must fit into a quarter of chunk_bytes %d", p.RecordBytes, frameBytes, p.ChunkBytes)
	return errors.Join(errs...)
}

// checkProfile judges the keys that most plans leave as they are.
func checkProfile(p rundir.Plan, check func(ok bool, format string, args ...any)) {
	check(p.Files >= 0 && p.Files <= 10_000_000, "files is %d; it must be 0 (the profile's own number) to 10000000", p.Files)
	check(p.Replication >= 0 && p.Replication <= max(p.Chunkservers, 0), "replication is %d; it must be 0 (3, or as many as there are chunkservers) to chunkservers, %d", p.Replication, p.Chunkservers)
	check(p.Racks >= 0 && p.Racks <= max(p.Chunkservers, 0), "racks is %d; it must be 0 (none) to chunkservers, %d", p.Racks, p.Chunkservers)
	for key, d := range map[string]rundir.Duration{
		"retention": p.Retention, "period": p.Period, "dead_after": p.DeadAfter, "replicate_after": p.ReplicateAfter, "orphan_age": p.OrphanAge, "settle": p.Settle,
	} {
		check(d >= 0, "%s is %v; it must not be negative", key, time.Duration(d))
	}
	check(p.ScrubRate >= 0, "scrub_rate is %d; it must not be negative", p.ScrubRate)
}

// frameBytes is what a record's frame takes at most: the header and the name of
// one of our clients ("c4095.1234567890").
const frameBytes = api.FrameOverhead + 20

// lastHeal is when the last fault of the plan is healed.
func lastHeal(p rundir.Plan) rundir.Duration {
	return p.FaultAt + rundir.Duration(max(p.FaultRepeat-1, 0))*p.FaultEvery + p.FaultFor
}
