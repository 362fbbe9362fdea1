package check

import (
	"fmt"
	"slices"

	"gfslab/results/rundir"
)

// maxDetails bounds the findings of each severity that are written out: after the
// first few, a count says as much.
const maxDetails = 20

// findings gathers what one checker says of a run.
type findings struct {
	name    string
	verdict string
	details map[string][]string // by verdict
	counts  map[string]int
	stats   map[string]int64
	files   []string
	first   *rundir.Op
	// firstText is what was found about the first one.
	firstText string
}

func newFindings(name string) *findings {
	return &findings{name: name, verdict: rundir.Valid, details: map[string][]string{}, counts: map[string]int{}, stats: map[string]int64{}}
}

func (f *findings) add(verdict, text string) {
	f.verdict = rundir.Worse(f.verdict, verdict)
	f.counts[verdict]++
	if len(f.details[verdict]) < maxDetails {
		f.details[verdict] = append(f.details[verdict], text)
	}
}

// invalid records a violation. op is the operation concerned, or nil.
func (f *findings) invalid(op *rundir.Op, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if op != nil {
		text = describe(op) + ": " + text
		if f.first == nil || op.Start < f.first.Start {
			f.first, f.firstText = op, text
		}
	}
	f.add(rundir.Invalid, text)
}

// unknown records why the checker cannot vouch for the run.
func (f *findings) unknown(format string, args ...any) {
	f.add(rundir.Unknown, fmt.Sprintf(format, args...))
}

// void records why the run does not count at all.
func (f *findings) void(format string, args ...any) {
	f.add(rundir.Void, fmt.Sprintf(format, args...))
}

// stat counts what was checked.
func (f *findings) stat(name string, n int) { f.stats[name] += int64(n) }

func (f *findings) result() rundir.CheckResult {
	r := rundir.CheckResult{Name: f.name, Verdict: f.verdict, Stats: f.stats, FirstBadOp: -1, Files: f.files}
	if f.first != nil {
		r.FirstBadOp = f.first.ID
	}
	for _, v := range []string{rundir.Invalid, rundir.Void, rundir.Unknown} {
		details := f.details[v]
		if v == rundir.Invalid && f.first != nil {
			details = lead(details, f.firstText)
		}
		r.Details = append(r.Details, details...)
		if more := f.counts[v] - len(f.details[v]); more > 0 {
			r.Details = append(r.Details, fmt.Sprintf("and %d more %s findings", more, v))
		}
	}
	slices.Sort(r.Files)
	return r
}

// lead puts a finding first, in place of the last one where it is not among them.
func lead(details []string, text string) []string {
	out := append([]string{text}, details...)
	if i := slices.Index(details, text); i >= 0 {
		return slices.Delete(out, i+1, i+2)
	}
	return out[:len(details)]
}
