package api

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A chunk holds frames, one after the other: a header and its payload. Writers
// (the replicas) and readers (the clients) share this form, as record append
// leaves it to the reader to drop padding, fragments and duplicates.
//
// The header names its own handle and offset, so that bytes which were copied
// or left over somewhere else never pass for a frame.

// FrameKind says what a frame holds.
type FrameKind uint8

// The kinds of frames.
const (
	FrameRecord FrameKind = 1
	// FramePad fills a chunk to its end. Its payload is not written: Length says
	// how many bytes it stands for.
	FramePad FrameKind = 2
)

const (
	frameMagic = 0x52534647 // "GFSR"
	frameFixed = 56
	// FrameOverhead is the size of a frame's header in bytes without the client's name.
	FrameOverhead = frameFixed + 4
	// MaxClientBytes bounds a client's name in a frame.
	MaxClientBytes = 200
	// PadFiller fills the end of a chunk that is too short for a pad frame.
	PadFiller = 0xAA
)

// Errors of ParseFrame. ErrFrameShort means that the bytes end before the frame
// does; ErrFrameCorrupt means that no frame starts here; ErrFrameChecksum means
// a sound header with another payload than was written.
var (
	ErrFrameShort    = errors.New("frame is cut short")
	ErrFrameCorrupt  = errors.New("not a frame")
	ErrFrameChecksum = errors.New("payload checksum mismatch")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the crc32c used for pushed data, payloads and headers.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// ExtendChecksum returns the checksum of what crc is of, followed by b.
func ExtendChecksum(crc uint32, b []byte) uint32 { return crc32.Update(crc, castagnoli, b) }

// Frame is one record or pad of a chunk.
type Frame struct {
	Kind   FrameKind
	Client string
	Seq    uint64
	// Handle and Offset say where the frame belongs: Offset is the header's
	// first byte, counted from the start of the chunk.
	Handle uint64
	Offset uint64
	// Version and Serial are the grant and the place in its order that wrote it.
	Version uint64
	Serial  uint64
	// Length and CRC (crc32c) are the payload's.
	Length uint32
	CRC    uint32
	// Payload aliases the parsed bytes; nil for a pad.
	Payload []byte
}

// FrameSize is the size in bytes of a record's frame.
func FrameSize(client string, payload int) int { return FrameOverhead + len(client) + payload }

// Size is how many bytes of the chunk the frame takes, a pad's filling included.
func (f *Frame) Size() uint64 {
	return uint64(FrameOverhead+len(f.Client)) + uint64(f.Length)
}

// AppendFrame appends the frame to dst. Length and CRC are taken from Payload,
// for a pad from the fields. The client's name must not exceed MaxClientBytes.
func AppendFrame(dst []byte, f *Frame) []byte {
	length, crc := f.Length, f.CRC
	if f.Kind == FrameRecord {
		length, crc = uint32(len(f.Payload)), Checksum(f.Payload)
	}
	start := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, frameMagic)
	dst = append(dst, byte(f.Kind), byte(len(f.Client)), 0, 0)
	dst = le.AppendUint32(dst, length)
	dst = le.AppendUint32(dst, crc)
	dst = le.AppendUint64(dst, f.Handle)
	dst = le.AppendUint64(dst, f.Version)
	dst = le.AppendUint64(dst, f.Serial)
	dst = le.AppendUint64(dst, f.Offset)
	dst = le.AppendUint64(dst, f.Seq)
	dst = append(dst, f.Client...)
	dst = le.AppendUint32(dst, Checksum(dst[start:]))
	if f.Kind == FrameRecord {
		dst = append(dst, f.Payload...)
	}
	return dst
}

// ParseFrameHeader reads the header at the start of b and returns the frame
// without its payload, and the header's size.
func ParseFrameHeader(b []byte) (Frame, int, error) {
	le := binary.LittleEndian
	if len(b) >= 4 && le.Uint32(b) != frameMagic {
		return Frame{}, 0, ErrFrameCorrupt
	}
	if len(b) < FrameOverhead {
		return Frame{}, 0, ErrFrameShort
	}
	n := int(b[5])
	size := FrameOverhead + n
	if n > MaxClientBytes || b[6] != 0 || b[7] != 0 {
		return Frame{}, 0, ErrFrameCorrupt
	}
	if len(b) < size {
		return Frame{}, 0, ErrFrameShort
	}
	if le.Uint32(b[frameFixed+n:]) != Checksum(b[:frameFixed+n]) {
		return Frame{}, 0, ErrFrameCorrupt
	}
	f := Frame{
		Kind: FrameKind(b[4]), Client: string(b[frameFixed : frameFixed+n]), Seq: le.Uint64(b[48:]),
		Handle: le.Uint64(b[16:]), Version: le.Uint64(b[24:]), Serial: le.Uint64(b[32:]), Offset: le.Uint64(b[40:]),
		Length: le.Uint32(b[8:]), CRC: le.Uint32(b[12:]),
	}
	if f.Kind != FrameRecord && f.Kind != FramePad {
		return Frame{}, 0, ErrFrameCorrupt
	}
	return f, size, nil
}

// ParseFrame reads the frame at the start of b, verifies its payload and
// returns how many bytes of b it takes (a pad's: its header only). On
// ErrFrameChecksum the frame and its size are returned all the same.
func ParseFrame(b []byte) (Frame, int, error) {
	f, n, err := ParseFrameHeader(b)
	if err != nil || f.Kind == FramePad {
		return f, n, err
	}
	if uint64(len(b)-n) < uint64(f.Length) {
		return f, 0, ErrFrameShort
	}
	f.Payload = b[n : n+int(f.Length)]
	n += int(f.Length)
	if Checksum(f.Payload) != f.CRC {
		return f, n, ErrFrameChecksum
	}
	return f, n, nil
}

// WalkFrames finds the frames in all bytes of the chunk with this handle and
// calls frame for each whole one and gap for the bytes [start, end) between
// them, in order. A mutation that failed on a replica leaves a hole or a torn
// frame there, and the next frame starts beyond it.
func WalkFrames(data []byte, handle uint64, frame func(Frame), gap func(start, end int)) {
	last := 0 // end of the last frame
	for at := 0; at < len(data); {
		f, n, err := ParseFrame(data[at:])
		if err != nil || f.Handle != handle || f.Offset != uint64(at) {
			// No frame, or a torn one: what lies inside it may hold a later frame,
			// so the search goes on byte by byte.
			at++
			continue
		}
		if at > last {
			gap(last, at)
		}
		frame(f)
		at += n
		last = at
	}
	if last < len(data) {
		gap(last, len(data))
	}
}

// RehomeFrames gives every whole frame of the chunk from, in all of its bytes, to
// the chunk to: a copy of a chunk has a handle of its own. What is torn stays as it
// is, and belongs to neither.
func RehomeFrames(data []byte, from, to uint64) {
	le := binary.LittleEndian
	WalkFrames(data, from, func(f Frame) {
		header := data[f.Offset:]
		le.PutUint64(header[16:], to)
		n := frameFixed + len(f.Client)
		le.PutUint32(header[n:], Checksum(header[:n]))
	}, func(int, int) {})
}
