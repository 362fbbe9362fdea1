package batch

import (
	"bytes"
	"errors"
	"testing"
)

func TestDecodeReturnsWhatAppendWrote(t *testing.T) {
	for _, commands := range [][][]byte{nil, {{}}, {[]byte("a"), {}, bytes.Repeat([]byte("x"), 300)}} {
		want := Origin{Node: 3, Nonce: 1 << 60, Seq: 900}
		data := Append(nil, want, commands)
		if len(data) > EncodedSize(len(commands), 301) {
			t.Fatalf("%d commands encode to %d bytes, above the bound", len(commands), len(data))
		}
		var d Decoded
		if err := Decode(data, &d); err != nil {
			t.Fatal(err)
		}
		if d.Origin != want || len(d.Commands) != len(commands) {
			t.Fatalf("got %+v with %d commands, want %+v with %d", d.Origin, len(d.Commands), want, len(commands))
		}
		for i := range commands {
			if !bytes.Equal(d.Commands[i], commands[i]) {
				t.Fatalf("command %d is %q, want %q", i, d.Commands[i], commands[i])
			}
		}
	}
}

func TestDecodeRefusesEveryCut(t *testing.T) {
	data := Append(nil, Origin{1, 2, 3}, [][]byte{[]byte("one"), []byte("two")})
	var d Decoded
	for n := range data {
		if err := Decode(data[:n], &d); !errors.Is(err, ErrMalformed) {
			t.Fatalf("the first %d of %d bytes: got %v, want ErrMalformed", n, len(data), err)
		}
	}
	if err := Decode(append(data, 0), &d); !errors.Is(err, ErrMalformed) {
		t.Fatalf("a byte too many: got %v, want ErrMalformed", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Append(nil, Origin{1, 2, 3}, [][]byte{[]byte("one"), {}}))
	f.Add([]byte{version, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		var d, again Decoded
		if Decode(data, &d) != nil {
			return
		}
		// What is accepted means one thing: it survives a round trip.
		if err := Decode(Append(nil, d.Origin, d.Commands), &again); err != nil {
			t.Fatalf("accepted %x, but not its own encoding: %v", data, err)
		}
		if again.Origin != d.Origin || len(again.Commands) != len(d.Commands) {
			t.Fatalf("%x changed in a round trip: %+v, then %+v", data, d, again)
		}
	})
}
