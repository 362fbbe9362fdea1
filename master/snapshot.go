package master

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
	"gfslab/master/pathlock"
)

// Snapshot copies a file or a tree at one point of the log (GFS section 3.4). Both
// paths are locked, so nobody is sent to a primary below them or adds to them; the
// leases below are ended; then the copy is one command. A leader that dies in
// between leaves nothing but chunks without leases.
func (m *Master) Snapshot(ctx context.Context, r *api.SnapshotTreeRequest) (*api.MutationReply, error) {
	cmd := &metapb.Command{Op: &metapb.Command_Snapshot{Snapshot: &metapb.RenameOp{From: r.From, To: r.To}}}
	if !m.identify(cmd, r.Session) {
		return m.malformed(), nil
	}
	held, err := m.lock(ctx, pathlock.Write(r.From), pathlock.Write(r.To))
	if err != nil {
		return nil, err
	}
	defer held.Release()
	release, err := m.quiet(ctx, r.From)
	if err != nil {
		return nil, err
	}
	defer release()
	return m.commit(ctx, cmd)
}

// quiet ends the leases of all chunks of a file, or below a directory, and keeps
// them without until release is called. The path must be locked for writing. The
// error is a gRPC status; nothing is held then.
func (m *Master) quiet(ctx context.Context, path string) (release func(), err error) {
	term, err := m.authority(ctx)
	if err != nil {
		return nil, err
	}
	release, err = m.holdAll(ctx, term, m.handlesBelow(path))
	if err != nil {
		// A lease that has ended is no part of the operation: it was not begun.
		if _, ready := status.FromError(err); !ready {
			err = m.o.Directory.ReadError(err)
		}
		return nil, err
	}
	return release, nil
}

// holdAll holds many chunks; see hold. Only one who takes them in the order of
// their handles can wait for others that do the same.
func (m *Master) holdAll(ctx context.Context, term uint64, handles []uint64) (release func(), err error) {
	flights := make([]*flight, 0, len(handles))
	release = func() {
		for i, f := range flights {
			m.leases.land(handles[i], f)
		}
	}
	for _, handle := range handles {
		f, err := m.take(ctx, handle)
		if err != nil {
			release()
			return nil, err
		}
		flights = append(flights, f)
	}
	var g errgroup.Group
	g.SetLimit(revokers)
	for _, handle := range handles {
		if c, _, _ := m.machine.chunk(handle); c.Epoch == 0 && c.Intent == 0 {
			continue
		}
		g.Go(func() error { return m.quieten(ctx, term, handle) })
	}
	if err := g.Wait(); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// revokers is how many leases a snapshot ends at a time.
const revokers = 64

// handlesBelow lists the chunks of a file, or of all files below a directory, in
// order and each once, hidden files excepted. It is none if they are more than one
// command may touch: then the snapshot is refused whatever is held.
func (m *Master) handlesBelow(path string) (handles []uint64) {
	s := m.machine.freeze()
	walk, code := s.WalkFrom(path, 0)
	if code != meta.OK {
		return nil
	}
	// Steps visit what is hidden too, of which there may be any amount.
	for done := false; !done; {
		done = walk.Step(s, walkPage, func(_ uint64, hidden bool, more []uint64) {
			if !hidden {
				handles = append(handles, more...)
			}
		})
		if walk.Files+walk.Directories > meta.MaxEntries || len(handles) > meta.MaxEntries {
			return nil
		}
	}
	slices.Sort(handles)
	return slices.Compact(handles)
}
