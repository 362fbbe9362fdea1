package rundir

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// end is the form of the END file.
type end struct {
	Format int       `json:"format"`
	Files  []endFile `json:"files"`
}

// endFile is one sealed file.
type endFile struct {
	Name   string `json:"name"`
	Lines  int    `json:"lines"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func sumFile(name string, data []byte) endFile {
	sum := sha256.Sum256(data)
	return endFile{Name: name, Lines: bytes.Count(data, []byte{'\n'}), Bytes: len(data), SHA256: hex.EncodeToString(sum[:])}
}

// Reseal writes END anew from the files as they are now. It is for tests that
// alter a run on purpose; a run is sealed once, by [Writer.Seal].
func Reseal(dir string) error {
	names, err := sealedFiles(dir)
	if err != nil {
		return err
	}
	e := end{Format: FormatVersion}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("rundir: seal: %w", err)
		}
		e.Files = append(e.Files, sumFile(name, data))
	}
	return writeJSON(dir, EndFile, e)
}

// readSealed returns the contents of all sealed files after comparing each with
// END.
func readSealed(dir string) (map[string][]byte, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("rundir: %w", err)
	}
	var e end
	if err := readJSON(dir, EndFile, &e); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("rundir: %s: %w: no END file: it did not finish, or the directory was cut short", dir, ErrUnsealed)
		}
		return nil, err
	}
	if e.Format != FormatVersion {
		return nil, fmt.Errorf("rundir: END: %w: %d, this build reads %d", ErrFormat, e.Format, FormatVersion)
	}
	present, err := sealedFiles(dir)
	if err != nil {
		return nil, err
	}
	sealed := make(map[string]endFile, len(e.Files))
	for _, f := range e.Files {
		if _, dup := sealed[f.Name]; dup || !filepath.IsLocal(filepath.FromSlash(f.Name)) {
			return nil, fmt.Errorf("rundir: END: %w: file name %q", ErrSyntax, f.Name)
		}
		sealed[f.Name] = f
	}
	for _, name := range present {
		if _, ok := sealed[name]; !ok {
			return nil, fmt.Errorf("rundir: %s: %w: END does not list it", name, ErrDamaged)
		}
	}
	out := make(map[string][]byte, len(e.Files))
	for _, f := range e.Files {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.Name)))
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("rundir: %s: %w: the file is missing", f.Name, ErrDamaged)
		}
		if err != nil {
			return nil, fmt.Errorf("rundir: %w", err)
		}
		if err := compareSeal(f, sumFile(f.Name, data)); err != nil {
			return nil, err
		}
		out[f.Name] = data
	}
	return out, nil
}

// compareSeal names the first thing in which a file differs from its seal.
func compareSeal(want, got endFile) error {
	switch {
	case got.Lines != want.Lines:
		return fmt.Errorf("rundir: %s: %w: %d lines, END says %d", want.Name, ErrDamaged, got.Lines, want.Lines)
	case got.Bytes != want.Bytes:
		return fmt.Errorf("rundir: %s: %w: %d bytes, END says %d", want.Name, ErrDamaged, got.Bytes, want.Bytes)
	case got.SHA256 != want.SHA256:
		return fmt.Errorf("rundir: %s: %w: sha256 %.12s…, END says %.12s…", want.Name, ErrDamaged, got.SHA256, want.SHA256)
	}
	return nil
}
