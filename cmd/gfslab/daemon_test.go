package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"gfslab/consensus"
	"gfslab/internal/node"
)

func TestDaemonUsage(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	m, cs := "master --id 1 --peers 1=127.0.0.1:1 --data d", "chunkserver --name cs1 --masters 127.0.0.1:1 --listen 127.0.0.1:2 --data d"
	for line, want := range map[string]string{
		"master --peers 1=a:1 --data d":                                             "--id is missing",
		"master --id 1 --peers 1=a:1":                                               "--data is missing",
		"master --id 1 --peers 2=a:1 --data d":                                      "node 1 is not among the peers",
		"master --id 1 --peers 1=nowhere --data d":                                  "peer 1=nowhere: want host:port",
		m + " --backend zab":                                                        `backend "zab" is unknown; it must be one of multipaxos`,
		m + " --limit election_ticks=2":                                             "election ticks is 2",
		m + " --lease-term 1ms":                                                     "[leases] term is 1ms; it must be at least 10ms",
		m + " --replicas 0":                                                         "[replication] replicas is 0; it must be 1 to 16",
		m + " --dead-after 1ms":                                                     "[replication] dead_after is 1ms; it must be at least 100ms",
		m + " --log-format xml":                                                     `log_format is "xml"; it must be text or json`,
		m + " --log-level loud":                                                     `log_level is "loud"; it must be debug`,
		m + " --config " + file("a.toml", "lease = 1\n"):                            "lease = 1",
		m + " --config " + file("b.toml", "[leases]\nrho=2\n"):                      "[leases] rho is 2; it must be in [0, 0.5)",
		m + " --config " + file("c.toml", "[serving]\nconnections=1\n"):             "[serving] connections is 1; it must be at least 16",
		m + " --config " + file("d.toml", "[replication]\nwarm_up=\"-1s\"\n"):       `"-1s" is negative`,
		m + " --config " + file("e.toml", "[leases]\nterm=\"soon\"\n"):              "cannot be read",
		m + " --config " + filepath.Join(dir, "missing.toml"):                       "no such file",
		"chunkserver --masters a:1 --listen b:2 --data d":                           "--name is missing",
		"chunkserver --name cs1 --listen b:2 --data d":                              "--masters is missing",
		"chunkserver --name cs1 --masters a:1 --listen b:2":                         "--data is missing",
		"chunkserver --name cs1 --masters a:1 --data d":                             `"" is not an address`,
		"chunkserver --name cs1 --masters a:1 --listen :2 --data d":                 "no address that others can reach; say it with --advertise",
		"chunkserver --name cs1 --masters a:1 --listen 0.0.0.0:2 --data d":          "say it with --advertise",
		cs + " --chunk-size 1":                                                      "[chunks] size is 1; it must be 4KiB to 2GiB",
		cs + " --buffer 1MiB":                                                       "[chunks] buffer is 1MiB; it must hold a record, a quarter of a chunk: at least 16MiB",
		cs + " --heartbeat-every 1ms":                                               "[leases] heartbeat_every is 1ms",
		cs + " --scrub-every -1s":                                                   "[chunks] scrub_every is -1s",
		cs + " --config " + file("f.toml", "[chunks]\nsize = \"64 MB and more\"\n"): "is not a size",
	} {
		code, out, errOut := invoke(t, strings.Fields(line)...)
		if code != exitUsage || !strings.Contains(errOut, want) {
			t.Errorf("%s: exit %d, want %q\n%s%s", line, code, want, out, errOut)
		}
	}
	if _, err := os.Stat("d"); err == nil {
		t.Error("a refused command made a folder")
	}
}

