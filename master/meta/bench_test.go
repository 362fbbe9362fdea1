package meta

import (
	"bytes"
	"fmt"
	"testing"

	"gfslab/master/meta/metapb"
)

// BenchmarkRestore loads a snapshot of files with two chunks each, as a restart
// does; divide by 100,000 for the time a file.
func BenchmarkRestore(b *testing.B) {
	s := New()
	for i := range uint64(100_000) {
		p := fmt.Sprintf("/file-%08d", i)
		s.Apply(3*i+1, [][]byte{encode(b, createOf(p)), encode(b, allocateOf(p, 0, Records)), encode(b, allocateOf(p, 1, Records))})
		s.Apply(3*i+2, [][]byte{encode(b, intentOf(2*i+1, 0, "a", "b", "c")), encode(b, intentOf(2*i+2, 0, "a", "b", "c"))})
		s.Apply(3*i+3, [][]byte{encode(b, activeOf(2*i+1, 3*i+2, "a", "b", "c")), encode(b, activeOf(2*i+2, 3*i+2, "a", "b", "c"))})
	}
	var image bytes.Buffer
	if _, err := s.Snapshot().WriteTo(&image); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := New().Restore(bytes.NewReader(image.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDelete hides files.
func BenchmarkDelete(b *testing.B) {
	s := New()
	raws := make([][]byte, b.N)
	for i := range raws {
		p := fmt.Sprintf("/file-%08d", i)
		s.Apply(uint64(i+1), [][]byte{encode(b, createOf(p))})
		raws[i] = encode(b, deleteOf(p))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i, raw := range raws {
		s.Apply(uint64(b.N+i+1), [][]byte{raw})
	}
}

// BenchmarkPurge removes hidden files, 1,000 a command.
func BenchmarkPurge(b *testing.B) {
	s := New()
	for i := range b.N {
		p := fmt.Sprintf("/file-%08d", i)
		s.Apply(uint64(i+1), [][]byte{encode(b, createOf(p)), encode(b, deleteOf(p))})
	}
	purge := encode(b, &metapb.Command{StampNs: 2 * DefaultRetention, Op: purgeOf(1000).Op})
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; s.expiry.Len() > 0; i++ {
		s.Apply(uint64(b.N+i+1), [][]byte{purge})
	}
}

// BenchmarkSnapshotTree copies a directory of 10,000 files with a chunk each;
// divide by 10,000 for the time a file.
func BenchmarkSnapshotTree(b *testing.B) {
	s := New()
	s.Apply(1, [][]byte{encode(b, mkdirOf("/d"))})
	for i := range uint64(10_000) {
		p := fmt.Sprintf("/d/file-%08d", i)
		s.Apply(i+2, [][]byte{encode(b, createOf(p)), encode(b, allocateOf(p, 0, Records))})
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		s.Apply(s.index+1, [][]byte{encode(b, snapshotOf("/d", fmt.Sprint("/s", n)))})
	}
}
