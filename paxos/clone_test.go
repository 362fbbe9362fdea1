package paxos

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestCloneKnowsEveryField lists the fields that Clone copies and AppendState
// encodes, or leaves out with a reason. Who adds a field must decide both.
func TestCloneKnowsEveryField(t *testing.T) {
	known := map[reflect.Type]string{
		// Left out: cfg, members, inUse (of the configurations), shown (of what was
		// handed out), rng, elapsed, timeout, backoffs
		// (election timers), clock, clocked, grant (no leases), now (only differences count), counters.
		reflect.TypeFor[Node](): "cfg members rng configs inUse configBase marks shown role promised leader highest log acc chosen handed applied snapshot floor notice fetch " +
			"attempt cand lead now elapsed timeout backoffs clock clocked grant out counters",
		// Left out: settled, settledBytes, keep (what is remembered), whole (derived),
		// err (exploration ends there).
		reflect.TypeFor[slotLog]():    "storage recent settled settledBytes keep dirty last whole compacted base err",
		reflect.TypeFor[record]():     "Entry token",
		reflect.TypeFor[acceptance](): "ballot accepted durable again match",
		reflect.TypeFor[notice]():     "ballot chosen",
		reflect.TypeFor[fetch]():      "target wait tries asked seen from",
		reflect.TypeFor[attempt]():    "id ballot yes no",
		reflect.TypeFor[candidacy]():  "promises no wanted best floor highest mandate",
		// Left out: mask (one Config), contact (an election timer), granted and noLease (no leases).
		reflect.TypeFor[leadership]():   "ballot next decided barrier found floor waiting flight mask matched contact promises wanted limit settled sealing transfer granted noLease unsent notified first streams nextHeartbeat readState",
		reflect.TypeFor[stream]():       "sent from since quiet",
		reflect.TypeFor[proposal]():     "votes sent",
		reflect.TypeFor[readState]():    "reads round roundOpen acked confirmed",
		reflect.TypeFor[pendingRead]():  "id slot round",
		reflect.TypeFor[outbox]():       "now after reads truncate install fetch next pending unsettled written durablePromise durableChosen",
		reflect.TypeFor[pendingToken](): "token promised chosen entries",
		reflect.TypeFor[Message]():      "Kind From To Ballot Promised Leader Tip Lo Hi Chosen ID Settled Data Time Done Entries",
		reflect.TypeFor[Tip]():          "Ballot Slot",
		reflect.TypeFor[Entry]():        "Slot Ballot Value",
		reflect.TypeFor[HardState]():    "Promised Chosen",
	}
	for typ, fields := range known {
		var got []string
		for i := range typ.NumField() {
			got = append(got, typ.Field(i).Name)
		}
		if want := strings.Fields(fields); !slices.Equal(got, want) {
			t.Errorf("%v has the fields %v; Clone and AppendState know %v", typ, got, want)
		}
	}
}

// TestCloneStandsApart: what happens to a clone does not reach the original, and
// both answer alike.
func TestCloneStandsApart(t *testing.T) {
	n := newNode(t, config(1, 3))
	b := elect(t, n)
	if _, err := n.Propose([]byte("a")); err != nil {
		t.Fatal(err)
	}
	future := Future{Campaign: true, Restart: true}
	before := n.AppendState(nil, future)
	c := n.Clone(n.cfg.Storage)
	if got := c.AppendState(nil, future); !slices.Equal(got, before) {
		t.Fatalf("the clone's state is %x; want %x", got, before)
	}
	drive := func(n *Node) []byte {
		rd := n.Ready()
		n.Persisted(rd.Token)
		step(t, n, Message{Kind: MsgAccepted, From: 2, Ballot: b, Lo: 1, Hi: 1})
		flush(n)
		if _, err := n.Propose([]byte("b")); err != nil {
			t.Fatal(err)
		}
		return n.AppendState(nil, future)
	}
	after := drive(c)
	if got := n.AppendState(nil, future); !slices.Equal(got, before) {
		t.Fatalf("the original's state became %x when its clone went on; want %x", got, before)
	}
	if got := drive(n); !slices.Equal(got, after) {
		t.Fatalf("the original arrives at %x, its clone at %x", got, after)
	}
	if slices.Equal(before, after) {
		t.Fatal("a choice and a proposal changed nothing in the encoding")
	}
}
