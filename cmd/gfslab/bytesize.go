package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// orNever is a duration in TOML that may be negative, which means never.
type orNever time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *orNever) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = orNever(v)
	return err
}

func (d orNever) String() string { return time.Duration(d).String() }

// byteSize is a number of bytes, as flag and in TOML: 67108864, "64MiB", "1.5 GB".
type byteSize int64

var byteUnits = []struct {
	name string
	size float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// Set implements pflag.Value.
func (b *byteSize) Set(s string) error {
	number, unit := strings.TrimSpace(s), 1.0
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v < 0 || math.IsNaN(v) || v*unit >= 1<<62 {
		return fmt.Errorf("%q is not a size; want a number of bytes, or one with KiB, MiB, GiB, kB, MB or GB", s)
	}
	*b = byteSize(v * unit)
	return nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *byteSize) UnmarshalText(text []byte) error { return b.Set(string(text)) }

// String implements pflag.Value.
func (b byteSize) String() string {
	for i := 3; i >= 0; i-- {
		if u := byteUnits[i]; b != 0 && int64(b)%int64(u.size) == 0 {
			return strconv.FormatInt(int64(b)/int64(u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Type implements pflag.Value.
func (byteSize) Type() string { return "size" }
