package chunkserver

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// sealTimeout bounds one request at one master.
const sealTimeout = time.Second

// padRun is a lease's pad on its way to the replicas. ok is to be read after done is
// closed.
type padRun struct {
	done chan struct{}
	ok   bool
}

// sealFirst returns the reply CHUNK_FULL; in strict mode only when the master has
// it in its log that the chunk grows no more. An error says that the client
// should ask again: the chunk is full in any case.
//
// A pad of this lease is on every replica then, whoever asks. One of an earlier
// primary may have failed on some; they differ behind what was acknowledged for ever,
// since a sealed chunk gets no other lease. Nobody minds: what was acknowledged has its
// place before the pad, readers take the end of the replica that they read and not the
// sealed length for the end, and the seal names the epoch, so it is refused once
// another primary may append.
func (s *Server) sealFirst(ctx context.Context, c *chunk, reply *api.AppendReply) (*api.AppendReply, error) {
	c.mu.Lock()
	l, sealed := c.lease, c.sealed
	var pad *padRun
	if l != nil {
		pad = l.pad
	}
	c.mu.Unlock()
	if l == nil || !l.strict || sealed {
		return reply, nil
	}
	if pad != nil {
		select {
		case <-pad.done:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		if !pad.ok {
			// The next lease seals it as it is.
			err := errors.New("the chunk is full, its pad is not on all replicas")
			s.abandon(c, l, err)
			return nil, status.Error(codes.Aborted, err.Error())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.MutateTimeout+sealTimeout)
	defer cancel()
	req := &api.SealRequest{Chunkserver: s.opts.Name, Handle: c.handle, Version: l.version, Epoch: l.epoch, Length: uint64(s.opts.ChunkBytes)}
	for ctx.Err() == nil {
		for _, at := range s.masterOrder() {
			code, err := s.sealAt(ctx, at, req)
			if err != nil {
				continue
			}
			if code != api.Code_OK && code != api.Code_SEALED {
				return nil, status.Errorf(codes.Aborted, "the chunk is full, the master does not seal it: %v", code)
			}
			c.mu.Lock()
			c.sealed = true
			c.mu.Unlock()
			return reply, nil
		}
		if !s.pause(l, claimPause) {
			break
		}
	}
	return nil, status.Error(codes.Aborted, "the chunk is full, no master has sealed it")
}

func (s *Server) sealAt(ctx context.Context, master string, req *api.SealRequest) (api.Code, error) {
	conn, err := s.peers.get(master)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, sealTimeout)
	defer cancel()
	reply, err := api.NewMasterClient(conn).Seal(ctx, req)
	if err != nil {
		return 0, err
	}
	return reply.Code, nil
}
