package client

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	"gfslab/api"
)

// A client that knows where replicas were reads them where they are now: that a
// chunkserver has the chunk no more says nothing of what is in it.
func TestReadsOfReplicasThatWereMoved(t *testing.T) {
	for name, read := range map[string]func(*world) (int, error){
		"all records": func(w *world) (int, error) {
			all, err := w.client.ReadAll(context.Background(), "/f")
			return len(all), err
		},
		"one record": func(w *world) (int, error) {
			r := w.client.ReadRecord(context.Background(), 7, 0)
			return len(r.Record.Payload), r.Err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				frame := string(api.AppendFrame(nil, &api.Frame{Kind: api.FrameRecord, Client: "c", Seq: 1, Handle: 7, Version: 5, Payload: []byte("x")}))
				old := w.shelves()
				if r := w.client.ReadBytes(context.Background(), 7, 0, 1); r.Outcome != OK {
					t.Fatal(r.Err)
				}
				for _, s := range old {
					s.answer = code(api.Code_NOT_FOUND)
				}
				now := &shelf{answer: func(r *api.ReadChunkRequest) (*api.ReadChunkReply, error) {
					if r.Length == 0 {
						r.Length = uint32(len(frame))
					}
					return whole(frame)(r)
				}}
				w.serve("d", func(g *grpc.Server) { api.RegisterChunkserverServer(g, now) })
				reply := &api.ChunkReply{Handle: 7, Version: 5, Replicas: []string{"d"}, Addresses: map[string]string{"d": "d"}, At: &api.Position{Index: 1}}
				for _, m := range w.masters {
					m.info = func() *api.ChunkReply { return reply }
					m.stat = &api.StatReply{Chunks: []uint64{7}, At: &api.Position{Index: 1}}
				}
				if n, err := read(w); n != 1 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			})
		})
	}
}
