package partial

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"gfslab/harness"
)

const (
	// JobVariable names the environment variable that hands a Spec's file to the
	// virtual-time binary.
	JobVariable = "GFSLAB_PARTIAL"
	// ProgressMark begins the lines of that binary that are progress.
	ProgressMark = "partial "
)

// ResultFile is where the result of a job's file goes.
func ResultFile(job string) string { return strings.TrimSuffix(job, ".json") + ".result.json" }

// RunMatrix runs a matrix in the virtual-time binary. progress gets a line a cell.
func RunMatrix(ctx context.Context, s Spec, progress io.Writer) (r Result, err error) {
	cells, err := s.Plan()
	if err != nil {
		return r, err
	}
	binary, err := harness.FindVirtualBinary()
	if err != nil {
		return r, err
	}
	tmp, err := os.MkdirTemp("", "gfslab-partial-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(tmp)
	job := filepath.Join(tmp, "job.json")
	data, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(job, data, 0o644)
	}
	if err != nil {
		return r, err
	}
	fmt.Fprintf(progress, "partial connectivity: %d cells of %d trials\n", len(cells), s.Trials)
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^TestPartial$", "-test.timeout", "1h", "-test.count", "1")
	cmd.Env = append(os.Environ(), JobVariable+"="+job)
	cmd.Dir = tmp
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return r, err
	}
	rest := pass(out, progress)
	err = cmd.Wait()
	data, readErr := os.ReadFile(ResultFile(job))
	if err != nil || readErr != nil {
		return r, errors.Join(ctx.Err(), fmt.Errorf("%s left no result: %w\n%s", harness.VirtualBinary, errors.Join(err, readErr), strings.Join(rest, "\n")))
	}
	return r, json.Unmarshal(data, &r)
}

// pass hands on the lines that are progress and returns the last of the others.
func pass(out io.Reader, progress io.Writer) (rest []string) {
	const keep = 60
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if line, ok := strings.CutPrefix(lines.Text(), ProgressMark); ok {
			fmt.Fprintln(progress, line)
		} else if rest = append(rest, lines.Text()); len(rest) > keep {
			rest = rest[1:]
		}
	}
	return rest
}
