package consensustest

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"gfslab/consensus"
)

// swapped and looked build operations that succeeded.
func swapped(id uint64, key uint8, invoke, ret int64, index uint64, old uint64) operation {
	return operation{Kind: opSwap, Node: 1, ID: id, Key: key, Invoke: invoke, Return: ret, At: Position{Index: index}, Value: old}
}

func looked(key uint8, invoke, ret int64, index uint64, value uint64) operation {
	return operation{Kind: opRead, Node: 2, Key: key, Invoke: invoke, Return: ret, At: Position{Index: index}, Value: value}
}

// sound is evidence without fault: two registers, an unknown write that took
// effect, one that nobody saw, a failed one.
func sound() evidence {
	log := []appliedCommand{
		{ID: 1, Key: 1, At: Position{Index: 1}}, {ID: 2, Key: 2, At: Position{Index: 2}},
		{ID: 3, Key: 1, At: Position{Index: 3}}, {ID: 4, Key: 1, At: Position{Index: 5}},
	}
	unknown := operation{Kind: opSwap, Node: 3, ID: 3, Key: 1, Invoke: 5, Return: 6, Outcome: consensus.Unknown}
	unseen := operation{Kind: opSwap, Node: 3, ID: 5, Key: 1, Invoke: 7, Return: 8, Outcome: consensus.Unknown}
	failed := operation{Kind: opSwap, Node: 3, ID: 6, Key: 1, Invoke: 9, Return: 10, Outcome: consensus.Fail, Err: consensus.ErrDropped}
	return evidence{
		Ops: []operation{
			swapped(1, 1, 1, 2, 1, 0), swapped(2, 2, 3, 4, 2, 0), unknown, unseen, failed,
			swapped(4, 1, 11, 14, 5, 3), looked(1, 12, 13, 3, 3), looked(1, 15, 16, 5, 4), looked(2, 17, 18, 5, 2),
			{Kind: opStale, Node: 3, Key: 1, Invoke: 19, Return: 20, At: Position{Index: 3}, Value: 3, Pin: Position{Index: 2}},
		},
		Configs: []config{
			{1, 1, consensus.Members{Voters: voters(1, 2, 3), MaxID: 3}},
			{1, 1, consensus.Members{Index: 4, Voters: voters(1, 3, 4), MaxID: 4}},
			{2, 1, consensus.Members{Index: 4, Voters: voters(1, 3, 4), MaxID: 4}},
		},
		Applied: []appliedList{{1, 1, log}, {2, 1, log}, {3, 1, slices.Clone(log[:2])}},
	}
}

func voters(ids ...consensus.NodeID) (list []consensus.Peer) {
	for _, id := range ids {
		list = append(list, consensus.Peer{ID: id, Addr: "x"})
	}
	return list
}

// TestJudge spoils sound evidence in one place at a time.
func TestJudge(t *testing.T) {
	if found := judge(sound()); len(found) != 0 {
		t.Fatalf("sound evidence: %q", found)
	}
	for _, c := range []struct {
		name, says string
		spoil      func(ev *evidence)
	}{
		{"another command", "agreement", func(ev *evidence) { ev.Applied[2].Commands[1].ID = 3 }},
		{"another place", "agreement", func(ev *evidence) { ev.Applied[2].Commands[1].At.Offset = 1 }},
		{"another payload", "agreement", func(ev *evidence) { ev.Applied[2].Commands[1].Sum = 1 }},
		{"applied twice", "again", func(ev *evidence) {
			ev.Applied[0].Commands = append(slices.Clone(ev.Applied[0].Commands), appliedCommand{ID: 1, Key: 1, At: Position{Index: 9}})
		}},
		{"never proposed", "never proposed", func(ev *evidence) { ev.Ops = slices.Delete(ev.Ops, 2, 3) }},
		{"acknowledged, not applied", "lost write", func(ev *evidence) { ev.Ops[3].Outcome, ev.Ops[3].At = consensus.OK, Position{Index: 6} }},
		{"acknowledged elsewhere", "wrong result", func(ev *evidence) { ev.Ops[1].At.Offset = 1 }},
		{"failed, applied", "false failure", func(ev *evidence) { ev.Ops[2].Outcome, ev.Ops[2].Err = consensus.Fail, consensus.ErrDropped }},
		{"wrong predecessor", "wrong result", func(ev *evidence) { ev.Ops[5].Value = 1 }},
		{"wrong value read", "wrong read", func(ev *evidence) { ev.Ops[7].Value = 3 }},
		{"stale read", "stale read", func(ev *evidence) { ev.Ops[7].Value, ev.Ops[7].At = 3, Position{Index: 3} }},
		{"a stale read of another value", "wrong read", func(ev *evidence) { ev.Ops[9].Value = 1 }},
		{"a stale read behind its session", "session order", func(ev *evidence) { ev.Ops[9].Pin = Position{Index: 5} }},
		{"a stale read of what comes later", "read from the future", func(ev *evidence) { ev.Ops[9].Invoke, ev.Ops[9].Return = 3, 4 }},
		{"a stale read of what is nowhere", "read from the future", func(ev *evidence) { ev.Ops[9].At = Position{Index: 4} }},
		{"two configurations at one index", "membership: at index 4", func(ev *evidence) { ev.Configs[2].Members.Voters = ev.Configs[0].Members.Voters }},
		{"a configuration that goes back", "goes back", func(ev *evidence) { ev.Configs[0], ev.Configs[1] = ev.Configs[1], ev.Configs[0] }},
		{"an identity used twice", "takes identity 2 in again", func(ev *evidence) {
			ev.Configs = append(ev.Configs, config{1, 1, consensus.Members{Index: 6, Voters: ev.Configs[0].Members.Voters, MaxID: 4}})
		}},
		{"order against real time", "real-time order", func(ev *evidence) { ev.Ops[0].Invoke, ev.Ops[0].Return = 19, 20 }},
	} {
		ev := sound()
		c.spoil(&ev)
		if found := judge(ev); !strings.Contains(strings.Join(found, "\n"), c.says) {
			t.Errorf("%s: %q, want %q", c.name, found, c.says)
		}
	}
}

