package store

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// twin is the same state machine written in the dumbest way: lists that are
// searched from the front.
type twin struct {
	keys     []twinKey
	sessions []twinSession // least recently used first
	bound    int
}

type twinKey struct {
	key, value string
	revision   uint64
}

type twinSession struct {
	client string
	seq    uint64
	reply  Reply
}

func (w *twin) apply(index uint64, offset uint32, c Command) Reply {
	at := slices.IndexFunc(w.sessions, func(s twinSession) bool { return s.client == c.Client })
	if c.Client != "" && at >= 0 {
		if s := w.sessions[at]; c.Seq <= s.seq {
			r := s.reply
			r.Replayed = true
			if c.Seq < s.seq {
				r = Reply{Code: Stale, Index: index, Offset: offset}
			}
			return r
		}
		w.sessions = slices.Delete(w.sessions, at, at+1)
	}
	r := w.change(Revision(index, offset), c)
	r.Index, r.Offset = index, offset
	if c.Client != "" {
		w.sessions = append(w.sessions, twinSession{c.Client, c.Seq, r})
		if len(w.sessions) > w.bound {
			w.sessions = w.sessions[1:]
		}
	}
	return r
}

func (w *twin) change(revision uint64, c Command) Reply {
	at := slices.IndexFunc(w.keys, func(k twinKey) bool { return k.key == c.Key })
	switch {
	case c.Op == Delete && at < 0, c.Op == CompareAndSwap && at < 0 && !c.Absent:
		return Reply{Code: NotFound}
	case c.Op == CompareAndSwap && at >= 0 && (c.Absent || w.keys[at].value != string(c.Expect)):
		return Reply{Code: Conflict, Revision: w.keys[at].revision}
	}
	if at >= 0 {
		w.keys = slices.Delete(w.keys, at, at+1)
	}
	if c.Op == Delete {
		return Reply{}
	}
	w.keys = append(w.keys, twinKey{c.Key, string(c.Value), revision})
	return Reply{Revision: revision}
}

func drawCommand(t *rapid.T) Command {
	c := Command{
		Op:  Op(rapid.IntRange(1, 3).Draw(t, "op")),
		Key: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"),
	}
	if client := rapid.IntRange(0, 5).Draw(t, "client"); client > 0 {
		c.Client, c.Seq = fmt.Sprint("c", client), rapid.Uint64Range(1, 6).Draw(t, "seq")
	}
	if c.Op != Delete {
		c.Value = []byte(rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "value"))
	}
	if c.Op == CompareAndSwap {
		if c.Absent = rapid.Bool().Draw(t, "absent"); !c.Absent {
			c.Expect = []byte(rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "expect"))
		}
	}
	return c
}

// The store and its twin agree on every reply and every value; a store that was
// restored from any snapshot goes on as if nothing had happened.
func TestTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bound = 3
		s, w := newStore(bound), &twin{bound: bound}
		index := uint64(0)
		for range rapid.IntRange(1, 30).Draw(t, "entries") {
			index += rapid.Uint64Range(1, 3).Draw(t, "step")
			var raws [][]byte
			var commands []Command
			for range rapid.IntRange(1, 4).Draw(t, "commands") {
				c := drawCommand(t)
				commands, raws = append(commands, c), append(raws, c.Append(nil))
			}
			results := s.Apply(index, raws)
			for i, c := range commands {
				want := w.apply(index, uint32(i), c)
				got, err := ParseReply(results[i])
				if err != nil || got != want {
					t.Fatalf("%+v at %d.%d: got %+v (%v), want %+v", c, index, i, got, err, want)
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "restore") == 0 {
				s = reborn(t, s, bound)
			}
			compare(t, s, w)
		}
	})
}

func compare(t *rapid.T, s *Store, w *twin) {
	for _, key := range []string{"a", "b", "c"} {
		value, revision, code := s.Get(key)
		at := slices.IndexFunc(w.keys, func(k twinKey) bool { return k.key == key })
		switch {
		case at < 0 && code == NotFound:
		case at < 0 || code != OK || string(value) != w.keys[at].value || revision != w.keys[at].revision:
			t.Fatalf("key %s: %q %d %v; the twin has %+v", key, value, revision, code, w.keys)
		}
	}
	if keys, sessions := s.Sizes(); keys != len(w.keys) || sessions != len(w.sessions) {
		t.Fatalf("%d keys and %d sessions, want %d and %d", keys, sessions, len(w.keys), len(w.sessions))
	}
}

// reborn writes a snapshot and restores it elsewhere.
func reborn(t *rapid.T, s *Store, bound int) *Store {
	var buf bytes.Buffer
	c := s.Snapshot()
	hash := s.Hash()
	if _, err := c.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	fresh := newStore(bound)
	if err := fresh.Restore(bytes.NewReader(buf.Bytes())); err != nil {
		t.Fatal(err)
	}
	if fresh.Hash() != hash || fresh.index != s.index || fresh.commands != s.commands {
		t.Fatalf("restored: hash %s at %d, want %s at %d", fresh.Hash(), fresh.index, hash, s.index)
	}
	return fresh
}
