package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"

	"google.golang.org/grpc"

	"gfslab/api"
	"gfslab/chunkserver"
	"gfslab/consensus/wire"
	"gfslab/internal/disk"
	"gfslab/internal/node/metrics"
)

// ChunkserverDaemon says how a chunkserver runs as a process of its own.
type ChunkserverDaemon struct {
	Cluster string
	// Listen is the address to listen at, Dir the chunkserver's folder.
	Listen, Dir string
	Logger      *slog.Logger
	Serving     Serving
	// MetricsAddr is where HTTP serves /metrics; empty: nowhere.
	MetricsAddr string
	// Chunkserver configures the service; what the node decides (FS, Dir, Listener,
	// Dial, Logger, Cluster) is set by ServeChunkserver.
	Chunkserver chunkserver.Options
}

// ServedChunkserver is a chunkserver that runs as a daemon.
type ServedChunkserver struct {
	*chunkserver.Server
	guard  *guard
	grpc   *grpc.Server
	folder *Folder
	page   *page
	fs     *disk.Counted
	wg     sync.WaitGroup
	once   sync.Once
	err    error
}

// ServeChunkserver starts the chunkserver.
func ServeChunkserver(d ChunkserverDaemon) (s *ServedChunkserver, err error) {
	if d.Dir == "" || d.Listen == "" || len(d.Chunkserver.Masters) == 0 {
		return nil, errors.New("node: a chunkserver needs a folder, an address of its own, and masters")
	}
	var undo []func() error
	defer func() {
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	o := d.Chunkserver
	folder, err := Claim(disk.Default, d.Dir, Owner{Kind: "chunkserver", Cluster: d.Cluster, Node: o.Name, ChunkBytes: o.ChunkBytes}, lockWait)
	if err != nil {
		return nil, err
	}
	undo = append(undo, folder.Release)
	set := metrics.New()
	p, err := servePage(d.MetricsAddr, set)
	if err != nil {
		return nil, err
	}
	undo = append(undo, p.Close)
	l, err := wire.TCP().Listen(d.Listen)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	s = &ServedChunkserver{guard: newGuard(d.Serving, d.Cluster, d.Logger, set), folder: folder, page: p, fs: disk.Count(disk.Default)}
	service := api.Chunkserver_ServiceDesc.ServiceName
	o.FS, o.Dir, o.Listener, o.Dial, o.Logger, o.Cluster = s.fs, folder.Data(), bounded(l, s.guard.limits.Connections), tcp, d.Logger, d.Cluster
	o.OpenFiles = openFiles(o.OpenFiles)
	o.ServerOptions = s.guard.options()
	if s.guard.limits.MessageBytes > int(o.ChunkBytes)/4+64<<10 { // what the chunkserver itself allows
		o.ServerOptions = append(o.ServerOptions, grpc.MaxRecvMsgSize(s.guard.limits.MessageBytes))
	}
	o.Register = func(g *grpc.Server) {
		s.grpc = g
		s.guard.register(g, service)
	}
	if s.Server, err = chunkserver.Start(o); err != nil {
		return nil, fmt.Errorf("node: chunkserver %s: %w", o.Name, err)
	}
	undo = append(undo, s.Server.Close)
	if err := folder.Opened(); err != nil {
		return nil, err
	}
	set.Add("chunkserver", s.figures)
	s.guard.serving(true, service)
	return s, nil
}

// openFiles is how many chunks' files may be open: as many as asked for, 0 being the
// chunkserver's default, but no more than half of what the process may open. The other
// half is for connections.
func openFiles(asked int) int {
	const usual = 4096
	if asked <= 0 {
		asked = usual
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return asked
	}
	return int(max(1, min(uint64(asked), limit.Cur/2)))
}

// figures are the chunkserver's own numbers.
func (s *ServedChunkserver) figures() []metrics.Figure {
	c, l := s.Counters(), s.Levels()
	return []metrics.Figure{
		metrics.Counter("chunk_syncs_total", "Syncs of chunks' files and folder, and of the chunkserver's own header.", c.Syncs),
		metrics.Counter("chunk_sync_seconds_total", "How long those syncs took, one added to the other.", c.SyncTime.Seconds()),
		metrics.Counter("chunk_sync_busy_seconds_total", "For how long at least one of those syncs was in flight.", c.SyncBusy.Seconds()),
		metrics.Counter("acknowledged_mutations_total", "Mutations acknowledged as primary, pads excepted.", c.Acknowledged),
		metrics.Counter("sync_wait_seconds_total", "For how long the chunk was being synced here while those mutations waited.", c.SyncWait.Seconds()),
		metrics.Counter("mutations_total", "Mutations made durable, pads included.", c.Mutations),
		metrics.Counter("mutated_bytes_total", "Bytes of mutations, with their frames.", c.Written),
		metrics.Counter("read_bytes_total", "Bytes sent to readers.", c.Read),
		metrics.Counter("pushed_bytes_total", "Bytes taken into the buffer.", c.Pushed),
		metrics.Counter("scrubbed_bytes_total", "Bytes that the scrubber compared with their checksums.", c.Scrubbed),
		metrics.Counter("scrub_rounds_total", "Walks of the scrubber through all chunks.", c.ScrubRounds),
		metrics.Counter("corruptions_total", "Replicas that turned out damaged.", c.Corrupt),
		metrics.Counter("clones_total", "Replicas fetched from other chunkservers or copied here.", c.Cloned),
		metrics.Counter("cloned_bytes_total", "Bytes of replicas fetched or copied.", c.ClonedBytes),
		metrics.Counter("removed_replicas_total", "Replicas deleted at a master's word.", c.Removed),
		metrics.Counter("revocations_total", "Leases given up because a replica did not take a mutation.", c.Revocations),
		metrics.Gauge("chunks", "Replicas stored.", l.Chunks),
		metrics.Gauge("corrupt_chunks", "Replicas stored that are damaged.", l.CorruptChunks),
		metrics.Gauge("stored_bytes", "Bytes of all replicas stored.", l.Bytes),
		metrics.Gauge("buffer_bytes", "Bytes pushed that wait for their mutation.", l.BufferBytes),
		metrics.Gauge("leases", "Leases held as primary.", l.Leases),
		metrics.Gauge("open_files", "Files of chunks that are open.", l.OpenFiles),
		metrics.Counter("disk_syncs_total", "Syncs of files and folders.", s.fs.Syncs()),
		metrics.Counter("disk_written_bytes_total", "Bytes written to files.", s.fs.Written()),
	}
}

// MetricsAddr is where the metrics are served, nil if nowhere.
func (s *ServedChunkserver) MetricsAddr() net.Addr { return s.page.Addr() }

// Retire says that the chunkserver does not serve any more, and lets calls in
// progress end until ctx does. Close is still to be called.
func (s *ServedChunkserver) Retire(ctx context.Context) {
	s.guard.health.Shutdown()
	drain(ctx, s.grpc, &s.wg)
}

// Close stops the chunkserver. Requests under way fail; what they wrote stays. It
// is idempotent.
func (s *ServedChunkserver) Close() error {
	s.once.Do(func() {
		s.err = s.Server.Close()
		s.wg.Wait()
		s.err = errors.Join(s.err, s.page.Close(), s.folder.Release())
	})
	return s.err
}