// TestSearchStandsAlone: the second verdict sees, without any position, what
// clients can see.
func TestSearchStandsAlone(t *testing.T) {
	search := func(ops []operation) (found []string) {
		checkLinearizable(ops, func(format string, _ ...any) { found = append(found, format) })
		return found
	}
	if found := search(sound().Ops); len(found) != 0 {
		t.Fatalf("sound history: %q", found)
	}
	for name, spoil := range map[string]func(ops []operation){
		"a read goes back":            func(ops []operation) { ops[7].Value = 3 },
		"two writes, one predecessor": func(ops []operation) { ops[5].Value = 1; ops[2].Outcome, ops[2].Value = consensus.OK, 1 },
		"a value from nowhere":        func(ops []operation) { ops[8].Value = 77 },
		"seen before it was proposed": func(ops []operation) { ops[2].Invoke, ops[2].Return = 21, 22 },
	} {
		ops := sound().Ops
		spoil(ops)
		if len(search(ops)) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
}

func suiteCommands(n int) [][]byte {
	var commands [][]byte
	for i := range n {
		commands = append(commands, encodeCommand(uint64(i+1), uint8(i%3), i))
	}
	return commands
}

// TestCheckSnapshots: the suite's own machine passes; broken ones do not.
func TestCheckSnapshots(t *testing.T) {
	good := func() consensus.StateMachine { return newMachine(func(string, ...any) {}) }
	CheckSnapshots(t, good, suiteCommands(30))
	for name, wrap := range map[string]func(m *machine) consensus.StateMachine{
		"writes what is, not what was": func(m *machine) consensus.StateMachine { return lateSnapshot{m} },
		"restores into what was there": func(m *machine) consensus.StateMachine { return mergingRestore{m} },
		"restores half an image":       func(m *machine) consensus.StateMachine { return trustingRestore{m} },
	} {
		r := &recorder{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			CheckSnapshots(r, func() consensus.StateMachine { return wrap(good().(*machine)) }, suiteCommands(30))
		}()
		<-done
		if !r.Failed() {
			t.Errorf("a machine that %s passes", name)
		}
	}
}

type lateSnapshot struct{ *machine }

type lateImage struct{ m *machine }

func (l lateSnapshot) Snapshot() (consensus.Snapshot, error) { return lateImage{l.machine}, nil }
func (l lateImage) Release()                                 {}
func (l lateImage) WriteTo(w io.Writer) (int64, error) {
	pause(context.Background(), 2*imageTime)
	s, err := l.m.Snapshot()
	if err != nil {
		return 0, err
	}
	return s.WriteTo(w)
}

type mergingRestore struct{ *machine }

func (m mergingRestore) Restore(r io.Reader) error {
	old := m.registers
	err := m.machine.Restore(r)
	for k, v := range old {
		m.registers[k] = v
	}
	return err
}

type trustingRestore struct{ *machine }

func (m trustingRestore) Restore(r io.Reader) error {
	_ = m.machine.Restore(r)
	return nil
}
