package check

import (
	"context"
	"fmt"
	"time"

	"gfslab/results/rundir"
)

// The workloads that some checkers are particular about.
const (
	workloadAppend = "append"
	workloadLease  = "lease-churn"
)

// defaultTimeout bounds a checker when the plan does not.
const defaultTimeout = 30 * time.Second

// Checker judges one property of a run.
type Checker struct {
	Name string
	// About says in one line what the checker holds a run to.
	About string
	// applies tells for which runs it is part of the verdict.
	applies func(f *facts) bool
	check   func(ctx context.Context, f *facts, out *findings)
}

// Check judges the run. When ctx ends first, the verdict is unknown.
func (c Checker) Check(ctx context.Context, run *rundir.Run) rundir.CheckResult {
	return c.on(ctx, newFacts(run))
}

func (c Checker) on(ctx context.Context, f *facts) rundir.CheckResult {
	limit := time.Duration(f.run.Manifest.Plan.CheckTimeout)
	if limit <= 0 {
		limit = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out := newFindings(c.Name)
	c.guarded(ctx, f, out)
	if err := ctx.Err(); err != nil {
		out.unknown("the check did not finish: %v", err)
	}
	return out.result()
}

// guarded runs the check. One that breaks on what a run says has not vouched for
// it: a panic would end the process with the exit code of another verdict.
func (c Checker) guarded(ctx context.Context, f *facts, out *findings) {
	defer func() {
		if broken := recover(); broken != nil {
			out.unknown("the check broke: %v", broken)
		}
	}()
	c.check(ctx, f, out)
}

// All lists the checkers in the order in which they run.
func All() []Checker {
	always := func(*facts) bool { return true }
	return []Checker{
		{"assumptions", "the run had the power to show a violation: reads by others, overlap, successes around each fault", always, checkAssumptions},
		{"logs-agree", "all nodes, in all incarnations, applied prefixes of one sequence with equal states, a snapshot's too (N2, N9, D3, D4, X1)", always, checkLogs},
		{"certificate", "every reply is what the agreed log, replayed, says at its position, and real time respects positions (N1, N4-N8, D1, D2, V1, L3, S2, G2, F2, Q1; stale reads: N7)", always, checkCertificate},
		{"linearizable", "what the clients saw of the master is linearizable, whatever the log says (N1, N4-N6, N8, A4)", always, checkLinearizable},
		{"durable", "acknowledged mutations are in every final log that reaches them, and final reads come after them (N3)", always, checkDurable},
		{"leaders", "one leader a term, which answers only with all that earlier ones acknowledged (F1, F4)", always, checkLeaders},
		{"records", "acknowledged records are on every current replica at their offset, byte for byte (A1-A4, V4, C1)", (*facts).appends, checkRecords},
		{"full-reads", "readers of whole files find every acknowledged record once and none that was not sent, in a snapshot those of its moment (A2, S1)", (*facts).readsWhole, checkFullReads},
		{"writes", "what is read, and what lies on every current replica, is what the acknowledged writes make in the primary's order (W1, S1, V4, C1)", (*facts).writes, checkWrites},
		{"leases", "one primary a chunk; no mutation under an old version after one under a newer (V1, L1-L3)", (*facts).leases, checkLeases},
		{"replicas", "no replica is taken, served, joined or deleted but as the log allows, and all have one serial order (V1-V3, L4, A4, A5, S3, G1, G3, F3, F4, R1, C1)", (*facts).leases, checkReplicas},
	}
}

// Run judges a run with every checker that applies to its workload. On an invalid
// verdict it leaves counterexample.txt in the run directory, if the run has one.
func Run(ctx context.Context, run *rundir.Run) rundir.Verdict {
	removeOldFindings(run.Dir)
	f := newFacts(run)
	var results []rundir.CheckResult
	for _, c := range All() {
		if c.applies(f) {
			results = append(results, c.on(ctx, f))
		}
	}
	noteDisagreement(results)
	v := rundir.Combine(results)
	if v.Verdict == rundir.Invalid && run.Dir != "" {
		writeCounterexample(f, v.Checks)
	}
	return v
}

// noteDisagreement says so where the two independent verdicts on master
// operations differ: a certificate that fails where the clients' history is
// linearizable is a violation inside the system that no client has seen yet.
func noteDisagreement(results []rundir.CheckResult) {
	var certificate, linearizable *rundir.CheckResult
	for i := range results {
		switch results[i].Name {
		case "certificate":
			certificate = &results[i]
		case "linearizable":
			linearizable = &results[i]
		}
	}
	if certificate == nil || linearizable == nil {
		return
	}
	if certificate.Verdict == rundir.Invalid && linearizable.Verdict == rundir.Valid {
		certificate.Details = append(certificate.Details, "internal violation: the clients' history alone is linearizable")
	}
	if linearizable.Verdict == rundir.Invalid && certificate.Verdict == rundir.Valid {
		linearizable.Details = append(linearizable.Details, "the certificate holds: the two verdicts contradict each other, which is itself a fault (of a checker or of the log)")
	}
}

// describe names an operation in a finding.
func describe(op *rundir.Op) string {
	s := fmt.Sprintf("operation %d (%s", op.ID, op.Kind)
	if op.Path != "" {
		s += " " + op.Path
	}
	if op.Path2 != "" {
		s += " to " + op.Path2
	}
	if op.Handle != 0 {
		s += fmt.Sprintf(" chunk %d", op.Handle)
	}
	s += " by " + op.Client
	if op.Seq != 0 {
		s += fmt.Sprintf(" seq %d", op.Seq)
	}
	return s + ")"
}
