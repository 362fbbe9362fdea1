package engine

import (
	"gfslab/consensus"
	"gfslab/consensus/storage"
)

const (
	// fetchPieces bounds the pieces asked for and not yet stored.
	fetchPieces = 4
	// fetchTries is how often a peer may let a piece's time pass in a row.
	fetchTries = 3
	// servePieces bounds the pieces that are being read for others; what is asked
	// for beyond it is left to be asked again.
	servePieces = 16
)

// fetch is the snapshot that this node is pulling. Pieces are taken in order
// only: one that is lost or late is asked for again with all behind it.
type fetch struct {
	from    consensus.NodeID // 0: none
	instead consensus.NodeID // whom the core named last
	index   uint64           // the least index that serves
	info    storage.SnapshotInfo
	file    uint64 // numbers the files begun here
	next    int64  // all before it has arrived
	asked   int64  // all before it was asked for
	stored  int64  // all before it is stored
	waiting int    // ticks since the last progress
	tries   int
	pause   int // ticks before the next fetch may begin, after one that failed
	done    bool
	refused bool // the source has no such snapshot
	// open: the next piece may be of any snapshot. Otherwise only a newer one takes
	// the place of the one being put together: an older one is a late echo.
	open    bool
	arrived []Piece
}

// startFetch turns to a peer, or keeps it in mind as long as another one is
// sending what serves as well. What was fetched of the same snapshot elsewhere is
// kept.
func (s *Scheduler) startFetch(want Fetch) {
	f := &s.fetch
	if f.done {
		return // the file is being checked; the core will hear of it
	}
	serves := f.info.Index >= want.Index
	if f.from != 0 && serves || f.from == want.From && f.info.Size == 0 {
		f.index, f.instead = max(f.index, want.Index), want.From
		return
	}
	if f.info.Index < want.Index {
		f.restart(storage.SnapshotInfo{})
	}
	f.turnTo(want.From)
	f.index = want.Index
}

func (f *fetch) turnTo(peer consensus.NodeID) {
	f.from, f.instead = peer, peer
	f.asked, f.waiting, f.tries, f.refused, f.open = f.next, 0, 0, false, true
}

// restart forgets what was fetched; info is what will be fetched instead.
func (f *fetch) restart(info storage.SnapshotInfo) {
	f.info, f.next, f.asked, f.stored = info, 0, 0, 0
	f.file++
}

func (s *Scheduler) tickFetch() {
	f := &s.fetch
	f.pause = max(f.pause-1, 0)
	if f.from != 0 && f.pause == 0 && f.asked > f.next {
		f.waiting++
	}
}

// runFetch asks for pieces, again for those that do not come, and gives a peer
// up that sends none.
func (s *Scheduler) runFetch(fx *Effects) {
	f := &s.fetch
	fx.Store, f.arrived = append(fx.Store, f.arrived...), clearSlice(f.arrived)
	fx.Serve, s.requests = append(fx.Serve, s.requests...), clearSlice(s.requests)
	if f.from == 0 || f.done || f.pause > 0 {
		return
	}
	if f.waiting >= s.opts.ElectionTicks {
		f.waiting, f.asked, f.open = 0, f.next, true
		f.tries++
	}
	if f.refused && f.open && f.info.Index > f.index {
		// What it has serves, but is older than the snapshot that another one sent a
		// part of; whoever has that may never come back. Not open: it sent a part
		// itself, and would do no better from the beginning.
		f.restart(storage.SnapshotInfo{})
		f.waiting, f.tries, f.refused, f.open = 0, 0, false, true
	}
	if f.tries >= fetchTries || f.refused {
		if f.instead == f.from {
			s.failFetch()
			return
		}
		f.turnTo(f.instead)
	}
	ask := func() {
		fx.Send = append(fx.Send, Message{To: f.from, Body: f.request()})
		f.asked += pieceBytes
		if f.info.Size != 0 {
			f.asked = min(f.asked, f.info.Size)
		}
	}
	if f.info.Size == 0 {
		if f.asked == 0 {
			ask()
		}
		return
	}
	for f.asked < f.info.Size && f.asked-f.stored < fetchPieces*pieceBytes {
		ask()
	}
	if f.stored == f.info.Size {
		f.done = true
		fx.Finish = f.file
	}
}

