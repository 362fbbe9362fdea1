package rundir

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// severity orders the verdicts, worst highest. Invalid is the worst: a
// violation that was seen must never be hidden by a run that for another reason
// does not count. Void comes before unknown, because no longer check can save
// such a run.
func severity(verdict string) (int, bool) {
	switch verdict {
	case Valid:
		return 0, true
	case Unknown:
		return 1, true
	case Void:
		return 2, true
	case Invalid:
		return 3, true
	}
	return 1, false
}

// Worse returns the worse of two verdicts: invalid, void, unknown, valid. A word
// that is no verdict counts as unknown.
func Worse(a, b string) string {
	x, xok := severity(a)
	y, yok := severity(b)
	if !xok {
		a = Unknown
	}
	if !yok {
		b = Unknown
	}
	if y > x {
		return b
	}
	return a
}

// Combine returns the verdict of a run: the worst of its checks. Without any
// check the verdict is unknown.
func Combine(checks []CheckResult) Verdict {
	v := Verdict{Format: FormatVersion, Verdict: Unknown, Checks: checks}
	for i, c := range checks {
		if i == 0 {
			v.Verdict = Worse(c.Verdict, c.Verdict)
			continue
		}
		v.Verdict = Worse(v.Verdict, c.Verdict)
	}
	return v
}

// WriteVerdict writes verdict.json into dir, replacing one that is there. The
// seal does not cover it.
func WriteVerdict(dir string, v Verdict) error {
	v.Format = FormatVersion
	return writeJSON(dir, VerdictFile, v)
}

// ReadVerdict reads verdict.json. The error wraps os.ErrNotExist when the run has
// not been judged.
func ReadVerdict(dir string) (Verdict, error) {
	var v Verdict
	if err := readJSON(dir, VerdictFile, &v); err != nil {
		return Verdict{}, err
	}
	if v.Format != FormatVersion {
		return Verdict{}, fmt.Errorf("rundir: %s: %w: %d, this build reads %d", VerdictFile, ErrFormat, v.Format, FormatVersion)
	}
	if _, ok := severity(v.Verdict); !ok {
		return Verdict{}, fmt.Errorf("rundir: %s: %w: verdict %q", VerdictFile, ErrSyntax, v.Verdict)
	}
	return v, nil
}

// ReadManifest reads manifest.json alone, sealed or not: it is there from the
// start of a run.
func ReadManifest(dir string) (Manifest, error) {
	var m Manifest
	if err := readJSON(dir, ManifestFile, &m); err != nil {
		return Manifest{}, err
	}
	return m, checkFormat(m)
}

func checkFormat(m Manifest) error {
	if m.Format != FormatVersion {
		return fmt.Errorf("rundir: %s: %w: %d, this build reads %d", ManifestFile, ErrFormat, m.Format, FormatVersion)
	}
	return nil
}

// writeJSON writes one value to a file, by rename, so that a reader sees the old
// file or the new one.
func writeJSON(dir, name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("rundir: %s: %w", name, err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".tmp", append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return errors.Join(fmt.Errorf("rundir: %w", err), os.Remove(path+".tmp"))
	}
	return nil
}

func readJSON(dir, name string, v any) error {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	return decodeDocument(name, data, v)
}
