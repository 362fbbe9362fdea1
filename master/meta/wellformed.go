package meta

import "gfslab/master/meta/metapb"

// WellFormed reports whether the command makes sense in any state at all. One that
// does not is Invalid wherever it is applied, and need not be proposed.
func WellFormed(cmd *metapb.Command) bool { return wellFormed(cmd) }

// MaxEntries bounds the files, directories and chunks that one command touches.
const MaxEntries = maxEntries
