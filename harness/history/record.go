package history

import "gfslab/results/rundir"

// Record adds an operation that has ended already: a step that another one made
// on its way, under a session of its own. The caller has filled in everything
// but the id; an operation with an unknown outcome never ends.
func (r *Recorder) Record(thread int, op rundir.Op) (id int64) {
	op.ID, op.Thread = r.nextID.Add(1), thread
	if op.Outcome == rundir.OutcomeUnknown {
		op.End, op.Reply = -1, nil
	}
	t := &r.threads[thread]
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ops = append(t.ops, &op)
	return op.ID
}
