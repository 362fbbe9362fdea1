package report

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestPictures: both files are there, name their series, and are the same again for
// the same figures.
func TestPictures(t *testing.T) {
	pic := Picture{Name: "p", Title: "a title", Note: "a note", Panels: []Panel{
		{Title: "one", X: "time [ms]", Y: "MB/s", Series: []Series{{Name: "multipaxos", X: []float64{-50, 0, 50}, Y: []float64{1, 0, 2}}, {Name: "none", X: nil, Y: nil}}, Shade: [][2]float64{{0, 20}}},
		{Title: "two", X: "clients", Y: "MB/s", LogX: true, Dots: true, Series: []Series{{Name: "one file", X: []float64{1, 2, 16}, Y: []float64{1, 2, 3}, Low: []float64{1, 2, 2}, High: []float64{1, 2, 50}}}},
	}}
	var before []byte
	for range 2 {
		dir := t.TempDir()
		if err := pic.Draw(dir); err != nil {
			t.Fatal(err)
		}
		svg, err := os.ReadFile(filepath.Join(dir, "p.svg"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"multipaxos", "one file", "no leader", "a title", "clients", ">40<"} {
			if !bytes.Contains(svg, []byte(want)) {
				t.Errorf("%q is not in the picture", want)
			}
		}
		if before != nil && !bytes.Equal(before, svg) {
			t.Error("the same figures gave two pictures")
		}
		before = svg
		if png, err := os.ReadFile(filepath.Join(dir, "p.png")); err != nil || !bytes.HasPrefix(png, []byte("\x89PNG")) {
			t.Errorf("png: %v", err)
		}
	}
	if err := (Picture{Name: "q"}).Draw(t.TempDir()); err == nil {
		t.Error("a picture of nothing was drawn")
	}
}

// TestPicturesOfLittle: a panel may have one value of x, or none.
func TestPicturesOfLittle(t *testing.T) {
	for _, logX := range []bool{false, true} {
		pic := Picture{Name: "p", Panels: []Panel{
			{Title: "one", LogX: logX, Dots: true, Series: []Series{{Name: "one file", X: []float64{16}, Y: []float64{3}}, {Name: "a file each", X: nil, Y: nil}}},
			{Title: "none", LogX: logX, Series: []Series{{Name: "one file", X: nil, Y: nil}}},
			{Title: "the least", LogX: logX, Series: []Series{{Name: "one file", X: []float64{1}, Y: []float64{0}}}},
		}}
		if err := pic.Draw(t.TempDir()); err != nil {
			t.Errorf("log x %v: %v", logX, err)
		}
	}
}