// request asks for the next piece.
func (f *fetch) request() PieceRequest {
	i := &f.info
	return PieceRequest{Index: max(i.Index, f.index), Stamp: i.Stamp, FileSize: i.Size, Offset: f.asked, CRC: i.CRC}
}

// failFetch gives the peer up and tells the core, which may name another. What
// has arrived is kept for it.
func (s *Scheduler) failFetch() {
	from := s.fetch.instead
	s.fetch.from, s.fetch.done = 0, false
	s.fetch.pause = max(s.opts.ElectionTicks/2, 1)
	if c, ok := s.core.(Compactor); ok {
		c.FetchFailed(from)
	}
}

func (s *Scheduler) stepPiece(from consensus.NodeID, frame []byte) error {
	p, err := decodePiece(frame)
	f := &s.fetch
	if err != nil || from != f.from || f.done {
		return err
	}
	if same := f.request().Names(p.info); !same {
		switch {
		case p.info.Index < f.index:
			f.refused = f.open
			return nil
		case p.offset != 0 || !f.open && p.info.Index <= f.info.Index:
			return nil
		}
		f.restart(p.info)
		f.asked = int64(len(p.data))
	}
	if p.offset != f.next {
		return nil
	}
	f.next += int64(len(p.data))
	f.asked = max(f.asked, f.next)
	f.waiting, f.tries, f.open = 0, 0, false
	f.arrived = append(f.arrived, Piece{File: f.file, Info: p.info, Offset: p.offset, Data: p.data})
	return nil
}

func (s *Scheduler) stepNone(from consensus.NodeID, frame []byte) error {
	_, err := decodeNone(frame)
	if err == nil && from == s.fetch.from && !s.fetch.done {
		s.fetch.refused = true
	}
	return err
}

// Stored reports that a piece of Effects.Store was added to its file; or err,
// why it could not be.
func (s *Scheduler) Stored(p Piece, err error) {
	f := &s.fetch
	if p.File != f.file {
		return
	}
	if err != nil {
		f.restart(storage.SnapshotInfo{})
		f.refused = true
		return
	}
	f.stored = max(f.stored, p.Offset+int64(len(p.Data)))
}

// Fetched reports the file of Effects.Finish durable, under info; or err, why
// it was not taken.
func (s *Scheduler) Fetched(info storage.SnapshotInfo, err error, fx *Effects) {
	f := &s.fetch
	f.restart(storage.SnapshotInfo{})
	if err != nil {
		s.failFetch()
		return
	}
	f.from, f.done = 0, false
	if info.Index >= s.snaps.newest.Index { // one of our own may have come after it, and been reported first
		s.snaps.newest = info
	}
	fx.Events = append(fx.Events, s.event(consensus.EventSnapshot, info.Stamp, info.Index))
	if c, ok := s.core.(Compactor); ok {
		c.Fetched(info.SnapshotMeta)
	}
}

// stepRequest lets the shell read a piece for a peer.
func (s *Scheduler) stepRequest(from consensus.NodeID, frame []byte) error {
	q, err := decodeRequest(frame)
	if err != nil {
		return err
	}
	if s.serving < servePieces {
		s.serving++
		s.requests = append(s.requests, Serve{To: from, Request: q, Limit: pieceBytes})
	}
	return nil
}

// Served reports what was read for a request: a part of the file that info
// describes, from offset on. An error, ErrNoSnapshot say, is told to the peer.
func (s *Scheduler) Served(q Serve, info storage.SnapshotInfo, offset int64, data []byte, err error, fx *Effects) {
	s.serving--
	if err != nil || len(data) == 0 {
		fx.Send = append(fx.Send, Message{To: q.To, Body: none{s.snaps.newest.Index}})
		return
	}
	fx.Send = append(fx.Send, Message{To: q.To, Body: &piece{info: info, offset: offset, data: data}})
}
