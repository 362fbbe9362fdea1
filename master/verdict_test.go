package master

import (
	"fmt"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/master/meta"
)

// TestVerdict: what is made of what was heard of each member. Of the letters, one a
// member: g has the version, h a higher one, s a lower one, a none, u none but said
// not everything yet, c is corrupt, d is dead, n was never heard of.
func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		members                           string
		current, confirmed, corrupt, lost int
		under, over, repairable           bool
	}{
		{"ggg", 3, 3, 0, 0, false, false, false},
		{"ghg", 3, 3, 0, 0, false, false, false},
		{"gg", 2, 2, 0, 0, true, false, false},
		{"ggu", 3, 2, 0, 0, false, false, false},
		{"ggd", 2, 2, 0, 1, true, false, false},
		{"gsn", 1, 1, 0, 2, true, false, false},
		{"gga", 2, 2, 0, 1, true, false, false},
		{"ggc", 2, 2, 1, 0, true, false, true},
		{"uuc", 2, 0, 1, 0, true, false, false},
		{"ccc", 0, 0, 3, 0, true, false, false},
		{"gggg", 4, 4, 0, 0, false, true, false},
		{"gggd", 3, 3, 0, 1, false, true, false},
		{"gggc", 3, 3, 1, 0, false, true, true},
		{"gguu", 4, 2, 0, 0, false, false, false},
		{"gggu", 4, 3, 0, 0, false, false, false},
		{"ggud", 3, 2, 0, 1, false, false, false},
	} {
		c := newCell(t, 1)
		m := c.masters[0]
		chunk := meta.Chunk{Handle: 7, Version: 5}
		for i, letter := range test.members {
			name := fmt.Sprintf("cs%d", i)
			chunk.Members = append(chunk.Members, name)
			r := &api.HeartbeatRequest{Chunkserver: name, Address: "a", Boot: "b", Full: letter != 'u'}
			x := &api.ChunkReport{Handle: 7, Version: 5, Corrupt: letter == 'c'}
			switch letter {
			case 'h':
				x.Version = 6
			case 's':
				x.Version = 4
			}
			if letter != 'a' && letter != 'u' {
				r.Chunks = append(r.Chunks, x)
			}
			if letter == 'n' {
				continue
			}
			if _, err := m.Heartbeat(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if letter == 'd' {
				m.servers.byName[name].heard = time.Now().Add(-time.Hour)
			}
		}
		v := m.servers.judge(&chunk, 3, time.Now())
		got := fmt.Sprint(len(v.current), len(v.confirmed), len(v.corrupt), len(v.lost), v.under(), v.over(), v.repairable())
		want := fmt.Sprint(test.current, test.confirmed, test.corrupt, test.lost, test.under, test.over, test.repairable)
		if got != want {
			t.Errorf("%s: %s, want %s", test.members, got, want)
		}
		c.stop()
	}
}
