package engine

import (
	"bytes"
	"errors"

	"gfslab/consensus"
	"gfslab/consensus/batch"
	"gfslab/consensus/storage"
)

// readRounds gathers readers: all that wait while one round is being confirmed
// share the next. A round is asked under a fresh id, again after a while in
// case the question got lost; any of its ids confirms it, because each was
// asked after its readers came.
//
// In mode "log" a round is an empty batch in the log instead. It is confirmed
// by its own application here.
type readRounds struct {
	nextID  uint64
	nonce   uint64 // of the empty batches: not that of the proposer's
	entry   []byte // the empty batch that stands for the pending round, if any
	round   uint64 // number of the newest round, from 1
	pending bool   // the newest round is not confirmed yet
	firstID uint64 // of the pending round
	age     int    // ticks since it was last asked
	// confirmed rounds wait for the state machine.
	confirmed []confirmedRound
}

type confirmedRound struct{ round, index uint64 }

// BeginRead starts a round for all readers that wait now, if the replica leads
// and no round is being confirmed. The round's number comes back in
// Effects.ReadsDone, or LostLead ends it.
func (s *Scheduler) BeginRead() (round uint64, ok bool) {
	if s.status.Role != consensus.Leader || s.reads.pending {
		return 0, false
	}
	s.reads.round++
	s.reads.pending = true
	s.reads.firstID = s.reads.nextID
	s.askRead()
	return s.reads.round, true
}

// askRead puts the pending round to the core.
func (s *Scheduler) askRead() {
	id := s.reads.ask()
	if s.opts.ReadMode != consensus.ReadLog {
		s.core.ReadIndex(id)
		return
	}
	if s.reads.entry != nil {
		return // it is in the log, and a leader's entries do not get lost
	}
	entry := batch.Append(nil, batch.Origin{Node: uint64(s.opts.Node), Nonce: s.reads.nonce, Seq: id}, nil)
	if err := s.core.Propose(entry); err == nil {
		s.reads.entry = entry
	} else if errors.Is(err, ErrBusy) {
		s.reads.age = s.opts.ElectionTicks // try again with the next tick
	}
}

// sawEntry looks for the pending round's own entry among those to be applied.
func (r *readRounds) sawEntry(e *storage.Entry) {
	if r.entry != nil && bytes.Equal(e.Data, r.entry) {
		r.pending, r.entry = false, nil
		r.confirmed = append(r.confirmed, confirmedRound{r.round, e.Index})
	}
}

func (r *readRounds) ask() uint64 {
	id := r.nextID
	r.nextID++
	r.age = 0
	return id
}

// answer takes a confirmation. A refusal is left to the loss of the lead that
// comes with it, or else to the next time of asking.
func (r *readRounds) answer(read Read) {
	if read.Refused || !r.pending || read.ID < r.firstID || read.ID >= r.nextID {
		return
	}
	r.pending = false
	r.confirmed = append(r.confirmed, confirmedRound{r.round, read.Index})
}

// done appends the rounds whose index has been applied.
func (r *readRounds) done(applied uint64, dst []uint64) []uint64 {
	n := 0
	for n < len(r.confirmed) && r.confirmed[n].index <= applied {
		dst = append(dst, r.confirmed[n].round)
		n++
	}
	if n > 0 {
		r.confirmed = r.confirmed[:copy(r.confirmed, r.confirmed[n:])]
	}
	return dst
}

func (r *readRounds) fail() {
	r.pending, r.entry = false, nil
	r.confirmed = r.confirmed[:0]
}
