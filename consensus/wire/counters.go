package wire

import "sync/atomic"

// Counters are totals since the Transport or Stream was opened.
type Counters struct {
	// Frames are Writes on connections, handshakes left out: one frame carries
	// all messages that waited.
	Frames uint64
	// Messages and Bytes were sent (a Stream does not know messages).
	Messages, Bytes uint64
	// Dropped messages were refused by Send or lost with their connection.
	Dropped uint64
	// Dials are connections that this side opened, handshake included.
	Dials uint64
	// Received and ReceivedBytes count incoming messages (a Stream: bytes only).
	Received, ReceivedBytes uint64
}

type counters struct {
	frames, messages, bytes, dropped, dials, received, receivedBytes atomic.Uint64
}

func (c *counters) load() Counters {
	return Counters{
		Frames: c.frames.Load(), Messages: c.messages.Load(), Bytes: c.bytes.Load(),
		Dropped: c.dropped.Load(), Dials: c.dials.Load(),
		Received: c.received.Load(), ReceivedBytes: c.receivedBytes.Load(),
	}
}
