package harness

import (
	"context"
	"fmt"
	"time"

	"gfslab/harness/nemesis"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// Schedule returns the plan's faults as data.
func Schedule(p rundir.Plan, heartbeat time.Duration) []nemesis.Step {
	if p.Fault == nemesis.None {
		return nil
	}
	rng := workloads.Rand(p.Seed, 1<<40)
	var steps []nemesis.Step
	for i := range max(1, p.FaultRepeat) {
		at := time.Duration(p.FaultAt) + time.Duration(i)*time.Duration(p.FaultEvery)
		if i > 0 {
			at += time.Duration(rng.Int64N(int64(heartbeat)))
		}
		steps = append(steps, nemesis.Step{Fault: p.Fault, At: at, For: time.Duration(p.FaultFor), Args: nemesis.Args{Pick: rng.Uint64()}})
	}
	return steps
}

// breakAndHeal carries out the schedule. began is the start of the measured
// window on the run's clock. Everything is healed when it returns, also when
// ctx has ended.
func (r *run) breakAndHeal(ctx context.Context, began int64) ([]*injected, error) {
	limits, err := PlanLimits(r.plan)
	if err != nil {
		return nil, err
	}
	var done []*injected
	for _, step := range Schedule(r.plan, time.Duration(limits.HeartbeatTicks)*limits.Tick) {
		due := began + int64(step.At)
		if err := wait(ctx, time.Duration(due-r.now())); err != nil {
			return done, err
		}
		f, err := r.one(ctx, step, due)
		if f != nil {
			done = append(done, f)
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (r *run) one(ctx context.Context, step nemesis.Step, due int64) (*injected, error) {
	// The cell must lead, and be whole, before it is broken: else the fault would
	// be measured against the one before.
	ready, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := r.cell.Quiet(ready); err != nil {
		return nil, fmt.Errorf("before %s: %w", step.Fault, err)
	}
	if err := r.hold(ctx); err != nil {
		return nil, err
	}
	defer r.release()
	leader, term, ok := r.cell.Leader()
	if !ok {
		return nil, fmt.Errorf("before %s: no master leads", step.Fault)
	}
	f := &injected{before: nemesis.Before{Leader: leader, Term: term}}
	f.record = rundir.Fault{Name: step.Fault, Due: due, Heal: -1}
	// Stamped before the cut, so that no effect can come before its cause.
	felt := r.cell.Felt()
	f.record.Inject = r.now()
	in, err := nemesis.Inject(ctx, r.cell, step.Fault, step.Args)
	if err != nil {
		return nil, err
	}
	f.record.InForce = r.now()
	f.record.Node, f.record.Nodes = in.Node, in.Nodes
	r.load.victim(in.Node)
	waitErr := wait(ctx, step.For)
	f.network, f.other, f.effect = r.cell.Felt()-felt, in.Felt, in.Effect
	f.lag = r.behind(in.Node)
	f.record.Heal = r.now()
	heal, stop := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer stop()
	if err := in.Heal(heal); err != nil {
		return f, fmt.Errorf("heal %s: %w", step.Fault, err)
	}
	r.load.victim("")
	return f, waitErr
}

// behind is how many entries a node that is up lags behind the leader.
func (r *run) behind(name string) uint64 {
	victim, up := r.cell.Status(name)
	leader, _, ok := r.cell.Leader()
	if !up || !ok || leader == name {
		return 0
	}
	if lead, up := r.cell.Status(leader); up && lead.Committed > victim.Applied {
		return lead.Committed - victim.Applied
	}
	return 0
}

// explain says of each fault what it did, by the events up to the next one.
func explain(faults []*injected, events []nemesis.Seen) {
	for i, f := range faults {
		window := events
		if i+1 < len(faults) {
			next := faults[i+1].record.Inject
			for j, e := range events {
				if e.At >= next {
					window = events[:j]
					break
				}
			}
		}
		felt := nemesis.Felt{Count: f.network, Effect: nemesis.OnNetwork}
		if f.other != nil {
			felt = nemesis.Felt{Count: f.other(), Effect: f.effect}
		}
		nemesis.Explain(&f.record, f.before, window, felt, f.lag)
	}
}
