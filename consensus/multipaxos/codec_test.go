package multipaxos

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"gfslab/paxos"
)

func drawBallot(t *rapid.T, name string) paxos.Ballot {
	if rapid.Bool().Draw(t, name+" is zero") {
		return paxos.Ballot{}
	}
	return paxos.Ballot{
		Round: rapid.Uint64Range(0, maxRound).Draw(t, name+" round"),
		Node:  paxos.NodeID(rapid.Uint64Range(1, maxNode).Draw(t, name+" node")),
	}
}

func drawMessage(t *rapid.T) paxos.Message {
	number := func(name string) uint64 {
		return rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(t, name)
	}
	m := paxos.Message{
		Kind:   paxos.Kind(rapid.Byte().Draw(t, "kind")),
		Ballot: drawBallot(t, "ballot"), Promised: drawBallot(t, "promised"),
		Leader: paxos.NodeID(rapid.Uint64Range(0, maxNode).Draw(t, "leader")),
		Lo:     number("lo"), Hi: number("hi"), Chosen: number("chosen"), ID: number("id"),
		Done: rapid.Bool().Draw(t, "done"), Settled: number("settled"), Time: number("time"),
		Tip: paxos.Tip{Ballot: drawBallot(t, "tip"), Slot: number("tip's slot")},
	}
	if data := rapid.SliceOf(rapid.Byte()).Draw(t, "data"); len(data) > 0 {
		m.Data = data
	}
	for range rapid.IntRange(0, 4).Draw(t, "entries") {
		e := paxos.Entry{Slot: number("slot"), Ballot: m.Ballot, Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value")}
		if rapid.Bool().Draw(t, "ballot of its own") {
			e.Ballot = drawBallot(t, "entry's ballot")
		}
		m.Entries = append(m.Entries, e)
	}
	return m
}

func same(a, b paxos.Message) bool {
	if len(a.Entries) != len(b.Entries) {
		return false
	}
	for i, e := range a.Entries {
		f := b.Entries[i]
		if e.Slot != f.Slot || e.Ballot != f.Ballot || !bytes.Equal(e.Value, f.Value) {
			return false
		}
	}
	a.Entries, b.Entries = nil, nil
	return reflect.DeepEqual(a, b)
}

func TestMessagesSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		prefix := []byte("before")
		data := (*body)(&m).Append(prefix)
		if !bytes.HasPrefix(data, prefix) {
			t.Fatal("Append overwrote what was there")
		}
		data = data[len(prefix):]
		if bound := (*body)(&m).Size(); len(data) > bound {
			t.Fatalf("%d bytes, above the bound of %d", len(data), bound)
		}
		got, err := decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if !same(m, got) {
			t.Fatalf("got %+v, want %+v", got, m)
		}
		for n := range data {
			if _, err := decode(data[:n]); !errors.Is(err, errMalformed) {
				t.Fatalf("the first %d of %d bytes: %v, want errMalformed", n, len(data), err)
			}
		}
	})
}

func TestDecodeRefusesWhatDoesNotPack(t *testing.T) {
	for name, m := range map[string]paxos.Message{
		"node above 16 bits":  {Kind: 1, Ballot: paxos.Ballot{Round: 1, Node: maxNode + 1}},
		"round above 48 bits": {Kind: 1, Ballot: paxos.Ballot{Round: maxRound + 1, Node: 1}},
		"leader":              {Kind: 1, Leader: maxNode + 1},
	} {
		if _, err := decode((*body)(&m).Append(nil)); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v, want errMalformed", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	m := paxos.Message{
		Kind: paxos.MsgAccept, Ballot: paxos.Ballot{Round: 3, Node: 2}, Chosen: 8, Lo: 1, Hi: 2, ID: 9, Done: true, Settled: 6, Time: 7, Data: []byte("data"),
		Entries: []paxos.Entry{{Slot: 9, Ballot: paxos.Ballot{Round: 3, Node: 2}, Value: []byte("value")}, {Slot: 11}},
	}
	f.Add((*body)(&m).Append(nil))
	f.Add([]byte{1, 0})
	f.Add([]byte{1, 0x80, 0x02, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decode(data)
		if err != nil {
			return
		}
		again, err := decode((*body)(&m).Append(nil))
		if err != nil || !same(m, again) {
			t.Fatalf("%x changed in a round trip: %+v, then %+v (%v)", data, m, again, err)
		}
	})
}

func TestHardState(t *testing.T) {
	want := paxos.HardState{Promised: paxos.Ballot{Round: maxRound, Node: maxNode}, Chosen: 1 << 50}
	got, err := decodeHardState(encodeHardState(&want))
	if err != nil || got != want {
		t.Fatalf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := decodeHardState(make([]byte, hardStateBytes-1)); err == nil {
		t.Error("a short hard state was accepted")
	}
}
