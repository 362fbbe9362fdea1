package harness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"gfslab/api"
	"gfslab/client/call"
	"gfslab/consensus"
	"gfslab/harness/cluster"
)

// LeaseTrial is one trial of the experiment on lease reads and a follower that
// restarts inside the lease; see docs/hypotheses.md.
type LeaseTrial struct {
	Backend, Mode string
	Seed          uint64
	// Void says why the scenario did not come about; "" if it did.
	Void string
	// WroteMS is from the cut to the acknowledgement of the new leader's write,
	// LastMS to the last read that the old leader answered.
	WroteMS, LastMS float64
	// Late are the reads that the old leader answered though they were invoked
	// after the write was acknowledged; Stale those that showed the value before.
	Late, Stale int
}

const (
	leaseCutOff = 400 * time.Millisecond  // how long F2 is cut off before
	leaseWatch  = 1500 * time.Millisecond // how long a trial is watched after
	leaseKey    = "k"
)

// leaseTrial is a trial in progress.
type leaseTrial struct {
	LeaseTrial
	cell  *cluster.Cluster
	conns *call.Conns
	cut   time.Time
	wrote atomic.Int64 // nanoseconds from the cut; 0: not yet
}

// LeaseReads makes one trial. It is called in a bubble of virtual time, with a
// world made in it.
func LeaseReads(ctx context.Context, backend string, mode consensus.ReadMode, seed uint64, world cluster.World) (trial LeaseTrial, err error) {
	p := DefaultPlan()
	p.Backend, p.Workload, p.Seed, p.Tier, p.Limits.ReadMode = backend, "register", seed, "virtual", string(mode)
	Normalize(&p)
	limits, err := PlanLimits(p)
	if err != nil {
		return trial, err
	}
	begin, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cell, err := cluster.Start(begin, cluster.Config{Plan: p, Limits: limits, World: world, Start: time.Now(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return trial, err
	}
	t := &leaseTrial{cell: cell, conns: call.NewConns(call.Dialer(cell.Dialer("client")), 0)}
	t.Backend, t.Mode, t.Seed = backend, string(mode), seed
	err = t.run(begin)
	return t.LeaseTrial, errors.Join(err, t.conns.Close(), cell.Close())
}

func (t *leaseTrial) run(ctx context.Context) error {
	if err := t.cell.Quiet(ctx); err != nil {
		return err
	}
	leader, term, _ := t.cell.Leader()
	var others []string
	for _, name := range t.cell.Masters() {
		if name != leader {
			others = append(others, name)
		}
	}
	f1, f2 := others[t.Seed%2], others[1-t.Seed%2]
	if err := t.put(ctx, leader, "before"); err != nil {
		return fmt.Errorf("the first write: %w", err)
	}
	var wg sync.WaitGroup
	watch, stop := context.WithCancel(ctx)
	defer wg.Wait()
	defer stop()
	// Readers keep the lease in use, as it would be; the jitter moves the cut within
	// the heartbeat interval.
	t.cut = time.Now().Add(leaseCutOff + time.Duration(t.Seed%30)*time.Millisecond)
	wg.Go(func() { t.read(watch, leader) })
	t.cell.Cut(leader, f2)
	t.cell.Cut(f2, leader)
	if err := wait(ctx, time.Until(t.cut)); err != nil {
		return err
	}
	if name, now, ok := t.cell.Leader(); !ok || name != leader || now != term {
		t.Void = fmt.Sprintf("%s led no longer when %s was to restart", leader, f1)
		return nil
	}
	t.cell.Cut(leader, f1)
	t.cell.Cut(f1, leader)
	if err := t.cell.Crash(f1, 0); err != nil {
		return err
	}
	if err := t.cell.Restart(ctx, f1); err != nil {
		return err
	}
	wg.Go(func() { t.write(watch, f2, f1) })
	if err := wait(ctx, leaseWatch); err != nil {
		return err
	}
	if t.wrote.Load() == 0 {
		t.Void = "no write was acknowledged after the cut"
	}
	return nil
}

func (t *leaseTrial) client(name string) (*grpc.ClientConn, error) {
	return t.conns.Get(t.cell.MasterAddresses()[t.cell.ID(name)])
}

// put writes the key at one node, once.
func (t *leaseTrial) put(ctx context.Context, name, value string) error {
	cc, err := t.client(name)
	if err != nil {
		return err
	}
	_, err = api.NewKVClient(cc).Put(ctx, &api.KVPutRequest{Session: &api.Session{Client: "writer-" + value, Seq: 1}, Key: []byte(leaseKey), Value: []byte(value)})
	return err
}

// write tries the nodes that the old leader cannot reach until one of them, as the
// new leader, acknowledges the write.
func (t *leaseTrial) write(ctx context.Context, nodes ...string) {
	for i := 0; ctx.Err() == nil; i++ {
		attempt, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		err := t.put(attempt, nodes[i%len(nodes)], "after")
		cancel()
		if err == nil {
			t.wrote.Store(int64(time.Since(t.cut)))
			t.WroteMS = float64(t.wrote.Load()) / 1e6
			return
		}
		if wait(ctx, 2*time.Millisecond) != nil {
			return
		}
	}
}

// read asks the old leader all the time, and nobody else.
func (t *leaseTrial) read(ctx context.Context, leader string) {
	for ctx.Err() == nil {
		cc, err := t.client(leader)
		if err != nil {
			return
		}
		asked := time.Since(t.cut)
		attempt, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		reply, err := api.NewKVClient(cc).Get(attempt, &api.KVGetRequest{Key: []byte(leaseKey)})
		cancel()
		if err == nil && asked > 0 {
			t.LastMS = float64(time.Since(t.cut)) / 1e6
			if wrote := t.wrote.Load(); wrote != 0 && int64(asked) > wrote {
				t.Late++
				if reply.GetCode() != api.KVCode_KV_OK || string(reply.GetValue()) != "after" {
					t.Stale++
				}
			}
		}
		if wait(ctx, 2*time.Millisecond) != nil {
			return
		}
	}
}

// LeaseModes are the read modes of the experiment: the one in question, and the
// controls.
func LeaseModes() []consensus.ReadMode {
	return []consensus.ReadMode{consensus.ReadLease, consensus.ReadLinearizable, consensus.ReadLog, consensus.ReadStale}
}
