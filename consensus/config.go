package consensus

import (
	"errors"
	"fmt"
	"log/slog"
)

// Config is what every backend needs to open a replica, besides its files and
// its network.
type Config struct {
	// Cluster names the cluster; peers of another cluster are refused.
	Cluster string
	Self    NodeID
	// Peers are the founders of the cluster, Self included, in any order. A
	// replica that was opened before takes its members from its own log instead.
	Peers []Peer
	// Join: the cluster exists already. Peers are then only whom to talk to, Self
	// included; nobody votes until a snapshot or the log says who does.
	Join   bool
	Limits Limits
	// StateMachine is owned by the replica from Open to Close.
	StateMachine StateMachine
	// Seed feeds the jitter of timers where a backend lets it be seeded.
	Seed uint64
	// Observe receives events; nil observes nothing.
	Observe func(Event)
	// Logger is never nil after WithDefaults.
	Logger *slog.Logger
}

// WithDefaults returns a copy in which every optional field is set.
func (c Config) WithDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	return c
}

// Validate reports every fault of the configuration at once.
func (c Config) Validate() error {
	errs := []error{c.Limits.Validate()}
	if c.Cluster == "" {
		errs = append(errs, errors.New("the cluster has no name"))
	}
	if c.StateMachine == nil {
		errs = append(errs, errors.New("there is no state machine"))
	}
	seen := map[NodeID]bool{}
	for _, p := range c.Peers {
		switch {
		case p.ID == 0:
			errs = append(errs, fmt.Errorf("peer %q has id 0; ids start at 1", p.Addr))
		case seen[p.ID]:
			errs = append(errs, fmt.Errorf("peer id %d is given twice", p.ID))
		case p.Addr == "" || len(p.Addr) > MaxAddr:
			errs = append(errs, fmt.Errorf("peer %d has an address of %d bytes; want 1 to %d", p.ID, len(p.Addr), MaxAddr))
		}
		seen[p.ID] = true
	}
	if !seen[c.Self] {
		errs = append(errs, fmt.Errorf("node %d is not among its peers", c.Self))
	}
	return errors.Join(errs...)
}
