// Package rundir is what one run leaves on disk: the names and forms of the
// files of a run directory, and their writers and readers. A run directory is
// enough to judge and draw a run again, on another machine and years later.
//
//	manifest.json       written before anything runs: plan, host, settings
//	ops.jsonl           one client operation a line, in order of invocation
//	faults.json         each fault injected and healed, and how it was observed
//	counters.json       totals per node: fsyncs, frames, bytes, allocations, CPU
//	applied/<node>.jsonl        one applied command a line, in log order
//	chunks/<chunkserver>.jsonl  one record found in a chunk file a line
//	leases/<node>.jsonl         one lease or mutation event a line
//	replicas/<node>.jsonl       one event of a master's work on replicas a line
//	verdict.json        what the checkers said
//	END                 line counts and hashes of all files above but the verdict
//
// It is not a judge (harness/check is) and not a picture (results/report is).
package rundir
