package partial

import (
	"fmt"

	"gfslab/consensus"
	"gfslab/internal/node"
)

// Mode is a backend with its settings.
type Mode struct {
	Backend string `json:"backend"`
	// Name says what differs from the others of the backend.
	Name        string `json:"mode"`
	PreVote     bool   `json:"pre_vote"`
	CheckQuorum bool   `json:"check_quorum"`
	// AnyCandidate: a node may lead whose log is behind.
	AnyCandidate bool               `json:"any_candidate"`
	Switches     consensus.Switches `json:"switches"`
}

// Limits are what a replica of the mode is opened with: matched-3, with the mode's
// own part.
func (m Mode) Limits() consensus.Limits {
	l := consensus.Matched3()
	l.PreVote, l.CheckQuorum, l.Switches = m.PreVote, m.CheckQuorum, m.Switches
	return l
}

func (m Mode) String() string { return m.Backend + " " + m.Name }

// Modes returns all: for each backend PreVote x CheckQuorum as far as it has them,
// for our own core the switches too.
func Modes() []Mode {
	var all []Mode
	votes := []struct {
		name                 string
		preVote, checkQuorum bool
	}{{"pv+cq", true, true}, {"pv", true, false}, {"cq", false, true}, {"plain", false, false}}
	upToDate := consensus.Switches{Eligibility: "up-to-date"}
	leaderOnly := consensus.Switches{CatchUp: "leader"}
	both := consensus.Switches{Eligibility: "up-to-date", CatchUp: "leader"}
	raftAny := consensus.RaftMode()
	raftAny.CatchUp = "any"
	for _, own := range []struct {
		name     string
		switches consensus.Switches
		votes    int // how many of votes
	}{
		{"paxos", consensus.Switches{}, 4},
		{"E", upToDate, 1},
		{"G", leaderOnly, 1},
		{"E G", both, 1},
		{"T", consensus.Switches{Number: "vote"}, 1},
		{"raft G=any", raftAny, 1},
		{"raft", consensus.RaftMode(), 4},
	} {
		for _, v := range votes[:own.votes] {
			all = append(all, Mode{Backend: node.MultiPaxos, Name: own.name + " " + v.name, PreVote: v.preVote, CheckQuorum: v.checkQuorum,
				AnyCandidate: own.switches.Eligibility == "", Switches: own.switches})
		}
	}
	for _, v := range votes {
		all = append(all, Mode{Backend: node.EtcdRaft, Name: v.name, PreVote: v.preVote, CheckQuorum: v.checkQuorum})
	}
	// Its leader always checks its quorum (LeaderLeaseTimeout).
	for _, v := range []string{"pv+cq", "cq"} {
		all = append(all, Mode{Backend: node.HashiRaft, Name: v, PreVote: v == "pv+cq", CheckQuorum: true})
	}
	return all
}

// ModeNamed returns the mode that prints as name.
func ModeNamed(name string) (Mode, error) {
	for _, m := range Modes() {
		if m.String() == name {
			return m, nil
		}
	}
	return Mode{}, fmt.Errorf("partial: no mode is called %q", name)
}
