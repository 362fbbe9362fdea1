package master

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"gfslab/api"
	"gfslab/consensus"
	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

// grantAttempts bounds how often one flight begins again after the state changed
// under it or a chosen primary did not answer.
const grantAttempts = 3

// grant gives the chunk a primary. The reply is nil if a live lease turned up, or
// no chunk. An error is Unknown (see consensus.OutcomeOf) once anything that
// others can see has been logged; the caller maps it.
func (m *Master) grant(ctx context.Context, term, handle uint64) (*api.ChunkReply, error) {
	var silent []string // primaries that did not answer their activation
	visible := false    // an end or a grant is in the log
	fail := func(err error) (*api.ChunkReply, error) {
		if visible && consensus.OutcomeOf(err) != consensus.Unknown {
			err = fmt.Errorf("%w: a step of the grant was logged, then: %v", consensus.ErrUnknown, err)
		}
		return nil, err
	}
	for range grantAttempts {
		c, code, _ := m.machine.chunk(handle)
		if code != meta.OK {
			return nil, nil
		}
		if c.Epoch != 0 {
			if !m.leases.known(term, c) {
				m.reactivate(ctx, term, c)
			}
			if m.holds(term, c) {
				return nil, nil
			}
			if m.restarted(term, c) {
				m.stopped(term, c)
			}
			if !m.o.LeaseWait {
				if !m.fence(term, c) {
					return fail(&consensus.NotLeaderError{})
				}
			} else {
				if err := m.endWhenOver(ctx, term, c); err != nil {
					return fail(err)
				}
				visible = true
				if c, code, _ = m.machine.chunk(handle); code != meta.OK || c.Epoch != 0 {
					continue
				}
			}
		}
		try, err := m.grantOnce(ctx, term, c, silent)
		visible = visible || try.logged
		switch {
		case err != nil:
			return fail(err)
		case try.reply != nil:
			return try.reply, nil
		case try.refused != meta.OK:
			return m.refusal(term, handle, try.refused), nil
		case try.silent != "":
			silent = append(silent, try.silent)
		}
	}
	return m.refusal(term, handle, meta.NoChunkserver), nil
}

// fence stops claims of a lease that the next grant is to replace. It is false if
// the term is over.
func (m *Master) fence(term uint64, c meta.Chunk) bool {
	over, ok := m.leases.end(term, c)
	if ok {
		m.observe("fence", term, c.Handle, c.Version, c.Epoch, c.Primary, over)
	}
	return ok
}

// attempt is how far one try of a grant came. With no field set, the state had
// changed and the grant should be tried anew.
type attempt struct {
	reply   *api.ChunkReply // granted, and the primary knows
	silent  string          // granted, but this primary did not answer
	refused meta.Code       // no chunkserver could be had, or the chunk is not for granting
	logged  bool            // a GrantActive is, or may be, in the log
}

// grantOnce runs intent, prepare, active, activate for a chunk without a lease.
func (m *Master) grantOnce(ctx context.Context, term uint64, c meta.Chunk, silent []string) (attempt, error) {
	replicas, err := m.grantees(ctx, c)
	if err != nil || len(replicas) == 0 {
		return attempt{refused: meta.NoChunkserver}, err
	}
	intent, err := m.propose(ctx, &metapb.Command{Op: &metapb.Command_GrantIntent{GrantIntent: &metapb.GrantIntentOp{
		Handle: c.Handle, ExpectVersion: c.Version, Replicas: replicas, Fences: c.Epoch,
	}}})
	if err != nil {
		return attempt{}, err
	}
	if code := meta.Code(intent.Code); code != meta.OK {
		return attempt{refused: final(code)}, nil
	}
	m.observe("intent", term, c.Handle, intent.Version, 0, "", time.Time{})
	acked := m.prepare(ctx, &api.GrantRequest{
		Handle: c.Handle, Version: intent.Version, Term: term, Replicas: replicas, Addresses: m.servers.addresses(replicas),
		Kind: api.ChunkKind(c.Kind), Strict: m.o.Strict, Existing: len(c.Members) > 0,
	})
	primary := m.choosePrimary(acked, silent)
	if primary == "" {
		if st := m.replica.Status(); !isLeader(st) || st.Term != term {
			return attempt{}, &consensus.NotLeaderError{Hint: st.Leader} // they may refuse because of that
		}
		return attempt{refused: meta.NoChunkserver}, ctx.Err()
	}
	m.servers.acked(acked, c.Handle, intent.Version)
	active, err := m.propose(ctx, &metapb.Command{Op: &metapb.Command_GrantActive{GrantActive: &metapb.GrantActiveOp{
		Handle: c.Handle, IntentIndex: intent.Index, Primary: primary, Acked: acked,
	}}})
	if err != nil || meta.Code(active.Code) != meta.OK {
		return attempt{}, err
	}
	m.leases.granted(term, c.Handle, active.Epoch)
	m.observe("active", term, c.Handle, active.Version, active.Epoch, primary, time.Time{})

	now := c
	now.Version, now.Members, now.Epoch, now.Primary, now.Intent = active.Version, acked, active.Epoch, primary, 0
	if ok, _ := m.activate(ctx, term, now); !ok {
		m.leases.unanswered(term, now)
		return attempt{silent: primary, logged: true}, nil
	}
	reply := m.chunkReply(now, meta.OK, &api.Position{Index: active.Index, Offset: active.Offset, Term: term})
	reply.Granted = true
	return attempt{reply: reply, logged: true}, nil
}

