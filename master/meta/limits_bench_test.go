package meta

import (
	"fmt"
	"testing"

	"gfslab/master/meta/metapb"
)

// BenchmarkLongest times the commands that touch most at once, each on entries by
// their limit: no other command is applied meanwhile.
func BenchmarkLongest(b *testing.B) {
	const n = 199_000
	grown := func(chunks, files int) *State {
		s := New()
		s.Apply(1, [][]byte{encode(b, mkdirOf("/d"))})
		if chunks > 0 {
			s.Apply(2, [][]byte{encode(b, createOf("/d/big"))})
		}
		for i := range chunks {
			s.Apply(s.index+1, [][]byte{encode(b, allocateOf("/d/big", uint32(i), Records))})
		}
		for i := range files {
			s.Apply(s.index+1, [][]byte{encode(b, createOf(fmt.Sprintf("/d/file-%08d", i)))})
		}
		return s
	}
	one := func(b *testing.B, s *State, cmd *metapb.Command, want Code) {
		raw := encode(b, cmd)
		b.StartTimer()
		r := s.Apply(s.index+1, [][]byte{raw})
		b.StopTimer()
		if got := decode(b, r[0]); Code(got.Code) != want {
			b.Fatalf("%v", got)
		}
	}
	due := func(limit uint32) *metapb.Command {
		c := purgeOf(limit)
		c.StampNs = 2 * DefaultRetention
		return c
	}
	for _, bench := range []struct {
		name          string
		chunks, files int
		run           func(b *testing.B, s *State)
	}{
		{"snapshot-chunks", n, 0, func(b *testing.B, s *State) { one(b, s, snapshotOf("/d", "/s"), OK) }},
		{"snapshot-files", 0, n, func(b *testing.B, s *State) { one(b, s, snapshotOf("/d", "/s"), OK) }},
		{"purge-chunks", n, 0, func(b *testing.B, s *State) {
			s.Apply(s.index+1, [][]byte{encode(b, deleteOf("/d/big"))})
			one(b, s, due(1000), OK)
		}},
		{"purge-files", 0, n, func(b *testing.B, s *State) {
			s.Apply(s.index+1, [][]byte{encode(b, deleteAllOf("/d"))})
			one(b, s, due(200_000), OK)
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.StopTimer()
			for range b.N {
				bench.run(b, grown(bench.chunks, bench.files))
			}
		})
	}
}
