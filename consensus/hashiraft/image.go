package hashiraft

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"gfslab/consensus"
)

// image is what a snapshot holds beside the state machine's own bytes. The
// library's configuration does not say which identities there were, and the
// library hands its index and term to nobody who restores it.
type image struct {
	index, term uint64 // of the snapshot
	applied     uint64 // the last entry in it that the state machine saw
	members     consensus.Members
}

// A body is: format (1 byte) · length of the head (uvarint) · head · the state
// machine's bytes · CRC-32C of all before it.
const imageFormat = 1

var errImage = errors.New("hashiraft: malformed snapshot")

func (m image) append(dst []byte) []byte {
	var head []byte
	for _, n := range []uint64{m.index, m.term, m.applied, m.members.Index, uint64(m.members.MaxID)} {
		head = binary.AppendUvarint(head, n)
	}
	for _, peers := range [][]consensus.Peer{m.members.Voters, m.members.Learners} {
		head = binary.AppendUvarint(head, uint64(len(peers)))
		for _, p := range peers {
			head = binary.AppendUvarint(head, uint64(p.ID))
			head = binary.AppendUvarint(head, uint64(len(p.Addr)))
			head = append(head, p.Addr...)
		}
	}
	dst = append(dst, imageFormat)
	dst = binary.AppendUvarint(dst, uint64(len(head)))
	return append(dst, head...)
}

// newBody reads a body.
func newBody(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, readAhead) }

// maxHead bounds a head: some thousand members.
const maxHead = 1 << 20

// readImage reads what append wrote.
func readImage(r *bufio.Reader) (image, error) {
	var m image
	format, err := r.ReadByte()
	if err == nil && format != imageFormat {
		err = fmt.Errorf("%w: its format is %d; this is %d", errImage, format, imageFormat)
	}
	if err != nil {
		return m, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil || n > maxHead {
		return m, fmt.Errorf("%w: a head of %d bytes, %v", errImage, n, err)
	}
	head := make([]byte, n)
	if _, err := io.ReadFull(r, head); err != nil {
		return m, fmt.Errorf("%w: %w", errImage, err)
	}
	d := decoder{rest: head}
	m.index, m.term, m.applied, m.members.Index = d.number(), d.number(), d.number(), d.number()
	m.members.MaxID = consensus.NodeID(d.number())
	m.members.Voters, m.members.Learners = d.peers(), d.peers()
	if d.bad || len(d.rest) > 0 {
		return m, fmt.Errorf("%w: its head makes no sense", errImage)
	}
	return m, nil
}

type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) peers() (ps []consensus.Peer) {
	for range d.number() {
		id, size := d.number(), d.number()
		if d.bad || size > uint64(len(d.rest)) {
			d.bad = true
			return nil
		}
		ps = append(ps, consensus.Peer{ID: consensus.NodeID(id), Addr: string(d.rest[:size])})
		d.rest = d.rest[size:]
	}
	return ps
}

// summing passes bytes on and sums them up.
type summing struct {
	w   io.Writer
	crc uint32
}

func (s *summing) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.crc = crc32.Update(s.crc, castagnoli, p[:n])
	return n, err
}

// stateReader reads a body up to its checksum.
type stateReader struct{ r *bufio.Reader }

const readAhead = 64 << 10

func (s stateReader) Read(p []byte) (int, error) {
	b, err := s.r.Peek(min(len(p), readAhead-sumBytes) + sumBytes)
	n := len(b) - sumBytes
	if n <= 0 {
		if err == nil || err == io.EOF {
			err = io.EOF
		}
		if len(p) == 0 {
			err = nil
		}
		return 0, err
	}
	copy(p, b[:n])
	_, err = s.r.Discard(n)
	return n, err
}
