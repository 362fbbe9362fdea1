package rundir

import (
	"fmt"
	"time"
)

// String is the duration as package time writes it ("1.5s").
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration as text with its units.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// UnmarshalText reads text such as "150ms". A number without a unit and a
// negative duration are refused: nothing in a plan lasts less than no time.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("rundir: duration %q: want a number with a unit, as in 150ms", text)
	}
	if v < 0 {
		return fmt.Errorf("rundir: duration %q is negative", text)
	}
	*d = Duration(v)
	return nil
}
