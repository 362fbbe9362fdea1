package paxostest

// Add sums the counts of another seed.
func (r *Report) Add(o *Report) {
	r.Ticks += o.Ticks
	r.Proposals += o.Proposals
	r.Acknowledged += o.Acknowledged
	r.ReadsConfirmed += o.ReadsConfirmed
	r.ReadsRefused += o.ReadsRefused
	r.Crashes += o.Crashes
	r.Partitions += o.Partitions
	r.Elections += o.Elections
	r.LeaderChanges += o.LeaderChanges
	r.GapsFilled += o.GapsFilled
	r.ValuesAdopted += o.ValuesAdopted
	r.CatchUps += o.CatchUps
	r.Rejections += o.Rejections
	r.Snapshots += o.Snapshots
	r.Installs += o.Installs
	r.LeaseReads += o.LeaseReads
	r.Changes += o.Changes
	r.Sieges += o.Sieges
	r.Transfers += o.Transfers
}
