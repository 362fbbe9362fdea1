package etcdraft

import (
	pb "go.etcd.io/raft/v3/raftpb"

	"gfslab/consensus/engine"
)

// apply hands out committed entries. Their answer names them all; Applied gives it
// to the library in as many parts as the state machine takes.
func (c *core) apply(m *pb.Message, out *engine.Ready) {
	for _, e := range m.Entries {
		out.Apply = append(out.Apply, entry(e))
		if e.GetType() == pb.EntryConfChangeV2 {
			c.change(e, out)
		}
	}
	c.committed = m.Entries[len(m.Entries)-1].GetTerm()
	c.applying = append(c.applying, m.Responses...)
}

// Applied implements engine.Core. The library hears of each entry when it is
// applied, not when all are that were handed out with it: it looks for changes of the
// members among those that it takes for unapplied before it campaigns, and must find
// them in the log, which is cut at what was applied.
func (c *core) Applied(index uint64) {
	c.store.forget(index)
	n := 0
	for n < len(c.applying) {
		m, k := c.applying[n], 0
		for k < len(m.Entries) && m.Entries[k].GetIndex() <= index {
			k++
		}
		if k < len(m.Entries) {
			if k > 0 {
				_ = c.node.Step(&pb.Message{Type: m.Type, To: m.To, From: m.From, Term: m.Term, Entries: m.Entries[:k]})
				m.Entries = m.Entries[k:]
			}
			break
		}
		// A local message of no term: the library has no error for it.
		_ = c.node.Step(m)
		n++
	}
	rest := copy(c.applying, c.applying[n:])
	clear(c.applying[rest:])
	c.applying = c.applying[:rest]
}
