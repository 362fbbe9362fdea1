package consensus

import (
	"errors"
	"strings"
	"testing"
)

// A change is refused that names an address which no replica could call: once in
// the log it would keep every replica from following its members, and from opening
// again.
func TestAnAddressThatCannotBeCalledIsRefused(t *testing.T) {
	m := Founders([]Peer{{1, "a"}, {2, "b"}, {3, "c"}})
	long := strings.Repeat("x", MaxAddr)
	for _, c := range []Change{{AddVoters: []Peer{{4, long + "x"}}}, {AddLearners: []Peer{{4, long + "x"}}}, {AddVoters: []Peer{{4, ""}}}} {
		if got, err := m.Apply(c); !errors.Is(err, ErrRefused) {
			t.Errorf("%d bytes: %+v, %v", len(append(c.AddVoters, c.AddLearners...)[0].Addr), got, err)
		}
	}
	if got, err := m.Apply(Change{AddVoters: []Peer{{4, long}}}); err != nil || !got.IsVoter(4) {
		t.Errorf("%d bytes: %v", MaxAddr, err)
	}
}