// A file's keys win over the flags' defaults, the flags that are given over the file.
func TestDaemonConfigFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "master.toml")
	text := `
id = 2
data = "/var/lib/gfslab"
backend = "etcdraft"
metrics_addr = ":7701"
log_format = "json"
strict = true

[peers]
1 = "10.0.0.1:7501"
2 = "10.0.0.2:7501"

[limits]
read_mode = "lease"

[serving]
message_bytes = "1MiB"
greeting = "2s"

[leases]
term = "30s"
wait = true

[replication]
replicas = 5
clones_per_server = 4
clone_bytes_per_second = "10MB"

[placement]
balance_every = "-1s"
`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := new(masterConfig)
	f := replicaFlags{replicaConfig: &cfg.replicaConfig}
	c := &cobra.Command{}
	c.SetErr(new(bytes.Buffer))
	f.node(c)
	f.cluster(c, "gfslab")
	cfg.daemonConfig.register(c)
	cfg.masterPolicy.register(c)
	if err := c.ParseFlags([]string{"--lease-term", "7s", "--peers", "2=10.0.0.9:7501,3=10.0.0.3:7501", "--log-level", "warn"}); err != nil {
		t.Fatal(err)
	}
	if err := readConfig(c, name, cfg); err != nil {
		t.Fatal(err)
	}
	d, err := cfg.resolve(c, &f)
	if err != nil {
		t.Fatal(err)
	}
	if d.Self != 2 || d.Backend != node.EtcdRaft || d.Cluster != "gfslab" || d.MetricsAddr != ":7701" || d.Limits.ReadMode != consensus.ReadLease || !d.Master.Strict {
		t.Errorf("read %+v", d)
	}
	if d.Limits.SnapshotEvery != snapshotEvery || d.Limits.TrailingEntries != trailingEntries {
		t.Errorf("the log is cut every %d entries, and %d are kept", d.Limits.SnapshotEvery, d.Limits.TrailingEntries)
	}
	if len(d.Peers) != 2 || d.Peers[0].Addr != "10.0.0.9:7501" || d.Peers[1].ID != 3 {
		t.Errorf("peers %v: the flag's were given", d.Peers)
	}
	if d.Serving.MessageBytes != 1<<20 || d.Serving.Greeting != 2*time.Second {
		t.Errorf("serving %+v", d.Serving)
	}
	o := d.Master
	if o.LeaseTerm != 7*time.Second || !o.LeaseWait || o.Replicas != 5 || o.CloneLimit != 4 || o.CloneBytesPerSecond != 10e6 || o.BalanceEvery != -time.Second || o.DeadAfter != 3*time.Second {
		t.Errorf("options %+v", o)
	}
	// What `up` hands on says the same.
	again := new(masterPolicy)
	c2 := &cobra.Command{}
	again.register(c2)
	if err := c2.ParseFlags(cfg.masterPolicy.args()); err != nil {
		t.Fatal(err)
	}
	handed, err := again.options()
	if err != nil || handed.LeaseTerm != o.LeaseTerm || handed.Strict != o.Strict || handed.LeaseWait != o.LeaseWait || handed.Replicas != o.Replicas ||
		handed.BalanceEvery != o.BalanceEvery || handed.CloneBytesPerSecond != o.CloneBytesPerSecond {
		t.Errorf("handed on %+v (%v), want %+v", handed, err, o)
	}
}

func TestByteSizes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "67108864": 64 << 20, "64MiB": 64 << 20, "1.5 GB": 15e8, "4KiB": 4096, "10kB": 10000, "7B": 7, "2TiB": 2 << 40} {
		var b byteSize
		if err := b.Set(text); err != nil || int64(b) != want {
			t.Errorf("%s: %d, %v, want %d", text, b, err, want)
		}
		var again byteSize
		if err := again.Set(b.String()); err != nil || again != b {
			t.Errorf("%s prints as %s, which reads as %d (%v)", text, b, again, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1e400", "NaN", "9e18GB", "12 parsecs"} {
		var b byteSize
		if b.Set(text) == nil {
			t.Errorf("%q was read as %d", text, b)
		}
	}
}
