package nemesis

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gfslab/consensus"
)

// Target is the cluster as the nemesis sees it. Nodes are masters or chunkservers,
// by name; links also end at the clients.
type Target interface {
	// Masters names all master nodes in order.
	Masters() []string
	// Leader returns the node that leads at the highest term, and that term.
	Leader() (name string, term uint64, ok bool)
	// Status returns what a node believes; ok is false while it is down.
	Status(name string) (s consensus.Status, ok bool)
	// Chunkservers names all chunkservers in order, Clients the other participants
	// of the network.
	Chunkservers() []string
	Clients() []string
	// Primary returns the chunkserver that acted last as a chunk's primary and is up.
	Primary() (name string, ok bool)
	// Cut stops all bytes from one node to another; Heal undoes one cut. Clients
	// still reach both nodes.
	Cut(from, to string)
	Heal(from, to string)
	// Felt counts how often the faults so far have touched something: a read,
	// write or dial that met a cut link, a connection that was killed.
	Felt() uint64
	// Crash kills a node as a power cut does: unsynced data survives with the
	// given share only. Restart opens it again on what is left.
	Crash(name string, keepPercent int) error
	Restart(ctx context.Context, name string) error
	// PowerLoss crashes all nodes at once.
	PowerLoss(keepPercent int) error
	// Rot flips bits of what a chunkserver has durable of one of its chunks and says
	// which; Rotten counts how often it was found since. pick chooses.
	Rot(name string, pick uint64) (what string, err error)
	Rotten(name string) uint64
	// SlowDisk makes every sync of a node take d longer (0 ends it); Slowed counts
	// the syncs since.
	SlowDisk(name string, d time.Duration)
	Slowed(name string) uint64
}

// Fault is one kind of fault.
type Fault struct {
	Name string
	// About says in a line what it does.
	About string
	// inject breaks the target and returns who the victim is and how to heal.
	inject func(ctx context.Context, t Target, args Args) (Injection, error)
}

// Args are a fault's settings.
type Args struct {
	// KeepPercent is the share of unsynced data that survives a crash.
	KeepPercent int
	// Pick chooses among victims where any will do.
	Pick uint64
}

// Injection is a fault that is in force.
type Injection struct {
	// Node is the victim, Nodes are all where there are several. Heal mends
	// everything; it is safe to call once.
	Node  string
	Nodes []string
	Heal  func(ctx context.Context) error
	// Felt counts the effects so far of a fault that the network does not feel, to
	// be asked at the end of the run; nil for all others. Effect says what is counted.
	Felt   func() uint64
	Effect string
}

// Step is one entry of a schedule.
type Step struct {
	Fault string
	// At is counted from the start of the measured window; For is how long the
	// fault stays.
	At, For time.Duration
	Args    Args
}

// None is the name of the fault that does nothing.
const None = "none"

// Kinds returns every fault, in the order of the documentation.
func Kinds() []Fault {
	return []Fault{
		{"isolate-leader", "cuts the leader's links with all other masters, both ways; clients still reach it", isolateLeader},
		{"crash-leader", "kills the leader; unsynced data is lost; it restarts when the fault heals", crashLeader},
		{"split-minority", "splits the masters: the leader stays with the smaller side", splitMinority},
		{"split-majority", "splits the masters: the leader stays with the larger side", splitMajority},
		{"one-way-out", "what the leader sends to other masters stalls; it still hears them", oneWay(true)},
		{"one-way-in", "what other masters send to the leader stalls; they still hear it", oneWay(false)},
		{"crash-follower", "kills a master that does not lead; unsynced data is lost; it restarts when the fault heals", crashFollower},
		{"crash-chunkserver", "kills a chunkserver; unsynced data is lost; it restarts when the fault heals", crashChunkserver},
		{"crash-two-chunkservers", "kills two chunkservers at once", crashTwo},
		{"crash-primary", "kills the chunkserver that acted last as a primary", crashPrimary},
		{"stop-chunkserver", "a chunkserver falls silent: whatever it sends or is sent stalls", stopChunkserver},
		{"isolate-chunkserver", "cuts a chunkserver's links with all masters; clients and other chunkservers still reach it", isolateChunkserver},
		{"power-loss", "all masters and chunkservers lose power at once; unsynced data is lost; all restart when the fault heals", powerLoss},
		{"bit-rot", "flips bits of a chunk on a chunkserver's disk; nothing mends them but the cell itself", bitRot},
		{"slow-disk", "every sync of the leader takes 300 ms longer", slowDisk},
	}
}