// final returns the code if no further try of a grant can help, else OK.
func final(code meta.Code) meta.Code {
	if code == meta.Shared || code == meta.Sealed {
		return code
	}
	return meta.OK
}

// refusal says why no lease could be granted, as of now.
func (m *Master) refusal(term, handle uint64, why meta.Code) *api.ChunkReply {
	c, code, at := m.machine.chunk(handle)
	if code == meta.OK {
		code = why
	}
	return m.chunkReply(c, code, m.place(at, term))
}

// grantees are the chunkservers to which a lease on the chunk can be granted:
// its living members, or a new placement if it never had any.
func (m *Master) grantees(ctx context.Context, c meta.Chunk) ([]string, error) {
	if len(c.Members) == 0 {
		return m.servers.place(ctx, m.goal(&c))
	}
	names, err := m.servers.living(ctx, c.Members)
	return m.servers.withoutCorrupt(c.Handle, names), err
}

// prepare tells all replicas of the grant in parallel and returns those that
// made it durable, in the order of the request.
func (m *Master) prepare(ctx context.Context, request *api.GrantRequest) []string {
	ok := make([]bool, len(request.Replicas))
	var wg sync.WaitGroup
	for i, name := range request.Replicas {
		wg.Go(func() {
			ok[i] = m.call(ctx, name, request, api.ChunkserverClient.PrepareGrant)
		})
	}
	wg.Wait()
	acked := make([]string, 0, len(ok))
	for i, name := range request.Replicas {
		if ok[i] {
			acked = append(acked, name)
		}
	}
	return acked
}

// choosePrimary picks one of the names at random, but none that was silent
// before.
func (m *Master) choosePrimary(names, silent []string) string {
	candidates := make([]string, 0, len(names))
	for _, name := range names {
		if !slices.Contains(silent, name) {
			candidates = append(candidates, name)
		}
	}
	return m.servers.choose(candidates)
}

// activate tells the primary that its grant is in the log.
func (m *Master) activate(ctx context.Context, term uint64, c meta.Chunk) (ok, answered bool) {
	ok, answered = m.ask(ctx, c.Primary, m.request(term, c), api.ChunkserverClient.ActivateGrant)
	if ok {
		m.observe("activate", term, c.Handle, c.Version, c.Epoch, c.Primary, time.Time{})
	}
	return ok, answered
}

// reactivate tells the primary of an inherited lease of its grant once more: the
// last leader may have died between logging it and telling. A primary that does not
// answer may act: its lease counts as live from the own-term barrier. One that
// refuses, as a chunkserver does that has restarted, is asked to stop, and its word
// ends the lease at once.
func (m *Master) reactivate(ctx context.Context, term uint64, c meta.Chunk) {
	ok, answered := m.activate(ctx, term, c)
	m.leases.adopt(term, c, answered)
	if !ok && answered && m.call(ctx, c.Primary, m.request(term, c), api.ChunkserverClient.EndLease) {
		m.stopped(term, c)
	}
}

// askAgain reactivates an inherited lease whose primary did not answer when it was
// to be told, but is heard of: a leader that began before its chunkservers reported
// could not reach it. Nobody waits for it.
func (m *Master) askAgain(term uint64, c meta.Chunk) {
	if m.leases.untold(term, c) && !m.servers.silent(c.Primary) {
		m.begin(c.Handle, granting, func(ctx context.Context) (*api.ChunkReply, error) {
			m.reactivate(ctx, term, c)
			return nil, nil
		})
	}
}

