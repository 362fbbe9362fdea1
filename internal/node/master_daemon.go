package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"gfslab/internal/disk"
	"gfslab/internal/node/metrics"
	"gfslab/master"
)

// MasterDaemon says how a master runs as a process of its own.
type MasterDaemon struct {
	ReplicaDaemon
	// Master configures the service; what the node decides (Open, Directory, Dial,
	// Logger, Seed) is set by ServeMaster.
	Master master.Options
}

// ServedMaster is a master that runs as a daemon.
type ServedMaster struct {
	*Master
	folder *Folder
	page   *page
	fs     *disk.Counted
	once   sync.Once
	err    error
}

// ServeMaster starts the master. Over a folder that has its log already it goes on
// from there, whatever Peers and Join say: founders found once.
func ServeMaster(d MasterDaemon) (m *ServedMaster, err error) {
	if d.Dir == "" {
		return nil, errors.New("node: a master needs a folder")
	}
	var undo []func() error
	defer func() {
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	folder, err := Claim(disk.Default, d.Dir, Owner{Kind: "master", Cluster: d.Cluster, Node: fmt.Sprint(d.Self), Backend: d.Backend}, lockWait)
	if err != nil {
		return nil, err
	}
	undo = append(undo, folder.Release)
	set := metrics.New()
	g := newGuard(d.Serving, d.Cluster, d.Logger, set)
	c, err := d.listen(folder.Data(), g)
	if err != nil {
		return nil, err
	}
	undo = append(undo, c.Doors.Listener.Close)
	files := disk.Count(c.Doors.FS)
	c.Doors.FS = files
	p, err := servePage(d.MetricsAddr, set)
	if err != nil {
		return nil, err
	}
	undo = append(undo, p.Close)
	o := d.Master
	o.Dial, o.Logger, o.Seed = tcp, d.Logger, d.Seed
	n, err := StartMaster(MasterConfig{ReplicaConfig: c, Master: o})
	if err != nil {
		return nil, err
	}
	undo = append(undo, n.Close)
	if err := folder.Opened(); err != nil {
		return nil, err
	}
	m = &ServedMaster{Master: n, folder: folder, page: p, fs: files}
	set.Add("consensus", metrics.Replica(n.Replica()))
	set.Add("master", m.figures)
	return m, nil
}

// figures are the master's own numbers.
func (m *ServedMaster) figures() []metrics.Figure {
	nodes, chunks, sessions := m.Sizes()
	r := m.ReplicationStats()
	return []metrics.Figure{
		metrics.Gauge("files", "Files and directories in the namespace.", nodes),
		metrics.Gauge("chunks", "Chunks in the namespace.", chunks),
		metrics.Gauge("sessions", "Client sessions that are remembered.", sessions),
		metrics.Gauge("chunkservers_alive", "Chunkservers that were heard from lately.", m.AliveChunkservers()),
		metrics.Gauge("leases", "Leases that this leader knows of.", m.KnownLeases()),
		metrics.Gauge("warming_up", "1 while this leader has not heard from enough chunkservers to judge replication.", asNumber(r.WarmingUp)),
		metrics.Gauge("chunks_under_goal", "Chunks below their goal; 0 at followers.", r.Under),
		metrics.Gauge("chunks_without_replica", "Chunks without a live current replica; 0 at followers.", r.Without),
		metrics.Gauge("clones_queued", "Chunks that wait for work on their replicas.", r.Queued),
		metrics.Gauge("clones_running", "Chunks whose replicas are worked at.", r.Running),
		metrics.Counter("clones_total", "Clones made.", r.ClonedChunks),
		metrics.Counter("clone_failures_total", "Clones that failed.", r.FailedClones),
		metrics.Counter("cloned_bytes_total", "Bytes of clones made.", r.ClonedBytes),
		metrics.Counter("dropped_members_total", "Members dropped from chunks.", r.DroppedMembers),
		metrics.Counter("named_replicas_total", "Replicas that chunkservers were told to remove.", r.NamedReplicas),
		metrics.Counter("removed_replicas_total", "Replicas that chunkservers removed when told.", r.RemovedByName),
		metrics.Counter("corrupt_replicas_total", "Replicas reported corrupt.", r.CorruptReplicas),
		metrics.Counter("disk_syncs_total", "Syncs of files and folders.", m.fs.Syncs()),
		metrics.Counter("disk_written_bytes_total", "Bytes written to files.", m.fs.Written()),
	}
}

func asNumber(b bool) int {
	if b {
		return 1
	}
	return 0
}

// MetricsAddr is where the metrics are served, nil if nowhere.
func (m *ServedMaster) MetricsAddr() net.Addr { return m.page.Addr() }

// Retire says that the master does not serve any more, hands the lead over, if it
// has it, and lets calls in progress end until ctx does. Close is still to be
// called.
func (m *ServedMaster) Retire(ctx context.Context) { m.server.retire(ctx) }

// Close stops the master. Calls in progress end with errors. It is idempotent.
func (m *ServedMaster) Close() error {
	m.once.Do(func() { m.err = errors.Join(m.Master.Close(), m.page.Close(), m.folder.Release()) })
	return m.err
}
