package multipaxos

import (
	"errors"
	"fmt"
	"strconv"

	"gfslab/consensus"
	"gfslab/paxos"
)

// names maps the names of a switch's positions to the core's; the first is also
// that of "".
type names[T any] []struct {
	name string
	is   T
}

var (
	eligibilities = names[paxos.Eligibility]{{"any", paxos.AnyNode}, {"up-to-date", paxos.UpToDate}}
	numbers       = names[paxos.Number]{{"partitioned", paxos.Partitioned}, {"vote", paxos.OneVote}}
	oldSlots      = names[paxos.OldSlots]{{"re-propose", paxos.Reproposed}, {"keep", paxos.Kept}}
	acceptances   = names[paxos.Acceptance]{{"any", paxos.AnyOrder}, {"contiguous", paxos.Contiguous}}
	notices       = names[paxos.NoticeMode]{{"idle", paxos.NoticeIdle}, {"eager", paxos.NoticeEager},
		{"piggyback", paxos.NoticePiggyback}, {"heartbeat", paxos.NoticeHeartbeat}}
	catchUps = names[paxos.CatchUpMode]{{"any", paxos.FromAny}, {"leader", paxos.FromLeader}}
)

// parse returns the position of that name.
func (ns names[T]) parse(key, name string) (T, error) {
	if name == "" {
		return ns[0].is, nil
	}
	want := ""
	for _, n := range ns {
		if n.name == name {
			return n.is, nil
		}
		want += fmt.Sprintf(" %q", n.name)
	}
	return ns[0].is, fmt.Errorf("multipaxos: switches.%s is %q; it must be one of%s", key, name, want)
}

// switches translates s, or says which names it does not know.
func switches(s consensus.Switches) (paxos.Switches, error) {
	var errs [6]error
	var out paxos.Switches
	out.Eligibility, errs[0] = eligibilities.parse("eligibility", s.Eligibility)
	out.Number, errs[3] = numbers.parse("number", s.Number)
	out.OldSlots, errs[4] = oldSlots.parse("old_slots", s.OldSlots)
	out.Acceptance, errs[5] = acceptances.parse("acceptance", s.Acceptance)
	out.Notice, errs[1] = notices.parse("notice", s.Notice)
	out.CatchUp, errs[2] = catchUps.parse("catch_up", s.CatchUp)
	return out, errors.Join(errs[:]...)
}

// effectiveSwitches says what each switch and quorum is set to.
func effectiveSwitches(l consensus.Limits) map[string]string {
	s := l.Switches
	or := func(name, otherwise string) string {
		if name == "" {
			return otherwise
		}
		return name
	}
	quorum := func(size int) string {
		if size == 0 {
			return "majority"
		}
		return strconv.Itoa(size)
	}
	return map[string]string{
		"switch_eligibility": or(s.Eligibility, eligibilities[0].name),
		"switch_number":      or(s.Number, numbers[0].name),
		"switch_old_slots":   or(s.OldSlots, oldSlots[0].name),
		"switch_acceptance":  or(s.Acceptance, acceptances[0].name),
		"switch_notice":      or(s.Notice, notices[0].name),
		"switch_catch_up":    or(s.CatchUp, catchUps[0].name),
		"phase1_quorum":      quorum(l.Phase1Quorum),
		"phase2_quorum":      quorum(l.Phase2Quorum),
	}
}