// stopped notes that the primary of an active lease does not act on it any more.
func (m *Master) stopped(term uint64, c meta.Chunk) {
	if over, ok := m.leases.end(term, c); ok {
		m.observe("ending", term, c.Handle, c.Version, c.Epoch, c.Primary, over)
		m.leases.acknowledged(term, c)
		m.observe("revoke", term, c.Handle, c.Version, c.Epoch, c.Primary, time.Time{})
	}
}

// request describes an active grant to its primary.
func (m *Master) request(term uint64, c meta.Chunk) *api.GrantRequest {
	return &api.GrantRequest{
		Handle: c.Handle, Version: c.Version, Epoch: c.Epoch, Term: term,
		Primary: c.Primary, Replicas: c.Members, Addresses: m.servers.addresses(c.Members),
		Kind: api.ChunkKind(c.Kind), Strict: m.o.Strict,
	}
}

// endWhenOver ends an active lease as soon as it has surely run out.
func (m *Master) endWhenOver(ctx context.Context, term uint64, c meta.Chunk) error {
	over, ok := m.leases.end(term, c)
	if !ok {
		return &consensus.NotLeaderError{}
	}
	m.observe("ending", term, c.Handle, c.Version, c.Epoch, c.Primary, over)
	if err := m.waitUntil(ctx, over); err != nil {
		return err
	}
	_, err := m.logEnd(ctx, term, c)
	return err
}

// patience is how long a revocation waits for a primary that does not answer.
// Where versions do not fence, it is for ever, that is until the lease has surely
// run out.
type patience uint8

const (
	askOnce  patience = iota + 1 // one call
	askAlive                     // until the primary counts as dead
	askEver
)

// revoke ends an active lease before its time, on the primary's word, or when it
// has run out. If it loses patience, the reply says LEASE_HELD, no claim is granted
// any more, and the next grant fences the lease. The reply is nil if there was none
// to end.
func (m *Master) revoke(ctx context.Context, term, handle uint64, p patience) (*api.ChunkReply, error) {
	c, _, _ := m.machine.chunk(handle) // also of a deleted file
	if c.Epoch == 0 {
		return nil, nil
	}
	over, ok := m.leases.end(term, c)
	if !ok {
		return nil, &consensus.NotLeaderError{}
	}
	m.observe("ending", term, c.Handle, c.Version, c.Epoch, c.Primary, over)
	if m.o.LeaseWait {
		p = askEver
	}
	for m.o.Now().Before(over) {
		if m.askToEnd(ctx, term, c, over) {
			m.leases.acknowledged(term, c)
			m.observe("revoke", term, c.Handle, c.Version, c.Epoch, c.Primary, time.Time{})
			break
		}
		if m.o.Now().Before(over) && (p == askOnce || p == askAlive && m.servers.silent(c.Primary)) {
			return m.refusal(term, handle, meta.LeaseHeld), ctx.Err()
		}
		again := m.o.Now().Add(m.o.CallTimeout / 2)
		if again.After(over) {
			again = over
		}
		if err := m.waitUntil(ctx, again); err != nil {
			return nil, err
		}
	}
	ended, err := m.logEnd(ctx, term, c)
	if err != nil {
		return nil, err
	}
	if _, code, _ := m.machine.chunk(handle); code != meta.OK || meta.Code(ended.Code) != meta.OK {
		return nil, nil // deleted, or ended by another leader
	}
	c.Epoch, c.Primary = 0, ""
	return m.chunkReply(c, meta.OK, &api.Position{Index: ended.Index, Offset: ended.Offset, Term: term}), nil
}

// askToEnd asks the primary to stop; not for longer than until the lease is over.
func (m *Master) askToEnd(ctx context.Context, term uint64, c meta.Chunk, over time.Time) bool {
	ctx, cancel := context.WithTimeout(ctx, over.Sub(m.o.Now()))
	defer cancel()
	return m.call(ctx, c.Primary, m.request(term, c), api.ChunkserverClient.EndLease)
}

// logEnd puts the end of a lease that is over into the log. The term must still
// be the one in which it was judged to be over.
func (m *Master) logEnd(ctx context.Context, term uint64, c meta.Chunk) (*metapb.Reply, error) {
	if st := m.replica.Status(); !isLeader(st) || st.Term != term {
		return nil, &consensus.NotLeaderError{Hint: st.Leader}
	}
	reply, err := m.propose(ctx, &metapb.Command{Op: &metapb.Command_LeaseEnd{LeaseEnd: &metapb.LeaseEndOp{
		Handle: c.Handle, Epoch: c.Epoch,
	}}})
	if err != nil {
		return nil, err
	}
	m.leases.forget(term, c)
	m.observe("end", term, c.Handle, c.Version, c.Epoch, c.Primary, time.Time{})
	return reply, nil
}
