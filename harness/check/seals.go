package check

import (
	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

// checkSeals holds every seal to the pad that it stands on: where the primary of the
// grant padded the chunk, all replicas had the pad before the log sealed the chunk.
// (A chunk may also be sealed that an earlier primary had padded.)
func checkSeals(f *facts, events map[uint64][]*rundir.LeaseEvent, out *findings) {
	for _, e := range f.agreed().entries {
		for i := range e.lines {
			line := &e.lines[i]
			var cmd metapb.Command
			if proto.Unmarshal(line.Command, &cmd) != nil || cmd.GetSeal() == nil {
				continue
			}
			reply, err := decodeReply(line)
			sealed, known := f.firstApplied(e.index)
			if err != nil || reply.GetCode() != 0 || !known {
				continue
			}
			out.stat("chunks sealed", 1)
			o := cmd.GetSeal()
			pad, acked := padUnder(events[o.GetHandle()], o.GetVersion())
			if pad != nil && (acked == nil || acked.At > sealed) {
				out.invalid(nil, "index %d offset %d seals chunk %d at %d ns, before its pad at offset %d, which node %s made durable under version %d at %d ns, was on all replicas",
					e.index, line.Offset, o.GetHandle(), sealed, pad.Offset, pad.Node, pad.Version, pad.At)
			}
		}
	}
}

// padUnder is the first that is told of a chunk's pad under a version, which has no
// payload, and of its acknowledgement.
func padUnder(list []*rundir.LeaseEvent, version uint64) (pad, acked *rundir.LeaseEvent) {
	for _, e := range list { // in order of time
		switch {
		case e.Version != version:
		case e.Kind == rundir.LeaseMutate && e.Length == 0 && pad == nil:
			pad = e
		case e.Kind == rundir.LeaseAccept && pad != nil && e.Serial == pad.Serial && acked == nil:
			acked = e
		}
	}
	return pad, acked
}
