package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"gfslab/consensus"
	"gfslab/internal/node"
	"gfslab/internal/ports"
)

// freeAddresses returns loopback addresses that are the test's until it ends.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	held := &ports.Set{}
	t.Cleanup(func() { _ = held.Close() })
	var out []string
	for range n {
		address, err := held.Take(rand.IntN)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, address)
	}
	return out
}

// startKV runs three nodes in this process, each behind one address, and returns
// the flag that names them.
func startKV(t *testing.T, backend string) (endpoints string) {
	t.Helper()
	addresses, dir := freeAddresses(t, 3), t.TempDir()
	var peers []consensus.Peer
	for i, addr := range addresses {
		peers = append(peers, consensus.Peer{ID: consensus.NodeID(i + 1), Addr: addr})
	}
	for _, p := range peers {
		startNode(t, node.ReplicaDaemon{Backend: backend, Self: p.ID, Peers: peers, Dir: filepath.Join(dir, fmt.Sprint(p.ID))})
	}
	return "--endpoints=" + strings.Join(addresses, ",")
}

// calm limits keep the lead where it is on a machine that is busy with other work:
// a command that meets an election is an error to its user, and rightly.
func calm() consensus.Limits {
	l := consensus.Matched3()
	l.ElectionTicks = 75
	return l
}

// startNode runs a node in this process until the test ends.
func startNode(t *testing.T, d node.ReplicaDaemon) {
	t.Helper()
	d.Cluster, d.Limits, d.Seed, d.Logger = "test", calm(), uint64(d.Self), slog.New(slog.DiscardHandler)
	n, err := node.ServeKV(node.KVDaemon{ReplicaDaemon: d})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Members, leader and snapshots change as the commands say, from any endpoint,
// and the clients follow.
func TestClusterCommands(t *testing.T) {
	for _, backend := range node.Replicated() {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			endpoints := startKV(t, backend)
			addresses := strings.Split(strings.TrimPrefix(endpoints, "--endpoints="), ",")
			var peers []consensus.Peer
			for i, addr := range append(addresses, freeAddresses(t, 1)...) {
				peers = append(peers, consensus.Peer{ID: consensus.NodeID(i + 1), Addr: addr})
			}
			fresh := peers[3].Addr
			startNode(t, node.ReplicaDaemon{Backend: backend, Self: 4, Peers: peers, Join: true, Dir: t.TempDir()})
			for _, step := range []struct {
				line, out string
				code      int
			}{
				{"kv put color green " + endpoints, "ok", 0},
				{"cluster snapshot " + endpoints, "has a snapshot through index", 0},
				{"cluster add 3=" + fresh + " " + endpoints, "refused", exitNo},
				{"cluster add --learner 4=" + fresh + " " + endpoints, "learners 4=" + fresh, 0},
				{"cluster transfer 4 " + endpoints, "gfslab:", exitNo},
				{"cluster transfer 2 " + endpoints, "node 2 leads", 0},
				{"cluster remove 4 " + endpoints, "node 4 can be stopped", 0},
				{"cluster remove 4 " + endpoints, "not a member", exitNo},
				{"cluster replace 9 5=" + fresh + " " + endpoints, "node 9 is not a member", exitNo},
				{"cluster status " + endpoints, "voters 1=", 0},
				{"kv get color --endpoints " + addresses[2], "green", 0},
			} {
				code, out, errOut := invoke(t, strings.Fields(step.line)...)
				if code != step.code || !strings.Contains(out+errOut, step.out) {
					t.Fatalf("%s: exit %d, want %d with %q\n%s%s", step.line, code, step.code, step.out, out, errOut)
				}
			}
		})
	}
}

// A node that replaces another serves alone those who know only it.
func TestClusterReplace(t *testing.T) {
	for _, backend := range node.Replicated() {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			endpoints := startKV(t, backend)
			addresses := strings.Split(strings.TrimPrefix(endpoints, "--endpoints="), ",")
			fresh := freeAddresses(t, 1)[0]
			peers := []consensus.Peer{{ID: 2, Addr: addresses[1]}, {ID: 4, Addr: fresh}}
			startNode(t, node.ReplicaDaemon{Backend: backend, Self: 4, Peers: peers, Join: true, Dir: t.TempDir()})
			for _, step := range []struct{ line, out string }{
				{"kv put color green " + endpoints, "ok"},
				{"cluster replace 1 4=" + fresh + " --timeout 2m --endpoints " + addresses[1], "4=" + fresh},
				{"kv get color --endpoints " + fresh, "green"},
				{"cluster transfer 4 --endpoints " + fresh, "node 4 leads"},
				{"kv cas color green blue --endpoints " + addresses[2], "ok"},
				{"kv get color --endpoints " + fresh, "blue"},
			} {
				code, out, errOut := invoke(t, strings.Fields(step.line)...)
				if code != 0 || !strings.Contains(out, step.out) {
					t.Fatalf("%s: exit %d, want %q\n%s%s", step.line, code, step.out, out, errOut)
				}
			}
		})
	}
}

