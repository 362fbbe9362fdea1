package chunkserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/api"
)

// Chains that name addresses where nobody answers do not use up the connections:
// there is one for a peer that comes later.
func TestPeersThatNobodyAnswersForGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("nobody is there")
		p := newPeers(func(context.Context, string) (net.Conn, error) { return nil, refused }, 1<<20)
		defer p.close()
		for i := range maxPeers {
			conn, err := p.get(fmt.Sprintf("nowhere-%d", i))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := api.NewChunkserverClient(conn).PushData(ctx, &api.PushRequest{}); err == nil {
				t.Fatal("somebody answered")
			}
			cancel()
		}
		if _, err := p.get("later"); err != nil || len(p.conns) != maxPeers {
			t.Errorf("%v, %d connections", err, len(p.conns))
		}
	})
}
