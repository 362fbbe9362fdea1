package master

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gfslab/api"
	"gfslab/consensus"
	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

// job is what is to be done about one chunk, with places on the chunkservers of a
// clone reserved.
type job struct {
	handle uint64
	// target gets a clone, "" if none is needed; sources are who has the chunk, the
	// first one reserved.
	target  string
	sources []string
	// drop is a member that the clone takes the place of; "" if none.
	drop string
	// begun is when it was decided.
	begun time.Time
	urgency
}

// Waits before a task is tried again.
const (
	noTargetWait = time.Second
	noSourceWait = 100 * time.Millisecond // until the next reports
	failureWait  = 500 * time.Millisecond // doubled with each failure
	failureMost  = 30 * time.Second
	// blockedMost bounds how many tasks a round passes over because chunkservers
	// are busy.
	blockedMost = 64
)

// dispatch starts work on the most urgent chunks, as far as there is room.
func (m *Master) dispatch(term uint64) {
	r := m.upkeep
	var blocked []*task
	for len(blocked) < blockedMost {
		now := m.o.Now()
		r.mu.Lock()
		if r.term != term || !r.warm || r.running >= m.o.CloneTotal {
			r.mu.Unlock()
			break
		}
		t := r.queue.take(now)
		if t == nil {
			r.mu.Unlock()
			break
		}
		r.running++
		j := job{handle: t.handle, urgency: t.urgency, begun: now}
		r.mu.Unlock()
		wait, ready := m.prepareJob(term, &j)
		filed := j.live <= t.live // as urgent as it was filed
		if ready && filed && m.start(func() { m.mend(term, t, j) }) {
			continue
		}
		if ready {
			m.servers.release(&j)
		}
		r.mu.Lock()
		r.running--
		switch {
		case r.term != term:
		case ready && !filed:
			t.live = j.live
			r.queue.giveBack(t, now, 0)
		case wait > 0:
			r.queue.giveBack(t, now, wait)
		case wait == 0:
			blocked = append(blocked, t)
		default:
			r.queue.drop(t.handle)
		}
		r.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range blocked {
		if r.term == term {
			r.queue.giveBack(t, m.o.Now(), 0)
		}
	}
}

// start runs work in a goroutine unless the master closes.
func (m *Master) start(work func()) bool {
	m.leases.mu.Lock()
	defer m.leases.mu.Unlock()
	if m.leases.closed {
		return false
	}
	m.wg.Add(1)
	go func() {
		defer m.wg.Done()
		work()
	}()
	return true
}

// prepareJob reserves what the chunk's work needs. If it is not ready, wait says
// after how long it may be: 0 once a chunkserver is less busy, below 0 never.
func (m *Master) prepareJob(term uint64, j *job) (wait time.Duration, ready bool) {
	c, code, _ := m.machine.chunk(j.handle)
	if code != meta.OK {
		return -1, false
	}
	if m.o.LeaseWait && c.Epoch != 0 && m.servers.silent(c.Primary) {
		// Nobody can be asked to end the lease: it has to run out first, and others
		// need not wait for that.
		over, ok := m.leases.end(term, c)
		if left := over.Sub(m.o.Now()); !ok || !over.IsZero() && left > 0 {
			return max(left, time.Millisecond), false
		}
	}
	now := m.o.Now()
	m.servers.mu.Lock()
	defer m.servers.mu.Unlock()
	v := m.servers.judge(&c, m.goal(&c), now)
	j.live = len(v.current)
	switch {
	case v.under():
		wait, ready = m.servers.reserve(j, &c, &v, now)
		return wait, ready || v.repairable()
	case v.repairable() || v.over():
		return 0, true
	}
	return -1, false
}

// mend works at one chunk, and judges it anew.
func (m *Master) mend(term uint64, t *task, j job) {
	ctx, cancel := context.WithTimeout(m.closing, m.o.CloneTimeout+m.throttled(&j))
	defer cancel()
	err := m.work(ctx, term, &j)
	m.servers.release(&j)
	m.look(j.handle) // first: the task goes back with its new urgency
	now := m.o.Now()
	r := m.upkeep
	r.mu.Lock()
	r.running--
	if t != nil && r.term == term {
		var wait time.Duration
		if err != nil {
			wait = min(failureWait<<min(t.failures, 10), failureMost)
			t.failures++
		} else {
			t.failures = 0
		}
		r.queue.giveBack(t, now, wait)
	}
	r.mu.Unlock()
	if err != nil && m.closing.Err() == nil {
		m.o.Logger.Debug("work on a chunk's replicas failed", "handle", j.handle, "target", j.target, "error", err)
	}
	r.kick()
}

// throttled is how long a clone takes at least because it is throttled.
func (m *Master) throttled(j *job) time.Duration {
	c, code, _ := m.machine.chunk(j.handle)
	if j.target == "" || code != meta.OK || m.o.CloneBytesPerSecond == 0 {
		return 0
	}
	return time.Duration(m.servers.length(&c) * uint64(time.Second) / m.cloneRate())
}

// cloneRate is how many bytes a second one clone may take; 0 for any.
func (m *Master) cloneRate() uint64 {
	if m.o.CloneBytesPerSecond == 0 {
		return 0
	}
	return max(m.o.CloneBytesPerSecond/uint64(m.o.CloneLimit), 1)
}

// work does what the chunk needs now. It holds the chunk: no lease is live, and
// none is granted before it is done.
func (m *Master) work(ctx context.Context, term uint64, j *job) error {
	release, err := m.hold(ctx, term, j.handle)
	if err != nil {
		return err
	}
	defer release()
	c, v, found := m.judged(j.handle)
	if !found {
		return nil
	}
	if v.repairable() {
		for _, name := range v.corrupt {
			if err := m.dropMember(ctx, term, &c, name, "corrupt"); err != nil {
				return err
			}
		}
		if c, v, found = m.judged(j.handle); !found {
			return nil
		}
	}
	if j.target != "" && (v.under() || j.drop != "") {
		if err := m.clone(ctx, term, c, j); err != nil {
			m.failed(term, &c, j, err)
			return err
		}
		if c, v, found = m.judged(j.handle); !found {
			return nil
		}
	}
	if !v.over() {
		return nil
	}
	victim := j.drop
	if victim == "" || !slices.Contains(c.Members, victim) {
		victim = m.servers.superfluous(&v)
	}
	return m.dropMember(ctx, term, &c, victim, "too many")
}

// judged looks the chunk up and judges it.
func (m *Master) judged(handle uint64) (c meta.Chunk, v verdict, found bool) {
	c, code, _ := m.machine.chunk(handle)
	if code != meta.OK {
		return c, v, false
	}
	m.servers.mu.Lock()
	defer m.servers.mu.Unlock()
	return c, m.servers.judge(&c, m.goal(&c), m.o.Now()), true
}

// clone has the target fetch the chunk and makes it a member. The chunk is held.
func (m *Master) clone(ctx context.Context, term uint64, c meta.Chunk, j *job) error {
	client, err := m.servers.client(j.target)
	if err != nil {
		return err
	}
	addresses := m.servers.addresses(j.sources)
	request := &api.CloneRequest{
		Handle: c.Handle, Version: c.Version, VoidVersion: voidVersion(&c), Term: term, Kind: api.ChunkKind(c.Kind), BytesPerSecond: m.cloneRate(),
	}
	for _, name := range j.sources {
		if !slices.Contains(c.Members, name) {
			continue // it lost its membership when the lease was ended
		}
		request.Sources = append(request.Sources, addresses[name])
	}
	e := m.event(term, &c, j, "clone")
	m.o.OnReplication(e)
	calling, done := m.attend(ctx, term, j.target)
	reply, err := client.Clone(calling, request)
	done()
	switch {
	case err != nil:
		return err
	case reply.Code != api.Code_OK:
		return fmt.Errorf("the target answers %v: %s", reply.Code, reply.Reason)
	}
	added, err := m.proposeIn(ctx, term, &metapb.Command{Op: &metapb.Command_AddMember{AddMember: &metapb.AddMemberOp{
		Handle: c.Handle, Version: c.Version, Server: j.target,
	}}})
	if err != nil {
		return err
	}
	if code := meta.Code(added.Code); code != meta.OK && code != meta.Exists {
		return fmt.Errorf("the clone is no member: %v", api.Code(code))
	}
	m.servers.cloned(j.target, c.Handle, c.Version, reply.Bytes)
	m.upkeep.count(func(s *ReplicationStats) { s.ClonedChunks++; s.ClonedBytes += reply.Bytes })
	e.At, e.Kind, e.Bytes = m.o.Now(), "cloned", reply.Bytes
	m.o.OnReplication(e)
	return nil
}

// voidVersion is the highest version that came to nothing: with neither a lease nor
// an intent in the state, no version that was reserved above the chunk's own can be
// granted any more, whoever leads, since every intent reserves another one. It is 0
// if there is none, or if that is not certain.
func voidVersion(c *meta.Chunk) uint64 {
	if c.Epoch != 0 || c.Intent != 0 || c.Reserved <= c.Version {
		return 0
	}
	return c.Reserved
}

// dropMember takes a replica out of the current ones. The chunk is held.
func (m *Master) dropMember(ctx context.Context, term uint64, c *meta.Chunk, server, reason string) error {
	if server == "" {
		return nil
	}
	reply, err := m.proposeIn(ctx, term, &metapb.Command{Op: &metapb.Command_RemoveMember{RemoveMember: &metapb.RemoveMemberOp{
		Handle: c.Handle, Version: c.Version, Server: server,
	}}})
	if err != nil {
		return err
	}
	if code := meta.Code(reply.Code); code != meta.OK {
		return fmt.Errorf("%s stays a member: %v", server, api.Code(code))
	}
	m.upkeep.count(func(s *ReplicationStats) { s.DroppedMembers++ })
	e := m.event(term, c, &job{}, "dropped")
	e.Server, e.Reason = server, reason
	m.o.OnReplication(e)
	return nil
}

// proposeIn proposes a command of the master's own while it still leads in term.
// The commands check in the log what they rest on.
func (m *Master) proposeIn(ctx context.Context, term uint64, cmd *metapb.Command) (*metapb.Reply, error) {
	if st := m.replica.Status(); !isLeader(st) || st.Term != term {
		return nil, &consensus.NotLeaderError{Hint: st.Leader}
	}
	return m.propose(ctx, cmd)
}

func (m *Master) failed(term uint64, c *meta.Chunk, j *job, err error) {
	m.upkeep.count(func(s *ReplicationStats) { s.FailedClones++ })
	e := m.event(term, c, j, "failed")
	e.Reason = err.Error()
	m.o.OnReplication(e)
}

func (m *Master) event(term uint64, c *meta.Chunk, j *job, kind string) ReplicationEvent {
	e := ReplicationEvent{
		At: m.o.Now(), Begun: j.begun, Term: term, Kind: kind, Handle: c.Handle, Version: c.Version, Server: j.target,
		Live: j.live, Goal: m.goal(c), Wanted: j.wanted, Hidden: j.hidden,
	}
	if len(j.sources) > 0 {
		e.Source = j.sources[0]
	}
	return e
}
