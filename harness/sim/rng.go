package sim

import "math"

// stream is a source of random numbers (splitmix64). Each link, disk and client
// has its own, so that leaving one fault out of a schedule does not change what
// happens elsewhere more than it must: that is what lets a schedule shrink.
type stream uint64

// newStream derives a stream from the seed and what it is for.
func newStream(parts ...uint64) stream {
	s := stream(0x9e3779b97f4a7c15)
	for _, p := range parts {
		s ^= stream(p)
		s = stream(s.next())
	}
	return s
}

func (s *stream) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// intn is a number in [0, n).
func (s *stream) intn(n int) int { return int(s.next() % uint64(n)) }

// float is a number in [0, 1).
func (s *stream) float() float64 { return float64(s.next()>>11) / (1 << 53) }

func (s *stream) chance(p float64) bool { return p > 0 && s.float() < p }

// Read makes the stream an io.Reader that never fails.
func (s *stream) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s.next() >> 32)
	}
	return len(p), nil
}

func pick[T any](s *stream, of ...T) T { return of[s.intn(len(of))] }

// A Law draws durations, in microseconds.
type Law struct {
	// Kind is "" (always 0), "uniform" on [0, 2*Mean], "exponential", or "pareto":
	// a heavy tail of which one draw in a hundred exceeds ten times Mean.
	Kind string `json:",omitempty"`
	Mean int64  `json:",omitempty"`
}

// longest bounds every draw; beyond it a message is as good as lost.
const longest = 60 * tick

func (l Law) draw(s *stream) int64 {
	switch l.Kind {
	case "uniform":
		return int64(s.float() * 2 * float64(l.Mean))
	case "exponential":
		return min(longest, int64(-math.Log(1-s.float())*float64(l.Mean)))
	case "pareto":
		return min(longest, int64((math.Pow(1-s.float(), -1/1.3)-1)*0.3*float64(l.Mean)))
	}
	return 0
}

// bounded is the law with a mean of at most mean.
func (l Law) bounded(mean int64) Law {
	if l.Kind == "pareto" {
		l.Kind = "exponential"
	}
	l.Mean = min(l.Mean, mean)
	return l
}

// mix folds numbers into a hash.
func mix(h uint64, xs ...uint64) uint64 {
	for _, x := range xs {
		h = (h ^ x) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}

// mixBytes folds bytes into a hash, eight at a time.
func mixBytes(h uint64, b []byte) uint64 {
	h = mix(h, uint64(len(b)))
	for len(b) >= 8 {
		_ = b[7]
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		h = (h ^ x) * 0x9e3779b97f4a7c15
		h ^= h >> 29
		b = b[8:]
	}
	var tail uint64
	for i, c := range b {
		tail |= uint64(c) << (8 * i)
	}
	return mix(h, tail)
}
