package scale

import (
	"fmt"
	"slices"
	"time"
)

// Spread is a figure measured several times.
type Spread struct {
	Values []float64 `json:"values"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
}

func (s *Spread) add(v float64) {
	s.Values = append(s.Values, v)
	sorted := slices.Sorted(slices.Values(s.Values))
	s.Min, s.Max, s.Median = sorted[0], sorted[len(sorted)-1], sorted[len(sorted)/2]
	if len(sorted)%2 == 0 {
		s.Median = (sorted[len(sorted)/2-1] + s.Median) / 2
	}
}

func spreadOf(values []float64) (s Spread) {
	for _, v := range values {
		s.add(v)
	}
	return s
}

// String is the median with the range.
func (s Spread) String() string {
	if len(s.Values) == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%s–%s)", digits(s.Median), digits(s.Min), digits(s.Max))
}

// digits writes three digits, or all before the point.
func digits(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// Quantiles are those of many latencies, in microseconds.
type Quantiles struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_us"`
	P99   float64 `json:"p99_us"`
	Max   float64 `json:"max_us"`
}

// quantiles sorts its argument.
func quantiles(us []float64) Quantiles {
	if len(us) == 0 {
		return Quantiles{}
	}
	slices.Sort(us)
	rank := func(percent int) float64 { return us[(len(us)*percent+99)/100-1] }
	return Quantiles{Count: len(us), P50: rank(50), P99: rank(99), Max: us[len(us)-1]}
}

// Latencies are those of one kind of window: repeat by repeat, and of all repeats
// together, which has more to say of the tail.
type Latencies struct {
	Repeats []Quantiles `json:"repeats"`
	All     Quantiles   `json:"all"`
	us      []float64
}

func (l *Latencies) add(us []float64) {
	l.us = append(l.us, us...)
	l.Repeats, l.All = append(l.Repeats, quantiles(us)), quantiles(l.us)
}

// String is the number of samples, median, 99th percentile and maximum.
func (l Latencies) String() string {
	return fmt.Sprintf("%d: %s / %s / %s", l.All.Count, digits(l.All.P50), digits(l.All.P99), digits(l.All.Max))
}

// tail says how many times larger the 99th percentile is than another: of all
// repeats together, and the range of the repeats.
func (l Latencies) tail(under Latencies) string {
	if under.All.P99 == 0 || l.All.Count == 0 {
		return "-"
	}
	each := ratios(l.Repeats, under.Repeats, p99)
	return fmt.Sprintf("%.2f (%s–%s)", l.All.P99/under.All.P99, digits(each.Min), digits(each.Max))
}

func micro(d time.Duration) float64 { return float64(d) / 1e3 }

// pick gathers one quantile of several measurements.
func pick(all []Quantiles, of func(Quantiles) float64) Spread {
	var values []float64
	for _, q := range all {
		values = append(values, of(q))
	}
	return spreadOf(values)
}

func p50(q Quantiles) float64  { return q.P50 }
func p99(q Quantiles) float64  { return q.P99 }
func most(q Quantiles) float64 { return q.Max }

// ratios divides measurement by measurement.
func ratios(over, under []Quantiles, of func(Quantiles) float64) Spread {
	var values []float64
	for i := range min(len(over), len(under)) {
		if d := of(under[i]); d > 0 {
			values = append(values, of(over[i])/d)
		}
	}
	return spreadOf(values)
}
