package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func appendMessage(dst, m []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(m))), m...)
}

func TestFrameReaderSplitsAnyChunking(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 0))
	var messages [][]byte
	var stream []byte
	for range 400 {
		n := rng.IntN(300)
		switch rng.IntN(40) {
		case 0:
			n = rng.IntN(300 << 10)
		case 1:
			n = 0
		}
		m := make([]byte, n)
		for i := range m {
			m[i] = byte(rng.Uint32())
		}
		messages = append(messages, m)
		stream = appendMessage(stream, m)
	}
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "halves": iotest.HalfReader(bytes.NewReader(stream)),
		"bytes": iotest.OneByteReader(bytes.NewReader(stream)), "data with error": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		f := frameReader{r: r, max: 1 << 20}
		var got [][]byte
		for {
			m, err := f.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("seed %d, %s: %v", seed, name, err)
			}
			got = append(got, m)
		}
		if len(got) != len(messages) {
			t.Fatalf("seed %d, %s: %d messages, want %d", seed, name, len(got), len(messages))
		}
		for i := range got { // all at the end: bytes handed out must not change later
			if !bytes.Equal(got[i], messages[i]) {
				t.Fatalf("seed %d, %s: message %d differs", seed, name, i)
			}
		}
	}
}

func TestFrameReaderRefuses(t *testing.T) {
	f := frameReader{r: bytes.NewReader(appendMessage(nil, make([]byte, 101))), max: 100}
	if _, err := f.next(); !errors.Is(err, errFormat) {
		t.Fatalf("too large: %v", err)
	}
	f = frameReader{r: bytes.NewReader([]byte{0, 0, 0, 5, 1, 2}), max: 100}
	if _, err := f.next(); err != io.ErrUnexpectedEOF {
		t.Fatalf("cut short: %v", err)
	}
}

func TestFrameReaderAllocatesOnlyForWhatArrives(t *testing.T) {
	head := make([]byte, lengthBytes+3*blockBytes)
	binary.BigEndian.PutUint32(head, 1<<30)
	f := frameReader{r: bytes.NewReader(head), max: 1 << 30}
	if _, err := f.next(); err != io.ErrUnexpectedEOF {
		t.Fatal(err)
	}
	if got := len(f.block); got > 8*blockBytes {
		t.Fatalf("a block of %d bytes for a length and %d bytes", got, len(head)-lengthBytes)
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add([]byte{}, uint16(10))
	f.Add(appendMessage(appendMessage(nil, []byte("one")), []byte("two")), uint16(100))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1}, uint16(1000))
	f.Fuzz(func(t *testing.T, stream []byte, max uint16) {
		fr := frameReader{r: iotest.HalfReader(bytes.NewReader(stream)), max: int(max)}
		var again []byte
		for {
			m, err := fr.next()
			if err != nil {
				break
			}
			if len(m) > int(max) {
				t.Fatalf("a message of %d bytes; at most %d are allowed", len(m), max)
			}
			again = appendMessage(again, m)
		}
		if !bytes.HasPrefix(stream, again) {
			t.Fatal("the messages are not what was sent")
		}
	})
}

func FuzzHandshake(f *testing.F) {
	f.Add(hello{kind: kindMessages, from: 1, to: 2, cluster: "c"}.append(nil))
	f.Add(appendAnswer(nil, "no"))
	f.Add([]byte("gfsw\x01\x01\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		if h, err := readHello(r); err == nil {
			used := b[:len(b)-r.Len()]
			if !bytes.Equal(h.append(nil), used) {
				t.Fatalf("%+v does not encode to what was read: %x", h, used)
			}
		}
		_ = readAnswer(bytes.NewReader(b)) // must return, with or without an error
	})
}
