package paxostest

import (
	"slices"
	"strings"

	"gfslab/paxos"
)

// World bounds an exploration. Arrays are by node: what one may do at most.
// Whatever is not bounded here happens in every order, or not at all.
type World struct {
	Name     string
	Switches paxos.Switches
	// Campaigns are timeouts that start an election; each takes a ballot.
	Campaigns [nodes]int
	// Proposals, and MaxProposals on all nodes, are values of clients, each
	// another; a proposal beyond Slots is not made.
	Proposals    [nodes]int
	MaxProposals int
	Slots        uint64
	// Crashes, and MaxCrashes on all nodes, lose what is not durable, and what is
	// under way but for any prefix of it. The restart follows at once: to be down
	// is no different from hearing nothing.
	Crashes    [nodes]int
	MaxCrashes int
	// Writes bounds the writes under way on a node: with so many it hears nothing
	// that would have it write more. At most maxWrites.
	Writes int
	// Ticks are heartbeats of a leader and requests of one who lags.
	Ticks [nodes]int
	// Founders vote first, all nodes if it is empty; the others join. Changes are
	// proposals of Members as the voters. Window bounds the slots in flight (0: 4),
	// and is alpha.
	Founders []paxos.NodeID
	Members  paxos.Members
	Changes  [nodes]int
	Window   int
	// Without lists the kinds of messages that are always lost.
	Without []paxos.Kind
	// PageBytes bounds the values of one message (0: no bound).
	PageBytes int
	// DiskFirst: a leader's Accepts wait for its own disk.
	DiskFirst bool
	// AgreementOnly: only two different values, chosen or applied in one slot, are
	// a violation. A node that breaks an assertion just stops.
	AgreementOnly bool
	// KeepAll forgets no message, not even what nobody can act on any more.
	KeepAll bool
	// MaxStates ends a search that grows beyond it, incomplete (0: no bound).
	MaxStates int
}

func (w *World) keeps() bool { return w.Switches.OldSlots == paxos.Kept }

func (w *World) below(a, b paxos.Ballot) bool {
	if w.Switches.Number == paxos.OneVote {
		return a.Round < b.Round || a.Round == b.Round && a.Node == 0 && b.Node != 0
	}
	return a.Less(b)
}

func (w *World) carries(k paxos.Kind) bool { return !slices.Contains(w.Without, k) }

// config: pre-prepare and check-quorum are off. Both only keep nodes from doing
// what the explorer orders - to raise a ballot, to go on leading - so without
// them there are more runs, not fewer. No election timeout runs out by itself.
func (w *World) config(node int) paxos.Config {
	c := paxos.Config{ID: paxos.NodeID(node + 1), Peers: []paxos.NodeID{1, 2, 3}, ElectionTicks: 1 << 20, HeartbeatTicks: 1,
		Window: 4, MaxMessageBytes: 1 << 10, LeaderDiskParallel: !w.DiskFirst, Switches: w.Switches}
	if w.PageBytes > 0 {
		c.MaxMessageBytes = w.PageBytes
	}
	if w.Window > 0 {
		c.Window = w.Window
	}
	if len(w.Founders) > 0 {
		c.Peers, c.Join = w.Founders, !slices.Contains(w.Founders, c.ID)
	}
	return c
}

// changes reports whether the members may change.
func (w *World) changes() bool { return len(w.Founders) > 0 }

