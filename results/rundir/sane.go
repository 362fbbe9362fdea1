package rundir

import (
	"fmt"
	"maps"
	"slices"
)

// What the records of a run may say.
var (
	kinds = []string{
		KindCreate, KindMkdir, KindDelete, KindRename, KindStat, KindList, KindAllocate, KindFindLease, KindRevoke, KindChunkInfo, KindAppend, KindReadRecord,
		KindUndelete, KindSnapshot, KindSetAttributes, KindUsage, KindWrite, KindReadBytes, KindReadRecords,
		KindGet, KindGetStale, KindPut, KindRemove, KindSwap,
	}
	phases     = []string{PhasePreload, PhaseWarmUp, PhaseRun, PhaseFinal}
	leaseKinds = []string{LeasePrepare, LeaseActivate, LeaseClaim, LeaseAccept, LeaseMutate, LeaseStop, LeaseRefuse,
		LeaseServe, LeaseClone, LeaseCopy, LeaseDelete, LeaseCorrupt}
	replicaKinds = []string{ReplicaWarm, ReplicaQueued, ReplicaClone, ReplicaCloned, ReplicaFailed, ReplicaDropped, ReplicaRemove, ReplicaRemoved, ReplicaCorrupt}
	chunkKinds   = []string{ChunkRecord, ChunkPad, ChunkFragment, ChunkBlock, ChunkEmpty}
)

// checkNodeRecords refuses records of the nodes that no recorder can have
// written: a misspelt kind would fall through every checker unseen.
func checkNodeRecords(run *Run) error {
	bad := func(dir, node string, line int, why string) error {
		return fmt.Errorf("rundir: %s/%s%s:%d: %w: %s", dir, node, jsonl, line+1, ErrSyntax, why)
	}
	for _, node := range slices.Sorted(maps.Keys(run.Applied)) {
		for i, l := range run.Applied[node] {
			if l.At < 0 || l.Run < 0 || l.Index == 0 {
				return bad(appliedDir, node, i, fmt.Sprintf("incarnation %d, index %d, at %d ns", l.Run, l.Index, l.At))
			}
		}
	}
	for _, node := range slices.Sorted(maps.Keys(run.Chunks)) {
		for i, c := range run.Chunks[node] {
			if !slices.Contains(chunkKinds, c.Kind) {
				return bad(chunksDir, node, i, fmt.Sprintf("kind %q", c.Kind))
			}
		}
	}
	for _, node := range slices.Sorted(maps.Keys(run.Leases)) {
		for i, e := range run.Leases[node] {
			switch {
			case !slices.Contains(leaseKinds, e.Kind):
				return bad(leasesDir, node, i, fmt.Sprintf("kind %q", e.Kind))
			case e.At < 0:
				return bad(leasesDir, node, i, "it is from before the run")
			case e.Node != node:
				return bad(leasesDir, node, i, fmt.Sprintf("it is an event of node %q", e.Node))
			}
		}
	}
	for _, node := range slices.Sorted(maps.Keys(run.Replicas)) {
		for i, e := range run.Replicas[node] {
			if !slices.Contains(replicaKinds, e.Kind) || e.At < 0 || e.Node != node {
				return bad(replicaDir, node, i, fmt.Sprintf("an event %q of node %q at %d ns", e.Kind, e.Node, e.At))
			}
		}
	}
	return nil
}
