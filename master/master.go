package master

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"gfslab/api"
	"gfslab/consensus"
	"gfslab/master/meta/metapb"
	"gfslab/master/pathlock"
)

// Master is one replica of the GFS master. It implements api.MasterServer; all
// methods may be called from any goroutine.
type Master struct {
	api.UnimplementedMasterServer

	o       Options
	machine *Machine
	replica consensus.Replica
	servers *chunkservers
	leases  *leases
	upkeep  *replication
	paths   pathlock.Table
	contact contact

	closing   context.Context // done when Close begins
	close     context.CancelFunc
	wg        sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

var _ api.MasterServer = (*Master)(nil)

// New opens the replica and starts a master over it.
func New(o Options) (*Master, error) {
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	machine := NewMachine(o.OnApply, o.OnRestore)
	replica, err := o.Open(machine)
	if err != nil {
		return nil, err
	}
	m := &Master{o: o, machine: machine, replica: replica}
	m.closing, m.close = context.WithCancel(context.Background())
	m.servers = newChunkservers(o)
	m.leases = newLeases(o)
	m.upkeep = newReplication(o)
	m.contact.last = o.Now()
	for _, background := range []func(){m.sweep, m.watch, m.purge, m.replicate} {
		m.wg.Go(background)
	}
	return m, nil
}

// Replica returns the replica, for its status and counters. The master owns it.
func (m *Master) Replica() consensus.Replica { return m.replica }

// Machine returns the state machine.
func (m *Master) Machine() *Machine { return m.machine }

// Close stops the background work, closes the replica and the connections to
// chunkservers. Calls in progress end with errors. It is idempotent.
func (m *Master) Close() error {
	m.closeOnce.Do(func() {
		m.close()
		m.leases.close()
		m.closeErr = m.replica.Close()
		m.wg.Wait()
		m.closeErr = errors.Join(m.closeErr, m.servers.close())
	})
	return m.closeErr
}

// propose stamps and proposes a command and decodes its reply.
func (m *Master) propose(ctx context.Context, cmd *metapb.Command) (*metapb.Reply, error) {
	cmd.StampNs = m.o.Now().UnixNano()
	raw, err := proto.Marshal(cmd)
	if err != nil {
		return nil, errors.Join(consensus.ErrDropped, err)
	}
	result, err := m.replica.Propose(ctx, raw)
	if err != nil {
		return nil, err
	}
	reply := new(metapb.Reply)
	if err := proto.Unmarshal(result.Value, reply); err != nil {
		return nil, errors.Join(consensus.ErrUnknown, err) // done, but no one can say what
	}
	return reply, nil
}

// term is the leadership epoch that goes into replies.
func (m *Master) term() uint64 {
	if r, ok := m.replica.(consensus.TermReader); ok {
		return r.Term()
	}
	return m.replica.Status().Term
}

// place is the position of a read in the log.
func (m *Master) place(at seen, term uint64) *api.Position {
	return &api.Position{Index: at.index, Offset: at.commands, Term: term, Members: m.o.Directory.Index()}
}

// scaled returns a duration scaled by a clock error.
func scaled(d time.Duration, factor float64) time.Duration {
	return time.Duration(float64(d) * factor)
}