// Worlds returns the published bounds: what `make explore` walks.
func Worlds() []World {
	silent := []paxos.Kind{paxos.MsgHeartbeat, paxos.MsgHeartbeatReply, paxos.MsgReject}
	two := World{Campaigns: [nodes]int{1, 0, 1}, Proposals: [nodes]int{1, 0, 1}, MaxProposals: 2, Slots: 1, Writes: 1, Without: silent}
	named := func(name string, change func(w *World)) World {
		w := two
		w.Name = name
		change(&w)
		return w
	}
	anyOnce := [nodes]int{1, 1, 1}
	return append(changing(named, silent), []World{
		// The smallest that has it all: two ballots, one slot, a crash of any node.
		named("small", func(w *World) { w.Crashes, w.MaxCrashes = anyOnce, 1 }),
		// Four ballots, one slot, with one more write under way.
		named("slow-disks", func(w *World) {
			w.Campaigns, w.Writes, w.Crashes, w.MaxCrashes = [nodes]int{2, 0, 2}, 2, [nodes]int{1, 0, 0}, 1
		}),
		// Every node is a candidate and hands in a value.
		named("three-candidates", func(w *World) {
			w.Campaigns, w.Proposals, w.MaxProposals, w.Slots = anyOnce, anyOnce, 3, 2
		}),
		// A leader with two slots in flight: holes, gaps, cumulative answers.
		named("pipeline", func(w *World) {
			w.Proposals, w.MaxProposals, w.Slots, w.Crashes, w.MaxCrashes = [nodes]int{1, 0, 2}, 3, 2, anyOnce, 1
		}),
		// One leader, three slots, so that a hole can lie between two of them.
		named("holes", func(w *World) {
			w.Campaigns, w.Proposals, w.MaxProposals, w.Slots = [nodes]int{0, 0, 1}, [nodes]int{0, 0, 3}, 3, 3
			w.Crashes, w.MaxCrashes = anyOnce, 1
		}),
		// Two in flight, Promises of one slot a page, and a crash between the pages.
		named("pages", func(w *World) {
			w.Proposals, w.MaxProposals, w.Slots, w.PageBytes, w.Crashes, w.MaxCrashes = [nodes]int{1, 0, 2}, 3, 2, 1, anyOnce, 1
		}),
		// Three ballots, so that of two reports the higher must win.
		named("reports", func(w *World) {
			w.Campaigns, w.Slots, w.Crashes, w.MaxCrashes = [nodes]int{2, 0, 1}, 2, [nodes]int{1, 0, 0}, 1
		}),
		// Refusals arrive; nothing can be forgotten then.
		named("rejects", func(w *World) { w.Without, w.Crashes, w.MaxCrashes = silent[:2], anyOnce, 1 }),
		// Leaders beat and repeat themselves, laggards catch up.
		named("ticks", func(w *World) {
			w.Without, w.Ticks, w.Crashes, w.MaxCrashes = silent[1:], anyOnce, [nodes]int{1, 0, 0}, 1
		}),
		// Raft mode: two terms, each leader's no-op, a value, a crash.
		named("raft", func(w *World) {
			w.Switches, w.Campaigns, w.Slots = paxos.RaftMode(), [nodes]int{1, 0, 1}, 3
			w.Proposals, w.MaxProposals, w.Crashes, w.MaxCrashes = [nodes]int{1, 0, 0}, 1, [nodes]int{1, 0, 0}, 1
		}),
		// Raft mode: three terms and a value, one entry a message, as in the paper's
		// figure 8. Followers hear of nothing chosen, which would only keep them apart.
		named("figure8", func(w *World) {
			w.Switches, w.Campaigns, w.Slots = paxos.RaftMode(), [nodes]int{2, 0, 1}, 4
			w.Proposals, w.MaxProposals, w.PageBytes = [nodes]int{1, 0, 0}, 1, 1
			w.Switches.Notice = paxos.NoticeHeartbeat
		}),
		// Four ballots in turn, two slots, a crash of any node at any time.
		named("leaders", func(w *World) {
			w.Campaigns, w.Slots, w.Crashes, w.MaxCrashes = [nodes]int{2, 0, 2}, 2, anyOnce, 1
		}),
	}...)
}

// changing returns the worlds in which the members change.
func changing(named func(name string, change func(w *World)) World, silent []paxos.Kind) []World {
	return []World{
		// One member is replaced, and another leads, across the boundary of alpha slots.
		named("replace", func(w *World) {
			w.Founders, w.Members, w.Changes, w.Window = []paxos.NodeID{1, 2}, paxos.Members{Voters: []paxos.NodeID{2, 3}}, [nodes]int{1, 0, 0}, 1
			w.Campaigns, w.Proposals, w.MaxProposals, w.Slots = [nodes]int{1, 2, 0}, [nodes]int{1, 1, 0}, 2, 3
			w.Crashes, w.MaxCrashes = [nodes]int{1, 1, 1}, 1
		}),
		// One node makes way for another. Heartbeats seal the change; the newcomer has to
		// ask for what it missed before it can lead, and no-ops fill the slots between.
		named("seal", func(w *World) {
			w.Founders, w.Members, w.Changes, w.Window = []paxos.NodeID{1}, paxos.Members{Voters: []paxos.NodeID{2}}, [nodes]int{1, 0, 0}, 2
			w.Campaigns, w.Proposals, w.MaxProposals, w.Slots = [nodes]int{1, 1, 0}, [nodes]int{0, 1, 0}, 1, 4
			w.Without, w.Ticks, w.Crashes, w.MaxCrashes = silent[2:], [nodes]int{2, 1, 0}, [nodes]int{1, 1, 0}, 1
		}),
		// All of one member's power goes to two others.
		named("take-over", func(w *World) {
			w.Founders, w.Members, w.Changes, w.Window = []paxos.NodeID{1}, paxos.Members{Voters: []paxos.NodeID{2, 3}}, [nodes]int{1, 0, 0}, 1
			w.Campaigns, w.Proposals, w.MaxProposals, w.Slots = [nodes]int{1, 1, 0}, [nodes]int{1, 1, 0}, 2, 3
			w.Ticks, w.Crashes, w.MaxCrashes = [nodes]int{0, 1, 0}, [nodes]int{1, 1, 0}, 1
		}),
	}
}

// WorldNamed returns the published world of that name. With ":agreement" behind
// it, only two different values in one slot are a violation.
func WorldNamed(name string) (World, bool) {
	name, only := strings.CutSuffix(name, ":agreement")
	for _, w := range Worlds() {
		if w.Name == name {
			w.AgreementOnly = only
			return w, true
		}
	}
	return World{}, false
}
