package report

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Build draws the report of a bench directory, or of one run directory, into
// that directory, and writes a line or two of progress to w. Files of an earlier
// report are replaced. Runs that are damaged, missing or not valid are no error.
func Build(dir string, w io.Writer) error {
	b, err := load(dir)
	if err != nil {
		return err
	}
	s := b.summary()
	fmt.Fprintf(w, "report: %d runs planned, %d valid, %d invalid, %d unknown, %d void\n",
		s.Runs.Planned, s.Runs.Valid, s.Runs.Invalid, s.Runs.Unknown, s.Runs.Void)
	data, err := s.encode()
	if err != nil {
		return fmt.Errorf("report: summary.json: %w", err)
	}
	drawn, err := b.draw(s.Failovers)
	if err != nil {
		return err
	}
	page, err := b.page(&s, drawn)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"summary.json": data, "tables.md": []byte(s.markdown()), "tables.csv": []byte(s.csv()), "report.html": page,
	}
	for _, d := range drawn {
		files[filepath.Join("plots", d.name+".svg")] = d.svg
		files[filepath.Join("plots", d.name+".png")] = d.png
	}
	// A plot of an earlier report that is not drawn any more must not stay.
	if err := os.RemoveAll(filepath.Join(dir, "plots")); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "plots"), 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	fmt.Fprintf(w, "report: %d plots, tables and page in %s\n", len(drawn), dir)
	return nil
}
