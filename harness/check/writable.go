package check

// clockError is the relative error that the clocks of leases are granted, in
// thousandths, and patience what a client needs beyond it to learn where to go.
const (
	clockError = 10
	patience   = int64(1e9)
)

// checkWritable bounds how long a chunk takes no mutations when one chunkserver is
// gone: until the masters count it as dead and its leases have run out. In real time
// a machine that is busy takes as long for other reasons, so that only virtual time
// is judged, where there was no other fault.
func checkWritable(f *facts, out *findings) {
	p := f.run.Manifest.Plan
	if p.Tier != "virtual" || p.Replace > 0 || len(f.run.Faults) != 1 {
		return
	}
	x := &f.run.Faults[0]
	switch x.Name {
	case "crash-chunkserver", "crash-primary", "stop-chunkserver", "isolate-chunkserver":
	default:
		return
	}
	limit := int64(p.LeaseTerm)*(1000+clockError)/1000 + deadAfterOf(f) + patience
	for _, op := range f.ops {
		if from := max(op.Start, x.InForce); mutatesChunk(op.Kind) && op.End > x.InForce {
			out.stat("mutations beside a dead chunkserver", 1)
			if op.End-from > limit {
				out.invalid(op, "it was under way for %d ns from %d ns on, with node %s gone from %d ns on: a chunk has to be writable again within %d ns",
					op.End-from, from, x.Node, x.InForce, limit)
			}
		}
	}
}

// deadAfterOf is the silence after which a chunkserver counts as dead.
func deadAfterOf(f *facts) int64 {
	if d := int64(f.run.Manifest.Plan.DeadAfter); d > 0 {
		return d
	}
	return deadAfter
}
