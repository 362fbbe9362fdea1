package paxostest

import (
	"fmt"

	"gfslab/paxos"
)

// show makes a value readable.
func show(value []byte) string {
	if len(value) == 0 {
		return "no-op"
	}
	if m, sealed, ok := paxos.ReadChange(value); ok && sealed != 0 {
		return fmt.Sprintf("seal-of-%d", sealed)
	} else if ok {
		return fmt.Sprintf("members%v+%v", m.Voters, m.Learners)
	}
	return string(value)
}

// describe writes a message as transcripts and traces show it.
func describe(m paxos.Message) string {
	line := fmt.Sprintf("%d->%d %v %v", m.From, m.To, m.Kind, m.Ballot)
	if m.Lo != 0 {
		line += fmt.Sprintf(" %d-%d", m.Lo, m.Hi)
	}
	if m.Kind == paxos.MsgReject {
		line += fmt.Sprintf(" promised %v", m.Promised)
		if m.Leader != 0 {
			line += fmt.Sprintf(" leader %d", m.Leader)
		}
	}
	if m.Time != 0 && m.Kind == paxos.MsgHeartbeatReply {
		line += " grants"
	}
	if m.Settled != 0 {
		line += fmt.Sprintf(" settled %d", m.Settled)
	}
	if m.Tip.Slot != 0 {
		line += fmt.Sprintf(" after %d@%v", m.Tip.Slot, m.Tip.Ballot)
	}
	for _, e := range m.Entries {
		line += fmt.Sprintf(" %d=%s@%v", e.Slot, show(e.Value), e.Ballot)
	}
	if m.Kind == paxos.MsgPromise && !m.Done {
		line += " more"
	}
	return fmt.Sprintf("%s (chosen %d)", line, m.Chosen)
}
