package api

import (
	"bytes"
	"testing"
)

// A copy's whole frames name the copy; torn ones, and bytes between, stay.
func TestRehomeFrames(t *testing.T) {
	var data []byte
	add := func(f Frame) {
		f.Offset = uint64(len(data))
		data = AppendFrame(data, &f)
	}
	add(Frame{Kind: FrameRecord, Client: "c", Seq: 1, Handle: 7, Version: 3, Serial: 1, Payload: []byte("first")})
	torn := len(data)
	add(Frame{Kind: FrameRecord, Client: "c", Seq: 2, Handle: 7, Version: 3, Serial: 2, Payload: []byte("torn")})
	data[len(data)-1] ^= 1
	add(Frame{Kind: FrameRecord, Client: "a longer name", Seq: 3, Handle: 7, Version: 4, Serial: 3, Payload: []byte("third")})
	end := len(data)
	add(Frame{Kind: FrameRecord, Client: "other", Seq: 4, Handle: 8, Payload: []byte("of another chunk")})
	other := len(data)
	add(Frame{Kind: FramePad, Handle: 7, Length: 100})
	data = append(data, make([]byte, 100)...)
	before := bytes.Clone(data)

	RehomeFrames(data, 7, 9)
	var seqs []uint64
	pads := 0
	WalkFrames(data, 9, func(f Frame) {
		if f.Kind == FramePad {
			pads++
			return
		}
		seqs = append(seqs, f.Seq)
		if f.Handle != 9 || f.Version < 3 || f.Serial != f.Seq || len(f.Payload) != 5 {
			t.Errorf("%+v", f)
		}
	}, func(int, int) {})
	if len(seqs) != 2 || seqs[0] != 1 || seqs[1] != 3 || pads != 1 {
		t.Errorf("records %v and %d pads under the new handle", seqs, pads)
	}
	WalkFrames(data, 7, func(f Frame) { t.Errorf("still of the old one: %+v", f) }, func(int, int) {})
	if len(data) != len(before) || !bytes.Equal(data[end:other], before[end:other]) || !bytes.Equal(data[torn:torn+60], before[torn:torn+60]) {
		t.Error("bytes that are no frame of the chunk have changed")
	}
}
