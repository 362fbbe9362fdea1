package engine

import (
	"testing"

	"gfslab/consensus"
)

// TestFetchFromABrokenDisk: a source whose snapshot is newer than it need be sends a
// part of it and then no more. It is given up, and what it sent is kept for the next.
func TestFetchFromABrokenDisk(t *testing.T) {
	n := newTwoSources(t)
	n.nodes[0].unreadable = (sourcePieces - 1) * pieceBytes
	n.askFor(1, 8)
	n.ticks(60)
	laggard := n.nodes[2].core
	if len(laggard.failed) != 1 || laggard.failed[0] != consensus.NodeID(1) {
		t.Fatalf("given up: %v, after %d pieces of a file of %d", laggard.failed, n.sent[1], sourcePieces)
	}
	n.askFor(2, 8)
	n.ticks(100)
	n.done()
}
