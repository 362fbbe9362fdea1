package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gfslab/client"
	"gfslab/consensus"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func plan(backend string) rundir.Plan {
	return rundir.Plan{
		Backend: backend, Seed: 7, Replicas: 3, Chunkservers: 2,
		LeaseTerm: rundir.Duration(500 * time.Millisecond), ChunkBytes: 1 << 16,
	}
}

// crashAndRecover starts a cell, writes, crashes the leader with all unsynced
// data, writes on, restarts it, and looks whether all is there.
func crashAndRecover(t *testing.T, backend string, world World) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	c, err := Start(ctx, Config{
		Plan: plan(backend), Limits: consensus.Matched3(), World: world,
		Start: start, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	conns := client.NewConns(client.Dialer(c.Dialer("client")), 0)
	defer conns.Close()
	var masters []client.Master
	for id := uint64(1); id <= 3; id++ {
		masters = append(masters, client.Master{ID: id, Addr: c.MasterAddresses()[id]})
	}
	cl, err := client.New(client.Options{Name: "t", Masters: masters, Conns: conns, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	create := func(i int) {
		t.Helper()
		if r := cl.Create(ctx, fmt.Sprintf("/f%d", i)); r.Outcome != client.OK || r.Reply.Code != 0 {
			t.Fatalf("create %d: %v %v %v", i, r.Outcome, r.Reply, r.Err)
		}
	}
	for i := range 20 {
		create(i)
	}
	victim, term, ok := c.Leader()
	for ; !ok; victim, term, ok = c.Leader() { // a busy machine may be between two
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("no leader")
		}
	}
	before := c.Counters()[victim]
	if before["entries"] == 0 && before["fsyncs"] == 0 {
		t.Fatalf("%s has counted nothing: %v", victim, before)
	}
	if err := c.Crash(victim, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		create(100 + i)
	}
	if now, newTerm, ok := c.Leader(); !ok || now == victim || newTerm <= term {
		t.Errorf("after the crash of %s (term %d) %s leads term %d", victim, term, now, newTerm)
	}
	if err := c.Restart(ctx, victim); err != nil {
		t.Fatal(err)
	}
	if err := c.Quiesce(ctx); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 19, 100, 119} {
		if r := cl.Stat(ctx, fmt.Sprintf("/f%d", i)); r.Outcome != client.OK || r.Reply.Code != 0 {
			t.Errorf("stat %d: %v %v %v", i, r.Outcome, r.Reply, r.Err)
		}
	}
	for name, n := range c.Counters()[victim] {
		if n < before[name] {
			t.Errorf("%s: counter %s fell from %d to %d: what the crashed incarnation counted is lost", victim, name, before[name], n)
		}
	}
	logs, err := c.Applied()
	if err != nil {
		t.Fatal(err)
	}
	for name, lines := range logs {
		if last := lines[len(lines)-1]; last.Client == "" || last.Hash == "" || last.Term == 0 {
			t.Errorf("%s: last applied line %+v", name, last)
		}
	}
	if run := logs[victim][len(logs[victim])-1].Run; run != 1 {
		t.Errorf("%s is in incarnation %d, want 1", victim, run)
	}
}

func TestCrashAndRecoverVirtual(t *testing.T) {
	for _, b := range node.Replicated() {
		t.Run(b, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { crashAndRecover(t, b, VirtualWorld(3)) })
		})
	}
}

func TestCrashAndRecoverLocal(t *testing.T) {
	for _, b := range node.Replicated() {
		t.Run(b, func(t *testing.T) {
			world, err := LocalWorld(t.TempDir(), 3)
			if err != nil {
				t.Fatal(err)
			}
			crashAndRecover(t, b, world)
		})
	}
}

func TestCrashSaysWhatIsWrong(t *testing.T) {
	c := &Cluster{}
	if err := c.Crash("m9", 0); err == nil {
		t.Error("a node that does not exist was crashed")
	}
	if err := c.Restart(context.Background(), "m9"); err == nil {
		t.Error("a node that does not exist was restarted")
	}
}
