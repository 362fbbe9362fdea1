package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gfslab/api"
	"gfslab/internal/node"
	"gfslab/master"
	"gfslab/results/rundir"
)

// replicaLog keeps one master's events of the work on replicas.
type replicaLog struct {
	node  string
	start time.Time // zero of the run's clock

	mu     sync.Mutex
	events []rundir.ReplicaEvent
}

func (l *replicaLog) add(e master.ReplicationEvent) {
	out := rundir.ReplicaEvent{
		At: int64(e.At.Sub(l.start)), Node: l.node, Term: e.Term, Kind: e.Kind, Handle: e.Handle, Version: e.Version, Server: e.Server,
		Source: e.Source, Bytes: e.Bytes, Live: e.Live, Goal: e.Goal, Wanted: e.Wanted, Hidden: e.Hidden, Reason: e.Reason,
	}
	if !e.Begun.IsZero() {
		out.Begun = int64(e.Begun.Sub(l.start))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, out)
}

// Replicas returns every master's events of the work on replicas.
func (c *Cluster) Replicas() map[string][]rundir.ReplicaEvent {
	out := map[string][]rundir.ReplicaEvent{}
	for _, m := range c.started() {
		m.replicas.mu.Lock()
		out[m.name] = append([]rundir.ReplicaEvent(nil), m.replicas.events...)
		m.replicas.mu.Unlock()
	}
	return out
}

// Health is what the leading master says of chunkservers and replication.
func (c *Cluster) Health(ctx context.Context) (*api.HealthReply, error) {
	name, _, ok := c.Leader()
	if !ok {
		return nil, errors.New("cluster: no master leads")
	}
	m, ok := c.master(name).get().(*node.Master)
	if !ok {
		return nil, fmt.Errorf("cluster: %s is down", name)
	}
	return m.Health(ctx, &api.StatusRequest{})
}

// Settle waits until every chunk is at its goal and nothing has been cloned or
// removed for quiet. The error says what was still to do when ctx ended.
func (c *Cluster) Settle(ctx context.Context, quiet time.Duration) error {
	var before string
	var since time.Time
	return c.poll(ctx, func() error {
		h, err := c.Health(ctx)
		if err != nil {
			return err
		}
		if !h.Leader || h.WarmingUp || h.Under+h.Queued+h.Running > 0 {
			return fmt.Errorf("warming up: %v; %d chunks are below their goal, %d queued, %d being cloned", h.WarmingUp, h.Under, h.Queued, h.Running)
		}
		now := fmt.Sprint(h.RemovedReplicas, h.ClonedChunks, h.Chunks)
		for _, s := range h.Chunkservers {
			if !s.Alive {
				return fmt.Errorf("chunkserver %s is not alive", s.Name)
			}
			now += fmt.Sprint(" ", s.Chunks)
		}
		if now != before {
			before, since = now, time.Now()
		}
		if time.Since(since) < quiet {
			return fmt.Errorf("replicas came or went within the last %v", quiet)
		}
		return nil
	})
}
