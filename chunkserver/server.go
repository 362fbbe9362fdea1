package chunkserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"gfslab/api"
	"gfslab/internal/disk"
)

// Server is a running chunkserver.
type Server struct {
	api.UnimplementedChunkserverServer

	opts    Options
	begun   time.Time
	started int64 // begun by the node's clock, in nanoseconds; names the boot
	log     *slog.Logger
	folder  string
	grpc    *grpc.Server
	peers   *peers
	buffer  *buffer
	// ctx ends when Close begins.
	ctx  context.Context
	stop context.CancelFunc

	mu        sync.Mutex
	chunks    map[uint64]*chunk
	builds    map[uint64]*buildRun // by handle
	refused   map[*chunk]removal   // removals that the file system refused, the last at refusedAt
	refusedAt time.Time
	maxTerm   uint64 // highest term of a leader seen

	masters masters

	// self and selfFile are guarded by selfLock, a lock that may be held across I/O.
	selfLock    chan struct{}
	self        slot
	selfFile    disk.File
	durableTerm atomic.Uint64

	background sync.WaitGroup // heartbeats, claims, serving
	workers    sync.WaitGroup // chunk workers

	stats    counters
	syncs    syncMeter
	files    *fileSet
	reports  reports
	claims   claims
	acked    ackedChunks
	removing atomic.Bool   // a goroutine deletes replicas
	copying  chan struct{} // a token for each copy that holds a chunk in memory
	usage    usage
}

// Start recovers the chunks in o.Dir, makes them durable, and serves. Errors are
// those of the file system, or say what contradicts in the options. The server
// owns the listener from here on, on an error too.
func Start(o Options) (*Server, error) {
	s, err := start(o)
	if err != nil && o.Listener != nil {
		err = errors.Join(err, o.Listener.Close())
	}
	return s, err
}

func start(o Options) (*Server, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	begun := o.Now()
	maxMessage := max(int(o.ChunkBytes/4)+64<<10, 4<<20)
	s := &Server{
		opts: o, begun: begun, started: begun.UnixNano(), log: o.Logger, chunks: make(map[uint64]*chunk), builds: make(map[uint64]*buildRun), refused: make(map[*chunk]removal),
		copying: make(chan struct{}, maxCopies), selfLock: make(chan struct{}, 1),
		peers: newPeers(o.Dial, maxMessage), buffer: newBuffer(o.BufferBytes),
	}
	s.files = newFileSet(o.FS, o.OpenFiles, func(path string, err error) {
		s.log.Warn("closing a chunk's file", "chunkserver", o.Name, "path", path, "err", err)
	})
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.openStore(); err != nil {
		s.stop()
		s.closeFiles()
		return nil, err
	}
	s.grpc = grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage), grpc.WaitForHandlers(true),
	}, o.ServerOptions...)...)
	api.RegisterChunkserverServer(s.grpc, s)
	if o.Register != nil {
		o.Register(s.grpc)
	}
	s.background.Go(func() {
		if err := s.grpc.Serve(o.Listener); err != nil {
			s.log.Warn("serving ended", "chunkserver", o.Name, "err", err)
		}
	})
	if o.ScrubBytesPerSecond > 0 {
		s.background.Go(s.scrub)
	}
	s.masters.mu.Lock()
	s.followLocked(o.Masters)
	s.masters.mu.Unlock()
	return s, nil
}

// Close stops serving, waits for all goroutines and closes the files. Requests
// under way fail; what they wrote stays.
func (s *Server) Close() error {
	s.stop()
	s.grpc.Stop()
	s.peers.close()
	s.background.Wait()
	s.workers.Wait()
	return s.closeFiles()
}

func (s *Server) closeFiles() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first error
	keep := func(err error) {
		if first == nil && err != nil {
			first = fmt.Errorf("close chunkserver: %w", err)
		}
	}
	for _, c := range s.chunks {
		c.mu.Lock()
		if c.file != nil {
			if next := c.settledHead(); next.generation != 0 && c.failed == nil {
				keep(s.writeHead(c.file, next))
			}
			s.files.drop(c.file)
			c.file = nil
		}
		c.mu.Unlock()
	}
	if s.selfFile != nil {
		keep(s.selfFile.Close())
		s.selfFile = nil
	}
	return first
}

// writeHead makes a header durable in a file that nobody else writes to.
func (s *Server) writeHead(file *openFile, head slot) error {
	f, err := s.files.use(context.Background(), file)
	if err != nil {
		return err
	}
	defer s.files.done(file)
	return errors.Join(head.write(f), s.timed(f.SyncData))
}

// Boot changes at every start of the chunkserver: the starts are counted on its
// disk, and as it may lose that, the time of the start is in it too.
func (s *Server) Boot() string {
	return fmt.Sprintf("%s.%d.%x", s.opts.Name, s.bootCount(), s.started)
}

func (s *Server) bootCount() uint64 {
	s.selfLock <- struct{}{}
	defer func() { <-s.selfLock }()
	return s.self.version
}

// chunk returns the replica, nil if there is none.
func (s *Server) chunk(handle uint64) *chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chunks[handle]
}

// chunkOrNew returns the replica, or a new one without a file. The caller calls
// done when it uses it no more: what then still has no file is forgotten.
func (s *Server) chunkOrNew(handle uint64) (c *chunk, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c = s.chunks[handle]
	if c == nil {
		c = s.newChunk(handle)
		s.chunks[handle] = c
	}
	c.makers++
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.makers--
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.makers == 0 && c.file == nil && s.chunks[handle] == c {
			delete(s.chunks, handle)
		}
	}
}

func (s *Server) event(e Event) {
	if e.At.IsZero() {
		e.At = s.opts.Now()
	}
	s.opts.OnEvent(e)
}
