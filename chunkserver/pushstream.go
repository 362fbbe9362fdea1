package chunkserver

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// pushPatience bounds the wait for the next piece of a stream, and for the chain
// to take one: whoever is slower than that shall not hold memory.
const pushPatience = 10 * time.Second

// PushStream is PushData in pieces: each goes on along the chain while the next
// one arrives, so that the whole takes hardly longer than one hop. What has
// arrived counts against the buffer from the start.
func (s *Server) PushStream(up api.Chunkserver_PushStreamServer) error {
	ctx, cancel := context.WithCancel(up.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	pieces := receivePieces(ctx, up)
	first, err := nextPiece(ctx, pieces)
	if err != nil {
		return err
	}
	if first == nil {
		return status.Error(codes.InvalidArgument, "a stream without a piece")
	}
	if err := s.checkPush(first.Id, first.Size, first.Chain); err != nil {
		return err
	}
	in := incoming{s: s, id: first.Id, size: first.Size, crc: first.Crc32C}
	defer in.giveUp()
	down, err := s.forwardTo(ctx, first.Chain)
	if err != nil {
		return err
	}
	defer down.close()
	if err := down.send(&api.PushPiece{Id: first.Id, Size: first.Size, Crc32C: first.Crc32C, Chain: rest(first.Chain), Data: first.Data}); err != nil {
		return err
	}
	for piece := first; piece != nil; {
		if err := in.add(piece.Data); err != nil {
			return err
		}
		if piece, err = nextPiece(ctx, pieces); err != nil {
			return err
		}
		if piece != nil {
			if err := down.send(&api.PushPiece{Data: piece.Data}); err != nil {
				return err
			}
		}
	}
	if err := in.store(); err != nil {
		return err
	}
	if err := down.finish(); err != nil {
		return err
	}
	return up.SendAndClose(&api.PushReply{})
}

// checkPush refuses pushed data that could not be used.
func (s *Server) checkPush(id *api.DataId, size uint64, chain []string) error {
	if err := checkDataID(id); err != nil {
		return err
	}
	if most := uint64(s.opts.ChunkBytes / 4); size > most {
		return status.Errorf(codes.InvalidArgument, "%d bytes, a quarter of a chunk is %d", size, most)
	}
	if len(chain) > maxChain {
		return status.Errorf(codes.InvalidArgument, "a chain has at most %d chunkservers", maxChain)
	}
	return nil
}

// arrived is one piece, or the stream's end (both nil) or error.
type arrived struct {
	piece *api.PushPiece
	err   error
}

// receivePieces reads ahead by one piece. It ends with the stream, whose context
// ends at the latest when the handler returns.
func receivePieces(ctx context.Context, up api.Chunkserver_PushStreamServer) <-chan arrived {
	out := make(chan arrived, 1)
	go func() {
		for {
			piece, err := up.Recv()
			if err == io.EOF {
				piece, err = nil, nil
			}
			select {
			case out <- arrived{piece, err}:
			case <-ctx.Done():
				return
			}
			if piece == nil {
				return
			}
		}
	}()
	return out
}

func nextPiece(ctx context.Context, pieces <-chan arrived) (*api.PushPiece, error) {
	timer := time.NewTimer(pushPatience)
	defer timer.Stop()
	select {
	case a := <-pieces:
		return a.piece, a.err
	case <-timer.C:
		return nil, status.Error(codes.DeadlineExceeded, "no piece came in time")
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// incoming collects a stream's data.
type incoming struct {
	s     *Server
	id    *api.DataId
	size  uint64
	crc   uint32
	data  []byte
	taken int64 // counted against the buffer
}

func (in *incoming) add(piece []byte) error {
	if uint64(len(in.data)+len(piece)) > in.size {
		return status.Errorf(codes.InvalidArgument, "more than the %d bytes that were announced", in.size)
	}
	if !in.s.buffer.reserve(int64(len(piece))) {
		return status.Error(codes.ResourceExhausted, "the data exceeds the buffer")
	}
	in.taken += int64(len(piece))
	if in.data == nil {
		// Announced is not arrived: memory follows what came, at most doubling it.
		in.data = make([]byte, 0, min(in.size, uint64(max(len(piece), blockBytes))))
	}
	in.data = append(in.data, piece...)
	return nil
}

// store checks the whole and puts it into the buffer.
func (in *incoming) store() error {
	if uint64(len(in.data)) != in.size {
		return status.Errorf(codes.InvalidArgument, "%d bytes came, %d were announced", len(in.data), in.size)
	}
	if got := api.Checksum(in.data); got != in.crc {
		return status.Errorf(codes.InvalidArgument, "data arrived with crc32c %08x, not %08x", got, in.crc)
	}
	in.giveUp()
	if !in.s.buffer.put(keyOf(in.id), in.data, in.crc) {
		return status.Error(codes.ResourceExhausted, "the data exceeds the buffer")
	}
	in.s.stats.pushed.Add(in.size)
	return nil
}

// giveUp returns what was counted against the buffer.
func (in *incoming) giveUp() {
	in.s.buffer.unreserve(in.taken)
	in.taken = 0
}

// chainLink is the stream to the rest of the chain; nil at its end.
type chainLink struct {
	stream api.Chunkserver_PushStreamClient
	cancel context.CancelFunc
}

func (s *Server) forwardTo(ctx context.Context, chain []string) (*chainLink, error) {
	if len(chain) == 0 {
		return nil, nil
	}
	conn, err := s.peers.get(chain[0])
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := api.NewChunkserverClient(conn).PushStream(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	return &chainLink{stream, cancel}, nil
}

// send passes a piece on. It waits for the chain when that is slower, which
// slows down the sender in turn.
func (l *chainLink) send(piece *api.PushPiece) error {
	if l == nil {
		return nil
	}
	defer time.AfterFunc(pushPatience, l.cancel).Stop()
	err := l.stream.Send(piece)
	if err == io.EOF {
		// The chain has answered already: with an error, as it lacks pieces.
		if err := l.finish(); err != nil {
			return err
		}
		return status.Error(codes.Internal, "the chain answered before it had everything")
	}
	return err
}

func (l *chainLink) finish() error {
	if l == nil {
		return nil
	}
	defer time.AfterFunc(pushPatience, l.cancel).Stop()
	_, err := l.stream.CloseAndRecv()
	return err
}

func (l *chainLink) close() {
	if l != nil {
		l.cancel()
	}
}

// rest is the chain behind its first chunkserver.
func rest(chain []string) []string {
	if len(chain) == 0 {
		return nil
	}
	return chain[1:]
}
