package batch

import (
	"maps"
	"slices"

	"gfslab/consensus"
)

// Complete hands the results of an applied entry to the callers that wait for
// it. An entry of another node or incarnation, or one whose callers were
// already failed, is passed over. results has one element a command.
func (p *Proposer) Complete(index uint64, d *Decoded, results [][]byte) {
	if d.Origin.Node != p.opts.Node || d.Origin.Nonce != p.opts.Nonce {
		return
	}
	f := p.land(d.Origin.Seq)
	if f == nil {
		return
	}
	for offset, w := range f.waiters {
		p.pool.finish(w, consensus.Result{Index: index, Offset: offset, Value: results[offset]}, nil)
	}
	p.pool.putFlight(f)
}

// land takes a batch out of the table: whoever gets it finishes its callers.
func (p *Proposer) land(seq uint64) *flight {
	p.mu.Lock()
	f := p.open[seq]
	delete(p.open, seq)
	p.mu.Unlock()
	if f != nil {
		p.inFlight.Add(-1)
	}
	return f
}

// Fail ends one batch with err, whose outcome must be true of every command in
// it.
func (p *Proposer) Fail(seq uint64, err error) {
	f := p.land(seq)
	if f == nil {
		return
	}
	for _, w := range f.waiters {
		p.pool.finish(w, consensus.Result{}, err)
	}
	p.pool.putFlight(f)
}

// FailInFlight ends every batch that was cut, in the order of cutting. The
// entries may still be applied later; they will be passed over.
func (p *Proposer) FailInFlight(err error) {
	p.mu.Lock()
	seqs := slices.Sorted(maps.Keys(p.open))
	p.mu.Unlock()
	for _, seq := range seqs {
		p.Fail(seq, err)
	}
}

// FailQueued ends every command that is not yet in a batch: these were surely
// not done.
func (p *Proposer) FailQueued(err error) {
	for p.refill() {
		for _, w := range p.cutting[p.at:] {
			p.pool.finish(w, consensus.Result{}, err)
		}
		p.waiting.Add(-int64(len(p.cutting) - p.at))
		p.at = len(p.cutting)
	}
}

// Close refuses further commands, drops the queued ones with
// consensus.ErrClosed, and leaves those in batches as unknown. Call it from the
// goroutine that cuts, after the last Cut.
func (p *Proposer) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.FailQueued(consensus.ErrClosed)
	p.FailInFlight(consensus.ErrUnknown)
}
