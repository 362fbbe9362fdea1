package engine

import (
	"context"
	"errors"
	"testing"

	"gfslab/consensus"
	"gfslab/consensus/batch"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"

	"gfslab/consensus/storage"
	"gfslab/consensus/wire"
)

// failingCore leads, and fails once it is asked to read.
type failingCore struct{ fakeCore }

func (c *failingCore) Err() error {
	if len(c.asked) > 0 {
		return errors.New("unreadable")
	}
	return nil
}

// A reader that came in the very turn in which the core failed is answered
// once: after that it may be another caller's.
func TestAFailingCoreAnswersAReaderOnce(t *testing.T) {
	cfg := consensus.Config{Self: 1, Limits: consensus.Matched2()}.WithDefaults()
	core := &failingCore{fakeCore{status: CoreStatus{Role: consensus.Leader, Term: 1}}}
	r := &Replica{
		cfg: cfg, core: core, inbox: newInbox(), applier: &applier{},
		sched:    NewScheduler(SchedulerOptions{Node: 1, Core: core, Window: 1, ElectionTicks: 1}),
		proposer: batch.New(batch.Options{Node: 1, Limits: cfg.Limits}),
	}
	rd := r.readers.get()
	r.in.readers = []*reader{rd}
	r.turn(false)
	if !r.dead || len(core.asked) != 1 {
		t.Fatalf("dead: %v, after %d reads", r.dead, len(core.asked))
	}
	<-rd.ready
	rd.state.Store(readWaiting) // the next caller has it
	r.refuse()
	if got := rd.state.Load(); got != readWaiting {
		t.Fatal("the reader was answered again")
	}
}

func TestAFailedOpenFreesTheListener(t *testing.T) {
	network := wire.NewMemory()
	l, err := network.Listen("n1:1")
	if err != nil {
		t.Fatal(err)
	}
	cfg := consensus.Config{
		Cluster: "test", Self: 1, Limits: consensus.Matched2(), StateMachine: struct{ consensus.StateMachine }{},
		Peers: []consensus.Peer{{ID: 1, Addr: "n1:1"}, {ID: 2, Addr: "n2:1"}},
	}
	refused := errors.New("refused")
	_, err = Open(cfg, Deps{FS: disk.FS(faultdisk.NewMem(1)), Dir: "log", Network: network, Listener: l}, Protocol{Name: "none",
		Open: func(consensus.Config, *storage.Log, Start) (Core, error) { return nil, refused }})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	l, err = network.Listen("n1:1")
	if err != nil {
		t.Fatalf("the address is still taken: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A batch that the core was too busy to take is offered again. It counts as in
// flight with its callers, but must not fill the window before its own turn.
func TestABusyCoreIsAskedAgain(t *testing.T) {
	cfg := consensus.Config{Self: 1, Limits: consensus.Matched2()}.WithDefaults()
	core := &fakeCore{status: CoreStatus{Role: consensus.Leader, Term: 1}, refuse: ErrBusy}
	queued := make(chan struct{}, 1)
	r := &Replica{
		cfg: cfg, core: core, inbox: newInbox(), applier: &applier{},
		sched:    NewScheduler(SchedulerOptions{Node: 1, Core: core, Window: 1, ElectionTicks: 1}),
		proposer: batch.New(batch.Options{Node: 1, Limits: cfg.Limits, Notify: func() { queued <- struct{}{} }}),
	}
	ctx, cancel := context.WithCancel(t.Context())
	caller := make(chan error)
	go func() {
		_, err := r.proposer.Propose(ctx, []byte("command"))
		caller <- err
	}()
	<-queued
	r.turn(false)
	if r.held.Data == nil {
		t.Fatal("the batch is not held")
	}
	core.refuse = nil
	r.turn(false)
	if r.held.Data != nil || len(core.proposals) != 1 {
		t.Errorf("%d batches were proposed; held: %v", len(core.proposals), r.held.Data != nil)
	}
	cancel()
	if err := <-caller; !errors.Is(err, consensus.ErrUnknown) {
		t.Errorf("the caller got %v", err)
	}
}
