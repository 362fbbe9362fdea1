package scale

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

// fillers is how many commands are on their way at a time: as many as fill
// batches, so that loading is not waiting.
const fillers = 2048

// fill builds the population through the log: every command is proposed to the
// leader's replica, replicated and applied as any other, only the RPC is left out.
func fill(ctx context.Context, c *cell, p Population, progress func(string)) (commands int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := &filler{ctx: ctx, cell: c, fail: cancel}
	setup := session{filler: f, name: "fill"}
	setup.do(mkdir("/data"))
	for i := range p.dirs() {
		setup.do(mkdir(p.dir(i)))
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range fillers {
		wg.Go(func() {
			s := session{filler: f, name: fmt.Sprintf("fill-%d", w)}
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= p.Files {
					return
				}
				s.file(p, i)
				if (i+1)%50_000 == 0 {
					progress(fmt.Sprintf("%d of %d files loaded through the log", i+1, p.Files))
				}
			}
		})
	}
	wg.Wait()
	return f.commands.Load(), context.Cause(ctx)
}

// filler is what the sessions that fill a cell share.
type filler struct {
	ctx      context.Context
	cell     *cell
	fail     func(error)
	leads    atomic.Int64 // where the leader was last found
	commands atomic.Int64
}

// session issues commands one at a time, each exactly once.
type session struct {
	*filler
	name string
	seq  uint64
}

// file makes a file and its chunks, and grants each chunk once.
func (s *session) file(p Population, i int) {
	path := p.path(i)
	s.do(create(path))
	for slot := range p.ChunksPerFile {
		handle := s.do(allocate(path, slot)).Handle
		servers := p.servers(handle)
		asked := s.do(intent(handle, servers))
		granted := s.do(active(handle, asked.Index, servers))
		s.do(leaseEnd(handle, granted.Epoch))
	}
}

// do proposes a command that has to succeed, until it is known to have. Its
// session makes a repetition harmless.
func (s *session) do(cmd *metapb.Command) *metapb.Reply {
	s.seq++
	cmd.Client, cmd.Seq = s.name, s.seq
	raw := encode(cmd)
	reply := new(metapb.Reply)
	for s.ctx.Err() == nil {
		res, err := s.cell.nodes[s.leads.Load()].running.Replica().Propose(s.ctx, raw)
		if err != nil {
			if i, err := s.cell.leader(s.ctx); err == nil {
				s.leads.Store(int64(i))
			}
			continue
		}
		if proto.Unmarshal(res.Value, reply) != nil || meta.Code(reply.Code) != meta.OK {
			s.fail(fmt.Errorf("scale: a command was answered with code %d", codeOf(res.Value)))
		}
		s.commands.Add(1)
		break
	}
	return reply
}