// Names returns None and every fault's name.
func Names() []string {
	names := []string{None}
	for _, f := range Kinds() {
		names = append(names, f.Name)
	}
	return names
}

// Inject breaks the target with the named fault.
func Inject(ctx context.Context, t Target, name string, args Args) (Injection, error) {
	for _, f := range Kinds() {
		if f.Name == name {
			return f.inject(ctx, t, args)
		}
	}
	return Injection{}, fmt.Errorf("nemesis: fault %q is unknown; it must be one of %s", name, strings.Join(Names(), ", "))
}

func leaderOf(t Target) (string, error) {
	name, _, ok := t.Leader()
	if !ok {
		return "", fmt.Errorf("nemesis: no master leads, so none can be made the victim")
	}
	return name, nil
}

func isolateLeader(_ context.Context, t Target, _ Args) (Injection, error) {
	leader, err := leaderOf(t)
	if err != nil {
		return Injection{}, err
	}
	return split(t, leader, []string{leader}), nil
}

func splitMinority(_ context.Context, t Target, _ Args) (Injection, error) {
	leader, err := leaderOf(t)
	if err != nil {
		return Injection{}, err
	}
	side := append([]string{leader}, others(t, leader)...)
	return split(t, leader, side[:(len(side)-1)/2]), nil
}

func splitMajority(_ context.Context, t Target, _ Args) (Injection, error) {
	leader, err := leaderOf(t)
	if err != nil {
		return Injection{}, err
	}
	rest := others(t, leader)
	side := rest[:len(rest)/2]
	return split(t, side[0], side), nil
}

// split cuts every link between side and the other masters, both ways.
func split(t Target, victim string, side []string) Injection {
	in := map[string]bool{}
	for _, n := range side {
		in[n] = true
	}
	var cuts [][2]string
	for _, a := range side {
		for _, b := range t.Masters() {
			if !in[b] {
				cuts = append(cuts, [2]string{a, b}, [2]string{b, a})
			}
		}
	}
	return cutAll(t, victim, cuts)
}

func oneWay(out bool) func(context.Context, Target, Args) (Injection, error) {
	return func(_ context.Context, t Target, _ Args) (Injection, error) {
		leader, err := leaderOf(t)
		if err != nil {
			return Injection{}, err
		}
		var cuts [][2]string
		for _, n := range others(t, leader) {
			if out {
				cuts = append(cuts, [2]string{leader, n})
			} else {
				cuts = append(cuts, [2]string{n, leader})
			}
		}
		return cutAll(t, leader, cuts), nil
	}
}

func cutAll(t Target, victim string, cuts [][2]string) Injection {
	for _, c := range cuts {
		t.Cut(c[0], c[1])
	}
	return Injection{Node: victim, Heal: func(context.Context) error {
		for _, c := range cuts {
			t.Heal(c[0], c[1])
		}
		return nil
	}}
}

func crashLeader(_ context.Context, t Target, args Args) (Injection, error) {
	leader, err := leaderOf(t)
	if err != nil {
		return Injection{}, err
	}
	if err := t.Crash(leader, args.KeepPercent); err != nil {
		return Injection{}, err
	}
	return Injection{Node: leader, Heal: func(ctx context.Context) error {
		return t.Restart(ctx, leader)
	}}, nil
}

func others(t Target, name string) []string {
	var rest []string
	for _, n := range t.Masters() {
		if n != name {
			rest = append(rest, n)
		}
	}
	return rest
}
