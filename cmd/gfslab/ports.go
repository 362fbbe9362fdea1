package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// otherPort is what to do about ports that somebody else has.
const otherPort = "stop it, or choose other ports with --port (a folder keeps its ports: with another --data, or --fresh)"

// awaitPorts waits until nobody listens at the addresses, for at most as long; those
// of processes that were killed just now may take a moment to end.
func awaitPorts(ctx context.Context, addrs []string, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for {
		err := freePorts(addrs)
		if err == nil || atMost == 0 {
			return err
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return err
		}
	}
}

// freePorts is an error that names the addresses at which one cannot listen.
func freePorts(addrs []string) error {
	var errs []error
	for _, addr := range addrs {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			err = l.Close()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("the address %s is taken: %w", addr, err))
		}
	}
	if len(errs) > 0 {
		errs = append(errs, errors.New(otherPort))
	}
	return errors.Join(errs...)
}
