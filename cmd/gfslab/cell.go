package main

import (
	"context"
	"fmt"
	"time"

	"gfslab/api"
	"gfslab/client/admin"
	"gfslab/client/call"
)

// awaitCell waits until a leader of the cluster serves and knows that many
// chunkservers alive, and then sets the retention at the root, if it is not 0. A
// leader of another cluster is an error: its masters have our ports.
func awaitCell(ctx context.Context, endpoints []string, cluster string, chunkservers int, retention time.Duration) error {
	conns := call.NewConns(nil, 0)
	defer conns.Close()
	a, err := admin.New(conns, endpoints)
	if err != nil {
		return err
	}
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for {
		leader, err := a.Leader(ctx)
		if err != nil {
			return err
		}
		cc, err := conns.Get(leader.Address)
		if err != nil {
			return err
		}
		m := api.NewMasterClient(cc)
		n, of, err := aliveChunkservers(ctx, m)
		if err == nil && of != cluster {
			return fmt.Errorf("who answers at %s is a master of another cell (%q, not %q): %s", leader.Address, of, cluster, otherPort)
		}
		if err == nil && n >= chunkservers {
			if retention == 0 {
				return nil
			}
			return setRetention(ctx, m, retention)
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// aliveChunkservers asks a leader how many it hears, and of which cluster it is.
func aliveChunkservers(ctx context.Context, m api.MasterClient) (alive int, cluster string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	h, err := m.Health(ctx, &api.StatusRequest{})
	for _, c := range h.GetChunkservers() {
		if c.Alive {
			alive++
		}
	}
	if err == nil && !h.Leader {
		err = fmt.Errorf("the master leads no longer")
	}
	return alive, h.GetCluster(), err
}

func setRetention(ctx context.Context, m api.MasterClient, retention time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ns := retention.Nanoseconds()
	r, err := m.SetAttributes(ctx, &api.SetAttributesRequest{
		Session: &api.Session{Client: uniqueName(), Seq: 1}, Path: "/", Set: &api.Attributes{RetentionNs: &ns},
	})
	if err == nil && r.Code != api.Code_OK {
		err = fmt.Errorf("%v", r.Code)
	}
	if err != nil {
		return fmt.Errorf("--retention %v could not be set at /: %w", retention, err)
	}
	return nil
}
