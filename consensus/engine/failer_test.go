package engine

import (
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
		sched:    NewScheduler(SchedulerOptions{Node: 1, Core: core, Window: 1, ReadRetryTicks: 1}),
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
	_, err = Open(cfg, Deps{FS: disk.FS(faultdisk.NewMem(1)), Dir: "log", Network: network, Listener: l}, "none",
		func(consensus.Config, *storage.Log, Start) (Core, error) { return nil, refused })
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
