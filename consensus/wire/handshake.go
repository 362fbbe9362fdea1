package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"gfslab/consensus"
)

const (
	magic = "gfsw"
	// Version is the format of handshake and messages. Others are refused.
	Version = 2
	// handshakeTime bounds the whole handshake, on either side.
	handshakeTime = 2 * time.Second
	// maxCluster is the longest name of a cluster, and maxAddr the longest address,
	// in bytes.
	maxCluster = 255
	maxAddr    = consensus.MaxAddr
	maxAnswer  = 1 << 10
	headBytes  = len(magic) + 4
)

// kind says what a connection carries after its handshake.
type kind uint8

const (
	kindMessages kind = 1
	kindStream   kind = 2
)

// RefusedError says that the other side answered the handshake and refused
// it. Dialing again helps only after one of the two was configured anew.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "wire: the peer refused the connection: " + e.Reason }

// errFormat marks bytes that no peer of ours sends.
var errFormat = errors.New("wire: malformed")

// helloBytes is the fixed part of a hello's body.
const helloBytes = 8 + 8 + 1

// hello is what the dialer says first.
type hello struct {
	kind     kind
	from, to consensus.NodeID
	cluster  string
	addr     string // where the dialer listens; "" if it does not say
}

func (h hello) append(dst []byte) []byte {
	dst = append(dst, magic...)
	dst = append(dst, Version, byte(h.kind))
	dst = binary.BigEndian.AppendUint16(dst, uint16(helloBytes+len(h.cluster)+len(h.addr)))
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.from))
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.to))
	dst = append(dst, byte(len(h.cluster)))
	dst = append(dst, h.cluster...)
	return append(dst, h.addr...)
}

// readHead reads what hello and answer begin with. It reads not one byte more
// than it needs: what follows belongs to the connection's user.
func readHead(r io.Reader, max int) (code byte, body []byte, err error) {
	var head [headBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, fmt.Errorf("wire: handshake: %w", err)
	}
	if string(head[:len(magic)]) != magic {
		return 0, nil, fmt.Errorf("%w handshake: it begins with %q", errFormat, head[:len(magic)])
	}
	if v := head[len(magic)]; v != Version {
		return 0, nil, fmt.Errorf("%w handshake: version %d; this is version %d", errFormat, v, Version)
	}
	n := int(binary.BigEndian.Uint16(head[len(magic)+2:]))
	if n > max {
		return 0, nil, fmt.Errorf("%w handshake: %d bytes; at most %d are allowed", errFormat, n, max)
	}
	body = make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, fmt.Errorf("wire: handshake: %w", err)
	}
	return head[len(magic)+1], body, nil
}

func readHello(r io.Reader) (hello, error) {
	code, body, err := readHead(r, helloBytes+maxCluster+maxAddr)
	if err != nil {
		return hello{}, err
	}
	if len(body) < helloBytes || len(body)-helloBytes < int(body[16]) {
		return hello{}, fmt.Errorf("%w handshake: %d bytes are too few", errFormat, len(body))
	}
	names := body[helloBytes:]
	return hello{
		kind:    kind(code),
		from:    consensus.NodeID(binary.BigEndian.Uint64(body)),
		to:      consensus.NodeID(binary.BigEndian.Uint64(body[8:])),
		cluster: string(names[:body[16]]),
		addr:    string(names[body[16]:]),
	}, nil
}

func appendAnswer(dst []byte, reason string) []byte {
	if len(reason) > maxAnswer {
		reason = reason[:maxAnswer]
	}
	var code byte
	if reason != "" {
		code = 1
	}
	dst = append(dst, magic...)
	dst = append(dst, Version, code)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(reason)))
	return append(dst, reason...)
}

func readAnswer(r io.Reader) error {
	code, text, err := readHead(r, maxAnswer)
	if err != nil {
		return err
	}
	if code != 0 {
		return &RefusedError{Reason: string(text)}
	}
	return nil
}

// greet performs the dialer's half. It leaves no deadline behind.
func greet(c net.Conn, h hello) error {
	if err := c.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return err
	}
	if _, err := c.Write(h.append(nil)); err != nil {
		return fmt.Errorf("wire: handshake: %w", err)
	}
	if err := readAnswer(c); err != nil {
		return err
	}
	return c.SetDeadline(time.Time{})
}

// identity is what a side of the handshake knows of itself and the others.
type identity struct {
	kind    kind
	self    consensus.NodeID
	cluster string
	peers   map[consensus.NodeID]string
	// newcomers: identities above it are welcome although they are not known.
	newcomers consensus.NodeID
}

// refusal says why h is not welcome, or "".
func (id identity) refusal(h hello) string {
	switch {
	case h.kind != id.kind:
		return fmt.Sprintf("it asks for connection kind %d; kind %d is served here", h.kind, id.kind)
	case h.cluster != id.cluster:
		return fmt.Sprintf("it belongs to cluster %q; this is cluster %q", h.cluster, id.cluster)
	case h.to != id.self:
		return fmt.Sprintf("it wants node %d; this is node %d", h.to, id.self)
	case h.from == id.self || id.peers[h.from] == "" && h.from <= id.newcomers:
		return fmt.Sprintf("node %d is not a peer of node %d", h.from, id.self)
	}
	return ""
}

// receive performs the listener's half.
func (id identity) receive(c net.Conn) (from consensus.Peer, err error) {
	if err := c.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return from, err
	}
	h, err := readHello(c)
	if err != nil {
		if errors.Is(err, errFormat) {
			_, _ = c.Write(appendAnswer(nil, err.Error())) // a courtesy to the other side's log
		}
		return from, err
	}
	reason := id.refusal(h)
	if _, err := c.Write(appendAnswer(nil, reason)); err != nil {
		return from, fmt.Errorf("wire: handshake: %w", err)
	}
	if reason != "" {
		return from, fmt.Errorf("wire: connection refused: %s", reason)
	}
	return consensus.Peer{ID: h.from, Addr: h.addr}, c.SetDeadline(time.Time{})
}
