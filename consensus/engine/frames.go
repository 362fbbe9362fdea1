package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"gfslab/consensus/storage"
)

// The first byte of every frame says whose it is. All integers are big endian.
const (
	frameCore    = 0 // a message of the core follows
	frameRequest = 1 // a request for a piece of a snapshot
	framePiece   = 2 // a piece
	frameNone    = 3 // there is no such snapshot; index of the newest
)

// pieceBytes is the most that one piece carries.
const pieceBytes = 256 << 10

var errFrame = errors.New("engine: malformed frame")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// engineBody is a message of the engine itself.
type engineBody interface {
	Body
	engine()
}

// FrameSize bounds the length of a message as AppendFrame encodes it.
func FrameSize(b Body) int { return 1 + b.Size() }

// AppendFrame encodes a message from Effects.Send for Scheduler.Step at its
// receiver.
func AppendFrame(dst []byte, b Body) []byte {
	if _, ours := b.(engineBody); !ours {
		dst = append(dst, frameCore)
	}
	return b.Append(dst)
}

// PieceRequest asks for the piece of a snapshot that begins at Offset. If the
// receiver can serve the snapshot that Index, Stamp, FileSize and CRC name, it
// does; else, or if FileSize is 0, it answers with the beginning of its newest one.
type PieceRequest struct {
	Index, Stamp     uint64
	FileSize, Offset int64
	CRC              uint32
}

// Names reports whether the request asks for a snapshot by its content.
func (q PieceRequest) Names(i storage.SnapshotInfo) bool {
	return q.FileSize == i.Size && q.Index == i.Index && q.Stamp == i.Stamp && q.CRC == i.CRC
}

const requestBytes = 1 + 4*8 + 4

// Size implements Body.
func (q PieceRequest) Size() int { return requestBytes }

// Append implements Body.
func (q PieceRequest) Append(dst []byte) []byte {
	return appendIdentity(append(dst, frameRequest), q.Index, q.Stamp, q.FileSize, q.Offset, q.CRC)
}

func (PieceRequest) engine() {}

func appendIdentity(dst []byte, index, stamp uint64, size, offset int64, crc uint32) []byte {
	dst = binary.BigEndian.AppendUint64(dst, index)
	dst = binary.BigEndian.AppendUint64(dst, stamp)
	dst = binary.BigEndian.AppendUint64(dst, uint64(size))
	dst = binary.BigEndian.AppendUint64(dst, uint64(offset))
	return binary.BigEndian.AppendUint32(dst, crc)
}

// piece is a part of a snapshot's file. Its info has no Data.
type piece struct {
	info   storage.SnapshotInfo
	offset int64
	data   []byte
}

const pieceHead = requestBytes + 4

func (p *piece) Size() int { return pieceHead + len(p.data) }

func (p *piece) Append(dst []byte) []byte {
	i := &p.info
	dst = appendIdentity(append(dst, framePiece), i.Index, i.Stamp, i.Size, p.offset, i.CRC)
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(p.data, castagnoli))
	return append(dst, p.data...)
}

func (*piece) engine() {}

// none says that no snapshot is there that would serve.
type none struct{ newest uint64 }

func (none) Size() int { return 9 }
func (n none) Append(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(append(dst, frameNone), n.newest)
}
func (none) engine() {}

func decodeIdentity(b []byte) (q PieceRequest) {
	q.Index, q.Stamp = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	q.FileSize, q.Offset = int64(binary.BigEndian.Uint64(b[16:])), int64(binary.BigEndian.Uint64(b[24:]))
	q.CRC = binary.BigEndian.Uint32(b[32:])
	return q
}

// decodeRequest reads what follows the first byte of a request.
func decodeRequest(b []byte) (PieceRequest, error) {
	if len(b) != requestBytes-1 {
		return PieceRequest{}, fmt.Errorf("%w: a request of %d bytes", errFrame, len(b))
	}
	q := decodeIdentity(b)
	if q.FileSize < 0 || q.Offset < 0 || q.Offset > q.FileSize {
		return PieceRequest{}, fmt.Errorf("%w: a request for offset %d of %d", errFrame, q.Offset, q.FileSize)
	}
	return q, nil
}

// decodePiece reads what follows the first byte of a piece; its data aliases b.
func decodePiece(b []byte) (piece, error) {
	if len(b) <= pieceHead-1 { // at least one byte of data
		return piece{}, fmt.Errorf("%w: a piece of %d bytes", errFrame, len(b))
	}
	q, data := decodeIdentity(b), b[pieceHead-1:]
	switch {
	case len(data) > pieceBytes || q.FileSize <= 0 || q.Offset < 0 || q.Offset > q.FileSize-int64(len(data)):
		return piece{}, fmt.Errorf("%w: a piece of %d bytes at offset %d of %d", errFrame, len(data), q.Offset, q.FileSize)
	case crc32.Checksum(data, castagnoli) != binary.BigEndian.Uint32(b[requestBytes-1:]):
		return piece{}, fmt.Errorf("%w: a piece that does not match its checksum", errFrame)
	}
	info := storage.SnapshotInfo{SnapshotMeta: storage.SnapshotMeta{Index: q.Index, Stamp: q.Stamp}, Size: q.FileSize, CRC: q.CRC}
	return piece{info: info, offset: q.Offset, data: data}, nil
}

func decodeNone(b []byte) (none, error) {
	if len(b) != 8 {
		return none{}, fmt.Errorf("%w: a refusal of %d bytes", errFrame, len(b))
	}
	return none{binary.BigEndian.Uint64(b)}, nil
}
