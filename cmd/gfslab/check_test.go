package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gfslab/results/rundir"
)

// validRun records a run that is valid. On a machine that is busy with other work a
// history may be too thin to be called so; then it is made again, longer.
func validRun(t *testing.T) (dir string) {
	t.Helper()
	for _, duration := range []string{"800ms", "3s", "10s", "30s"} {
		dir = filepath.Join(t.TempDir(), "good")
		code, out, errs := invoke(t, "run", "--workload", "append", "--backend", "multipaxos", "--duration", duration, "--out", dir)
		if code == exitValid {
			break
		}
		if code != exitUnknown || duration == "30s" {
			t.Fatalf("exit %d after %s\n%s%s", code, duration, out, errs)
		}
	}
	return dir
}

// One directory that cannot be read hides no verdict on another, and a violation
// that was seen decides the exit code.
func TestCheckGoesOnAfterADamagedDirectory(t *testing.T) {
	good := validRun(t)
	bad, cut := filepath.Join(t.TempDir(), "bad"), filepath.Join(t.TempDir(), "cut")
	for _, dir := range []string{bad, cut} {
		if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(cut, rundir.EndFile)); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(bad, "chunks", "cs2.jsonl")
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	lines[len(lines)/2] = ""
	if err := os.WriteFile(list, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rundir.Reseal(bad); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]int{
		"check " + good + " " + bad:             exitInvalid,
		"check " + cut + " " + bad:              exitInvalid,
		"check " + cut + " " + good:             exitInfrastructure,
		"check " + good + " " + cut + " " + bad: exitInvalid,
	} {
		code, out, errs := invoke(t, strings.Fields(line)...)
		if code != want || strings.Contains(line, bad) && !strings.Contains(out, "node cs2") || strings.Contains(line, cut) && !strings.Contains(errs, "not sealed") {
			t.Errorf("%s: exit %d, want %d\n%s%s", line, code, want, out, errs)
		}
	}
}
