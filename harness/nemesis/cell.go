package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// OfChunkservers reports whether a fault needs chunkservers, and leaves the
// masters alone.
func OfChunkservers(fault string) bool {
	return slices.Contains([]string{"crash-chunkserver", "crash-two-chunkservers", "crash-primary", "stop-chunkserver", "isolate-chunkserver", "bit-rot"}, fault)
}

// crash kills a node until the heal.
func crash(t Target, name string, args Args) (Injection, error) {
	if err := t.Crash(name, args.KeepPercent); err != nil {
		return Injection{}, err
	}
	return Injection{Node: name, Heal: func(ctx context.Context) error { return t.Restart(ctx, name) }}, nil
}

func crashFollower(_ context.Context, t Target, args Args) (Injection, error) {
	leader, err := leaderOf(t)
	if err != nil {
		return Injection{}, err
	}
	rest := others(t, leader)
	if len(rest) == 0 {
		return Injection{}, errors.New("nemesis: there is no follower")
	}
	return crash(t, rest[args.Pick%uint64(len(rest))], args)
}

func pickServer(t Target, args Args) (string, error) {
	all := t.Chunkservers()
	if len(all) == 0 {
		return "", errors.New("nemesis: there are no chunkservers")
	}
	return all[args.Pick%uint64(len(all))], nil
}

func crashChunkserver(_ context.Context, t Target, args Args) (Injection, error) {
	name, err := pickServer(t, args)
	if err != nil {
		return Injection{}, err
	}
	return crash(t, name, args)
}

func crashTwo(_ context.Context, t Target, args Args) (Injection, error) {
	all := t.Chunkservers()
	if len(all) < 2 {
		return Injection{}, errors.New("nemesis: there are no two chunkservers")
	}
	first := args.Pick % uint64(len(all))
	victims := []string{all[first], all[(first+1)%uint64(len(all))]}
	for _, name := range victims {
		if err := t.Crash(name, args.KeepPercent); err != nil {
			return Injection{}, err
		}
	}
	return Injection{Node: victims[0], Nodes: victims, Heal: restartAll(t, victims)}, nil
}

// restartAll starts crashed nodes again, one after the other.
func restartAll(t Target, names []string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, name := range names {
			if err := t.Restart(ctx, name); err != nil {
				return fmt.Errorf("restart %s: %w", name, err)
			}
		}
		return nil
	}
}

func crashPrimary(_ context.Context, t Target, args Args) (Injection, error) {
	name, ok := t.Primary()
	if !ok {
		return Injection{}, errors.New("nemesis: no chunkserver has acted as a primary, so none can be made the victim")
	}
	return crash(t, name, args)
}

func stopChunkserver(_ context.Context, t Target, args Args) (Injection, error) {
	name, err := pickServer(t, args)
	if err != nil {
		return Injection{}, err
	}
	return cutOff(t, name, slices.Concat(t.Masters(), t.Chunkservers(), t.Clients())), nil
}

// isolateChunkserver prefers a primary: it goes on under its lease.
func isolateChunkserver(_ context.Context, t Target, args Args) (Injection, error) {
	name, ok := t.Primary()
	if !ok {
		var err error
		if name, err = pickServer(t, args); err != nil {
			return Injection{}, err
		}
	}
	return cutOff(t, name, t.Masters()), nil
}

func cutOff(t Target, name string, from []string) Injection {
	var cuts [][2]string
	for _, other := range from {
		if other != name {
			cuts = append(cuts, [2]string{name, other}, [2]string{other, name})
		}
	}
	return cutAll(t, name, cuts)
}

func powerLoss(_ context.Context, t Target, args Args) (Injection, error) {
	leader, err := leaderOf(t)
	if err != nil {
		return Injection{}, err
	}
	all := slices.Concat(t.Masters(), t.Chunkservers())
	if err := t.PowerLoss(args.KeepPercent); err != nil {
		return Injection{}, err
	}
	return Injection{Node: leader, Nodes: all, Heal: restartAll(t, all)}, nil
}

func bitRot(_ context.Context, t Target, args Args) (Injection, error) {
	var name, what string
	err := errors.New("nemesis: there are no chunkservers")
	for i := range t.Chunkservers() { // not everyone has a chunk
		if name, err = pickServer(t, Args{Pick: args.Pick + uint64(i)}); err != nil {
			return Injection{}, err
		}
		if what, err = t.Rot(name, args.Pick); err == nil {
			break
		}
	}
	if err != nil {
		return Injection{}, err
	}
	return Injection{
		Node: name, Heal: func(context.Context) error { return nil },
		Felt: func() uint64 { return t.Rotten(name) }, Effect: "times a checksum told of it (" + what + ")",
	}, nil
}

// slowBy is in the range of a disk that remaps sectors or whose cache is full.
const slowBy = 300 * time.Millisecond

func slowDisk(_ context.Context, t Target, _ Args) (Injection, error) {
	leader, err := leaderOf(t)
	if err != nil {
		return Injection{}, err
	}
	t.SlowDisk(leader, slowBy)
	return Injection{
		Node: leader, Heal: func(context.Context) error { t.SlowDisk(leader, 0); return nil },
		Felt: func() uint64 { return t.Slowed(leader) }, Effect: "syncs took longer",
	}, nil
}
