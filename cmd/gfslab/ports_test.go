package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"gfslab/api"
)

// A cell whose ports somebody has is not started: the error says which address and
// what to do, no process runs, and the folder stays as it was.
func TestUpRefusesTakenPorts(t *testing.T) {
	for _, above := range []int{1, chunkserverPorts + 2, masterMetricPorts, chunkserverMetricPorts} {
		port, dir := portsFor(t), filepath.Join(t.TempDir(), "cell")
		addr := fmt.Sprintf("127.0.0.1:%d", port+above)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		up := gfslab(t, "up", "--data", dir, "--port", fmt.Sprint(port))
		select {
		case <-up.done:
		case <-time.After(30 * time.Second):
			t.Fatalf("it runs:\n%s", up.text())
		}
		text := up.text()
		if up.cmd.ProcessState.ExitCode() <= 0 || !strings.Contains(text, addr+" is taken") || !strings.Contains(text, "--port") || strings.Contains(text, "ready:") || strings.Contains(text, "] process") {
			t.Errorf("exit %d:\n%s", up.cmd.ProcessState.ExitCode(), text)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("the folder remembers the ports: %v", err)
		}
		l.Close()
	}
}

// otherCell answers as the leader of a cell.
type otherCell struct {
	api.UnimplementedMasterServer
	cluster string
}

type otherAdmin struct{ api.UnimplementedAdminServer }

func (otherAdmin) Describe(context.Context, *api.DescribeRequest) (*api.DescribeReply, error) {
	return &api.DescribeReply{Node: 1, Role: "leader", Term: 1}, nil
}

func (o *otherCell) Health(context.Context, *api.StatusRequest) (*api.HealthReply, error) {
	return &api.HealthReply{Leader: true, Cluster: o.cluster, Chunkservers: []*api.ChunkserverInfo{{Name: "cs1", Alive: true}}}, nil
}

// Who answers at our addresses may be a master of another cell that took them: its
// chunkservers are not ours.
func TestAnotherCellIsNotReady(t *testing.T) {
	for cluster, ours := range map[string]bool{"cell-1": true, "cell-2": false, "": false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer()
		api.RegisterMasterServer(s, &otherCell{cluster: cluster})
		api.RegisterAdminServer(s, otherAdmin{})
		go s.Serve(l)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err = awaitCell(ctx, []string{l.Addr().String()}, "cell-1", 1, 0)
		cancel()
		s.Stop()
		if ours && err != nil || !ours && (err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "--port")) {
			t.Errorf("a leader of %q: %v", cluster, err)
		}
	}
}
