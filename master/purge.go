package master

import (
	"context"
	"time"

	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

const (
	// purgeEvery is how often a leader looks for hidden files that are due.
	purgeEvery = 250 * time.Millisecond
	// purgeEntries bounds what one command removes, so that applying it holds
	// nothing up; purgeRounds bounds the commands of one look.
	purgeEntries = 1000
	purgeRounds  = 64
)

// purge removes what was deleted and whose retention is over, command by command,
// while this replica leads. What is due is decided when the command is applied, by
// the state's time; the clock here only says when it is worth proposing one.
func (m *Master) purge() {
	ticker := time.NewTicker(purgeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-m.closing.Done():
			return
		case <-ticker.C:
		}
		if m.due() && isLeader(m.replica.Status()) {
			m.purgeDue()
		}
	}
}

func (m *Master) due() (due bool) {
	now := m.o.Now().UnixNano()
	m.machine.view(func(s *meta.State) { due = s.Due(now) })
	return due
}

func (m *Master) purgeDue() {
	ctx, cancel := context.WithTimeout(m.closing, purgeRounds*m.o.CallTimeout)
	defer cancel()
	// What an earlier leader removed is applied then.
	if _, err := m.authority(ctx); err != nil {
		return
	}
	for range purgeRounds {
		if !m.due() {
			return
		}
		reply, err := m.propose(ctx, &metapb.Command{Op: &metapb.Command_Purge{Purge: &metapb.PurgeOp{Limit: purgeEntries}}})
		if err != nil || meta.Code(reply.Code) != meta.OK {
			m.o.Logger.Debug("purging failed", "reply", reply, "error", err)
			return
		}
	}
}
