package cluster

import (
	"fmt"
	"maps"
	"slices"

	"gfslab/api"
	"gfslab/chunkserver"
	"gfslab/results/rundir"
)

// Counters returns every node's totals so far, by name, over all its
// incarnations: "fsyncs" is counted at the file-system door, the others by the
// replica or chunkserver itself.
func (c *Cluster) Counters() map[string]map[string]uint64 {
	out := map[string]map[string]uint64{}
	for _, m := range c.started() {
		out[m.name] = m.counters()
		out[m.name]["fsyncs"] = m.disk.Syncs()
	}
	for _, s := range c.servers {
		out[s.name] = s.counters()
		out[s.name]["fsyncs"] = s.disk.Syncs()
	}
	return out
}

// counters adds up what all incarnations counted.
func (m *masterNode) counters() map[string]uint64 {
	m.mu.Lock()
	running, n := m.running, maps.Clone(m.past)
	m.mu.Unlock()
	if n == nil {
		n = map[string]uint64{}
	}
	if running != nil {
		addCounters(n, running.Replica().Status().Counters)
	}
	return n
}

// remember keeps the counters of an incarnation that is about to die: the next
// one counts from 0 again.
func (m *masterNode) remember(counters map[string]uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.past == nil {
		m.past = map[string]uint64{}
	}
	addCounters(m.past, counters)
}

func addCounters(to, from map[string]uint64) {
	for k, v := range from {
		to[k] += v
	}
}

// Applied returns every master's applied log.
func (c *Cluster) Applied() (map[string][]rundir.Applied, error) {
	out := map[string][]rundir.Applied{}
	for _, m := range c.started() {
		lines, err := m.rec.lines()
		if err != nil {
			return nil, err
		}
		out[m.name] = lines
	}
	return out, nil
}

// Leases returns every chunkserver's lease and mutation events. Chunkservers know
// each other by address; here they have names.
func (c *Cluster) Leases() map[string][]rundir.LeaseEvent {
	names := map[string]string{}
	for _, s := range c.servers {
		names[s.address] = s.name
	}
	out := map[string][]rundir.LeaseEvent{}
	for _, s := range c.servers {
		events := s.leases.all()
		for i := range events {
			if name, found := names[events[i].Source]; found {
				events[i].Source = name
			}
		}
		out[s.name] = events
	}
	return out
}

// Chunks reads every chunkserver's chunk files as a power cut would leave them:
// what was acknowledged must be durable, not only in the page cache. The cluster
// must be closed.
func (c *Cluster) Chunks() (map[string][]rundir.Chunk, error) {
	out := map[string][]rundir.Chunk{}
	for _, s := range c.servers {
		s.disk.Crash(0)
		found, err := chunkserver.ScanChunks(s.disk.FS(), s.disk.Dir())
		if err != nil {
			return nil, fmt.Errorf("cluster: scan the chunks of %s: %w", s.name, err)
		}
		lines := []rundir.Chunk{}
		for _, c := range found {
			lines = append(lines, chunkLines(c)...)
		}
		out[s.name] = lines
	}
	return out, nil
}

// blockBytes is the length of a block with a checksum of its own.
const blockBytes = 64 << 10

// chunkLines are a chunk's records, or its blocks if it holds bytes: at least one
// line, so that every replica leaves a trace.
func chunkLines(c chunkserver.FoundChunk) (lines []rundir.Chunk) {
	bad := func(offset, length uint64) bool {
		return slices.ContainsFunc(c.Bad, func(b int) bool {
			return uint64(b)*blockBytes < offset+length && offset < uint64(b+1)*blockBytes
		})
	}
	for _, r := range c.Records {
		size := uint64(api.FrameSize(r.Client, int(r.Length)))
		lines = append(lines, rundir.Chunk{
			Handle: r.Handle, Version: r.Version, Offset: r.Offset, Length: r.Length,
			CRC: r.CRC, Client: r.Client, Seq: r.Seq, Kind: r.Kind, Corrupt: r.Kind != chunkserver.KindPad && bad(r.Offset, size),
		})
	}
	if c.Kind == api.ChunkKind_BYTES {
		for i, crc := range c.Blocks {
			offset := uint64(i) * blockBytes
			lines = append(lines, rundir.Chunk{
				Handle: c.Handle, Version: c.Version, Offset: offset, Length: uint32(min(blockBytes, c.Length-offset)),
				CRC: crc, Kind: rundir.ChunkBlock, Corrupt: slices.Contains(c.Bad, i),
			})
		}
	}
	if len(lines) == 0 {
		lines = append(lines, rundir.Chunk{Handle: c.Handle, Version: c.Version, Kind: rundir.ChunkEmpty, Corrupt: len(c.Bad) > 0 || c.Damage != ""})
	}
	return lines
}

// Finish ends the records of the masters, which still work on by themselves, and
// returns the number of commands that each one's last incarnation has applied: what
// its applied log must hold.
func (c *Cluster) Finish() map[string]uint64 {
	out := map[string]uint64{}
	for _, m := range c.masters {
		if m.get() != nil || m.stage.Load() == left && !m.silent {
			out[m.name] = m.rec.finish()
		}
	}
	return out
}
