// Package unreplicated is the control: one node that leads from the start, on
// the same log, batches and engine as the replicated backends. What it costs is
// what they cost without a protocol.
//
// It is not a cluster: it refuses peers, and its data is as safe as its disk.
package unreplicated