func TestKVCommands(t *testing.T) {
	for _, backend := range node.Replicated() {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			endpoints := startKV(t, backend)
			for _, step := range []struct {
				line, out string
				code      int
			}{
				{"kv put color green", "ok (revision", 0},
				{"kv get color", "green", 0},
				{"kv cas color green blue", "ok", 0},
				{"kv cas color green red", "nothing was changed", exitNo},
				{"kv cas --create color red", "nothing was changed", exitNo},
				{"kv get color --json", `"value": "blue"`, 0},
				{"kv delete color", "ok", 0},
				{"kv delete color", "no such key", exitNo},
				{"kv get color", "no such key", exitNo},
				{"kv put x", "usage: gfslab kv put KEY VALUE", exitUsage},
				{"kv bench --seconds 2 --warm-up 0.1 --clients 4 --read-ratio 0", "writes", 0},
				{"kv bench --read-ratio 2", "read ratio is 2", exitUsage},
			} {
				code, out, errOut := invoke(t, append(strings.Fields(step.line), endpoints)...)
				if code != step.code || !strings.Contains(out+errOut, step.out) {
					t.Errorf("%s: exit %d, want %d with %q\n%s%s", step.line, code, step.code, step.out, out, errOut)
				}
			}
			code, out, errOut := invoke(t, "cluster", "status", endpoints, "--json")
			var rows []struct {
				Status struct{ Role string }
			}
			if err := json.Unmarshal([]byte(out), &rows); err != nil || code != 0 || len(rows) < 2 {
				t.Fatalf("status: exit %d, %v\n%s%s", code, err, out, errOut)
			}
			if code, out, _ := invoke(t, "cluster", "status", endpoints); code != 0 || !strings.Contains(out, "backend "+backend) {
				t.Errorf("status: exit %d\n%s", code, out)
			}
		})
	}
}

func TestKVWithoutACluster(t *testing.T) {
	nobody := "--endpoints=" + freeAddresses(t, 1)[0]
	for line, want := range map[string]string{
		"kv get x":             "no endpoint answers",
		"cluster transfer":     "no endpoint answers",
		"cluster status":       "no endpoint answers",
		"cluster snapshot":     "does not answer",
		"cluster remove 1":     "no endpoint answers",
		"cluster add 4=a:1":    "no endpoint answers",
		"kv bench --seconds 1": "no endpoint answers",
	} {
		code, out, errOut := invoke(t, append(strings.Fields(line), nobody, "--timeout=200ms")...)
		if code != exitInfrastructure || !strings.Contains(errOut, want) {
			t.Errorf("%s: exit %d, want %q\n%s%s", line, code, want, out, errOut)
		}
	}
}

func TestKVUsage(t *testing.T) {
	for line, want := range map[string]string{
		"kv serve --id 1 --peers 1=a:1":                                   "--data is missing",
		"kv serve --peers 1=a:1 --data d":                                 "--id is missing",
		"kv serve --id 2 --peers 1=a:1 --data d":                          "node 2 is not among the peers",
		"kv serve --id 1 --peers one --data d":                            "want id=host:port",
		"kv serve --id 1 --peers 1=a:1 --data d --limit nonsense=1":       "unknown key",
		"kv serve --id 1 --peers 1=a:1 --data d --limit read_mode=wild":   "read mode",
		"kv serve --id 1 --peers 1=a:1 --data d --limit election_ticks=2": "election ticks is 2",
		"kv serve --config /nonexistent.toml":                             "nonexistent",
		"kv up":                                                           "--data is missing",
		"kv up --data d --nodes 10":                                       "must be 1 to 9",
		"cluster add 4":                                                   "want id=host:port",
		"cluster remove x":                                                "is not a node's id",
		"cluster replace 1 4@nowhere":                                     "want id=host:port",
	} {
		code, out, errOut := invoke(t, strings.Fields(line)...)
		if code != exitUsage || !strings.Contains(errOut, want) {
			t.Errorf("%s: exit %d, want %q\n%s%s", line, code, want, out, errOut)
		}
	}
}
