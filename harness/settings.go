package harness

import (
	"fmt"

	"gfslab/consensus"
)

// Settings names the published settings of the limits.
func Settings() []string { return []string{"matched-2", "matched-3", "native"} }

// LimitsOf returns the limits of a setting. Native differs from matched-2 only
// where a backend documents a better value of its own: each backend translates
// BatchNative into its library's own batching.
func LimitsOf(setting string) (consensus.Limits, error) {
	switch setting {
	case "matched-2":
		return consensus.Matched2(), nil
	case "matched-3":
		return consensus.Matched3(), nil
	case "native":
		l := consensus.Matched2()
		l.BatchMode = consensus.BatchNative
		return l, nil
	}
	return consensus.Limits{}, fmt.Errorf("setting %q is unknown; it must be one of %v", setting, Settings())
}
