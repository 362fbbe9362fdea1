package hashiraft

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// stuckPipeline takes no request until it is closed, as the library's does once
// nobody takes its answers.
type stuckPipeline struct {
	raft.AppendPipeline
	closed chan struct{}
}

func (s stuckPipeline) AppendEntries(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	<-s.closed
	return nil, raft.ErrPipelineShutdown
}

func (s stuckPipeline) Close() error { close(s.closed); return nil }

func TestAStuckPipelineEnds(t *testing.T) {
	for name, closing := range map[string]bool{"by itself": false, "with the replica": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const limit = time.Second
				var set pipelines
				p := &pipeline{AppendPipeline: stuckPipeline{closed: make(chan struct{})}, pass: func(*raft.AppendEntriesRequest) error { return nil }, set: &set, limit: limit}
				if !set.add(p) {
					t.Fatal("an open set refused a pipeline")
				}
				begun := time.Now()
				ended := make(chan error, 1)
				go func() { _, err := p.AppendEntries(nil, nil); ended <- err }()
				synctest.Wait()
				want := limit
				if closing {
					set.close()
					want = 0
				}
				if err := <-ended; !errors.Is(err, raft.ErrPipelineShutdown) || time.Since(begun) != want {
					t.Errorf("%v after %v, want %v", err, time.Since(begun), want)
				}
				if closing && set.add(&pipeline{}) {
					t.Error("a closed set took a pipeline")
				}
			})
		})
	}
}
