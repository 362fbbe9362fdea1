package chunkserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

const (
	// scrubPiece is what is read at a time.
	scrubPiece = 4 * blockBytes
	// idleFor is how long nothing must have been written or read for the scrubber to
	// go on, and busyFor how long it waits for that at most.
	idleFor = 50 * time.Millisecond
	busyFor = time.Second
)

// scrub walks through all chunks for ever, slowly, and reads what clients may
// not have read for a long time: a damaged replica is to be found while there
// are good ones to replace it from.
func (s *Server) scrub() {
	bytes := rate.NewLimiter(rate.Limit(s.opts.ScrubBytesPerSecond), scrubPiece)
	for s.sleep(s.opts.ScrubEvery) {
		for _, c := range s.allChunks() {
			if err := s.scrubChunk(c, bytes); err != nil {
				if s.ctx.Err() != nil {
					return
				}
				s.log.Info("scrubbing stopped", "chunkserver", s.opts.Name, "handle", c.handle, "reason", err)
			}
		}
		s.stats.scrubRounds.Add(1)
	}
}

// scrubChunk verifies one replica as far as it goes now, or until a damaged block.
func (s *Server) scrubChunk(c *chunk, bytes *rate.Limiter) error {
	s.settleChunk(c)
	v := &view{s: s, c: c, ctx: s.ctx}
	for at := uint64(0); ; {
		c.mu.Lock()
		end, known := c.durable, c.corrupt || c.failed != nil || c.file == nil
		c.mu.Unlock()
		if known || at >= end {
			return nil
		}
		n := min(scrubPiece, end-at)
		if err := bytes.WaitN(s.ctx, int(n)); err != nil {
			return err
		}
		s.waitIdle()
		v.data = nil
		if _, err := v.read(at, n); err != nil {
			return err
		}
		s.stats.scrubbed.Add(n)
		at += n
	}
}

// waitIdle returns when nothing was written or read for a moment, or after busyFor.
func (s *Server) waitIdle() {
	activity := func() uint64 { return s.stats.mutations.Load() + s.stats.read.Load() + s.stats.pushed.Load() }
	for waited := time.Duration(0); waited < busyFor; waited += idleFor {
		before := activity()
		if !s.sleep(idleFor) || activity() == before {
			return
		}
	}
}

// sleep waits; false means that the server closes.
func (s *Server) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// settleChunk notes in the header that the last batch is durable, if that is not
// there yet. Without the note, damage to just that batch looks like a torn write
// after a restart, and what it acknowledged would silently be missing here.
func (s *Server) settleChunk(c *chunk) {
	var next slot
	t := newTask(
		func(b *batch) error {
			c.mu.Lock()
			next = c.settledHead()
			c.mu.Unlock()
			if next.generation == 0 {
				return nil
			}
			if err := next.write(b.f); err != nil {
				return fmt.Errorf("%w: %w", errDead, err)
			}
			c.mu.Lock()
			c.generation = next.generation
			c.mu.Unlock()
			return nil
		},
		func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if next.generation > c.head.generation {
				c.head = next
			}
		})
	c.mu.Lock()
	needed := c.settledHead().generation != 0 && c.failed == nil
	if needed {
		s.enqueueLocked(c, t)
	}
	c.mu.Unlock()
	if !needed {
		return
	}
	if err := await(s.ctx, t); err != nil && !errors.Is(err, context.Canceled) {
		s.log.Warn("a chunk's header", "chunkserver", s.opts.Name, "handle", c.handle, "err", err)
	}
}

// settledHead is the header with the last durable batch, of generation 0 if there
// is nothing to note. mu must be held.
func (c *chunk) settledHead() slot {
	if c.file == nil || c.settled <= c.head.settled || len(c.blocks) == 0 || c.generation != c.head.generation {
		return slot{}
	}
	next := c.head
	next.generation++
	next.settled = c.settled
	return next
}
