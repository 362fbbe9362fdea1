package client

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"gfslab/api"
)

func (s *scripted) AllocateChunk(ctx context.Context, _ *api.AllocateRequest) (*api.MutationReply, error) {
	return nil, s.step(ctx)
}

func (s *scripted) FindLeaseHolder(ctx context.Context, _ *api.LeaseRequest) (*api.ChunkReply, error) {
	return nil, s.step(ctx)
}

// A step whose end is not known must not be told as one that surely failed: the
// grant or the chunk may be there. The append itself has surely left no record.
func TestStepsOfUnknownEnd(t *testing.T) {
	for _, x := range []struct {
		name   string
		chunks []uint64 // of the file
		script []func(context.Context) error
		kind   string
		want   Outcome
	}{
		{"a lease, no answer", []uint64{7}, []func(context.Context) error{hang}, StepLease, Unknown},
		{"a lease, aborted", []uint64{7}, []func(context.Context) error{answer(codes.Aborted)}, StepLease, Unknown},
		{"a lease, never led", []uint64{7}, []func(context.Context) error{redirect(0)}, StepLease, Fail},
		{"a chunk, no answer", nil, []func(context.Context) error{hang}, StepAllocate, Unknown},
		{"a chunk, never led", nil, []func(context.Context) error{redirect(0)}, StepAllocate, Fail},
	} {
		t.Run(x.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				for _, m := range w.masters {
					m.stat = &api.StatReply{Chunks: x.chunks, At: &api.Position{Index: 1}}
				}
				w.all(x.script...)
				ctx, cancel := within(time.Second)
				defer cancel()
				r := w.client.RecordAppend(ctx, "/f", []byte("x"))
				if r.Outcome != Fail {
					t.Errorf("the append ended %v: no record can have been written", r.Outcome)
				}
				last := r.Steps[len(r.Steps)-1]
				if last.Kind != x.kind || last.Outcome != x.want || last.Err == nil || len(last.Attempts) == 0 {
					t.Errorf("last step %s ended %v (%v) after %d attempts, want %s %v", last.Kind, last.Outcome, last.Err, len(last.Attempts), x.kind, x.want)
				}
				if r.Steps[0].Kind != StepStat || r.Steps[0].Outcome != OK {
					t.Errorf("first step %+v", r.Steps[0])
				}
			})
		})
	}
}
