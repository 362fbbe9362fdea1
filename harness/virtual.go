package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gfslab/results/rundir"
)

// JobVariable names the environment variable that hands a Job's file to the
// virtual-time binary.
const JobVariable = "GFSLAB_JOB"

// Job is one plan for the virtual-time binary. A bubble of virtual time needs a
// testing.T, so the binary is a compiled test; it writes a JobResult beside the
// job's file.
type Job struct {
	Plan    rundir.Plan `json:"plan"`
	Dir     string      `json:"dir"`
	Info    Info        `json:"info"`
	Host    rundir.Host `json:"host"`
	Created time.Time   `json:"created"`
}

// JobResult is what became of a Job.
type JobResult struct {
	Verdict rundir.Verdict `json:"verdict"`
	Stats   Stats          `json:"stats"`
	Error   string         `json:"error,omitempty"`
}

// VirtualBinary is the name of the virtual-time binary, which lies beside the
// program's own.
const VirtualBinary = "gfslab-virtual"

// RunVirtual is Run in virtual time, in another process.
func RunVirtual(ctx context.Context, p rundir.Plan, o RunOptions) (rundir.Verdict, Stats, error) {
	p.Tier = "virtual"
	Normalize(&p)
	if err := ValidatePlan(p); err != nil {
		return rundir.Verdict{}, Stats{}, err
	}
	binary, err := virtualBinary()
	if err != nil {
		return rundir.Verdict{}, Stats{}, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return rundir.Verdict{}, Stats{}, err
	}
	if _, err := os.Stat(dir); err == nil {
		return rundir.Verdict{}, Stats{}, fmt.Errorf("run directory %s exists already", o.Dir)
	}
	job := Job{Plan: p, Dir: dir, Info: o.Info, Created: time.Now().UTC()}
	if o.Host != nil {
		job.Host = *o.Host
	} else if job.Host, err = HostFacts(filepath.Dir(dir)); err != nil {
		return rundir.Verdict{}, Stats{}, err
	}
	r, err := runJob(ctx, binary, job)
	if err != nil {
		// The process was killed and could not do it itself.
		err = errors.Join(err, discardUnsealed(ctx, dir))
	}
	return r.Verdict, r.Stats, err
}

// virtualLimit is the real time after which a run that goes on for ever is ended.
// Plans that allow their checkers more are larger in all.
func virtualLimit(p rundir.Plan) time.Duration {
	return 10*time.Minute + 10*time.Duration(p.CheckTimeout)
}

func runJob(ctx context.Context, binary string, job Job) (r JobResult, err error) {
	tmp, err := os.MkdirTemp("", "gfslab-job-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, "job.json")
	if err := writeJSON(file, job); err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^TestRuns$", "-test.timeout", virtualLimit(job.Plan).String(), "-test.count", "1")
	cmd.Env = append(os.Environ(), JobVariable+"="+file)
	cmd.Dir = tmp
	out, runErr := cmd.CombinedOutput()
	text, err := os.ReadFile(ResultFile(file))
	if err != nil {
		return r, errors.Join(ctx.Err(), fmt.Errorf("%s left no result: %w\n%s", VirtualBinary, errors.Join(runErr, err), tail(string(out), 30)))
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%s: result: %w", VirtualBinary, err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	if runErr != nil {
		return r, fmt.Errorf("%s: %w\n%s", VirtualBinary, runErr, tail(string(out), 30))
	}
	return r, nil
}

// ResultFile is where the result of a job's file goes.
func ResultFile(job string) string { return strings.TrimSuffix(job, ".json") + ".result.json" }

// FindVirtualBinary finds the virtual-time binary beside our own.
func FindVirtualBinary() (string, error) { return virtualBinary() }

func virtualBinary() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), VirtualBinary)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("virtual time needs %s beside %s: `make build` makes both: %w", VirtualBinary, self, err)
	}
	return path, nil
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
