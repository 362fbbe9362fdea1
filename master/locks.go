package master

import (
	"context"

	"google.golang.org/grpc/status"

	"gfslab/master/pathlock"
)

// What follows runs with paths locked: read on every ancestor, write on the path
// that an operation changes. They are held until the operation's result is known,
// so of two operations on one path the second sees what the first did. A read takes
// none: it looks at one state of the log. See package pathlock and docs/adr/0007.

// lock locks paths, which must be valid. The error is a gRPC status; nothing was
// done then.
func (m *Master) lock(ctx context.Context, locks ...pathlock.Lock) (*pathlock.Held, error) {
	held, err := m.paths.Acquire(ctx, locks...)
	if err != nil {
		return nil, status.FromContextError(err).Err()
	}
	return held, nil
}
