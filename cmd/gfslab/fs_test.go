package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/chunkserver"
	"gfslab/client"
	"gfslab/client/file"
	"gfslab/consensus"
	"gfslab/internal/node"
	"gfslab/master"
)

// fsCell is a cell in this process, each node behind an address of its own.
type fsCell struct {
	t       *testing.T
	masters map[consensus.NodeID]*node.ServedMaster
	servers map[string]*node.ServedChunkserver
	flag    string // names the masters
}

const fsChunk = 1 << 20

func startCell(t *testing.T) *fsCell {
	t.Helper()
	c := &fsCell{t: t, masters: map[consensus.NodeID]*node.ServedMaster{}, servers: map[string]*node.ServedChunkserver{}}
	addresses, dir := freeAddresses(t, 6), t.TempDir()
	var peers []consensus.Peer
	for i, addr := range addresses[:3] {
		peers = append(peers, consensus.Peer{ID: consensus.NodeID(i + 1), Addr: addr})
	}
	c.flag = "--masters=" + strings.Join(addresses[:3], ",")
	quiet := slog.New(slog.DiscardHandler)
	for _, p := range peers {
		m, err := node.ServeMaster(node.MasterDaemon{
			ReplicaDaemon: node.ReplicaDaemon{Backend: "multipaxos", Cluster: "test", Self: p.ID, Peers: peers, Dir: filepath.Join(dir, fmt.Sprint(p.ID)),
				Limits: calm(), Seed: uint64(p.ID), Logger: quiet},
			Master: master.Options{},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.masters[p.ID] = m
	}
	for i, addr := range addresses[3:] {
		name := fmt.Sprintf("cs%d", i+1)
		s, err := node.ServeChunkserver(node.ChunkserverDaemon{Cluster: "test", Listen: addr, Dir: filepath.Join(dir, name), Logger: quiet,
			Chunkserver: chunkserver.Options{Name: name, ChunkBytes: fsChunk, Masters: addresses[:3]}})
		if err != nil {
			t.Fatal(err)
		}
		c.servers[name] = s
	}
	t.Cleanup(func() {
		for _, s := range c.servers {
			c.check(s.Close())
		}
		for _, m := range c.masters {
			c.check(m.Close())
		}
	})
	c.await()
	return c
}

func (c *fsCell) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Error(err)
	}
}

// await waits until a leader knows all chunkservers.
func (c *fsCell) await() {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		_, out, _ := c.fs("", "health", "--json")
		if strings.Count(out, `"alive": true`)+strings.Count(out, `"alive":  true`) == len(c.servers) {
			return
		}
	}
	c.t.Fatal("no leader that knows all chunkservers in a minute")
}

// fs runs a command of `gfslab fs` with this standard input.
func (c *fsCell) fs(stdin string, args ...string) (code int, stdout, stderr string) {
	return c.within(context.Background(), strings.NewReader(stdin), args...)
}

func (c *fsCell) within(ctx context.Context, stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"fs", c.flag}, args...))
	root.SetIn(stdin)
	root.SetOut(&out)
	root.SetErr(&errOut)
	code = exitCode(root.ExecuteContext(ctx), ctx.Err() != nil, &errOut)
	return code, out.String(), errOut.String()
}

// step is a command, and what it has to print.
type step struct {
	line, stdin, out string
	code             int
}

func (c *fsCell) steps(steps []step) {
	c.t.Helper()
	for _, s := range steps {
		code, out, errOut := c.fs(s.stdin, strings.Fields(s.line)...)
		if code != s.code || !strings.Contains(out+errOut, s.out) {
			c.t.Fatalf("fs %s: exit %d, want %d with %q\n%s%s", s.line, code, s.code, s.out, out, errOut)
		}
	}
}

func TestFSCommands(t *testing.T) {
	t.Parallel()
	c := startCell(t)
	c.steps([]step{
		{line: "mkdir -p /a/b/c"},
		{line: "mkdir /a", code: exitNo, out: "/a: it exists already"},
		{line: "mkdir /x/y", code: exitNo, out: "/x/y: no such file or directory"},
		{line: "put - /a/f", stdin: "some bytes\n", out: "11 B in"},
		{line: "put - /a/f", stdin: "other bytes\n", code: exitNo, out: "/a/f: it exists already"},
		{line: "cat /a/f", out: "some bytes\n"},
		{line: "put -f - /a/f", stdin: "other bytes\n"},
		{line: "cat /a/f", out: "other bytes\n"},
		{line: "append -v /a/f", stdin: "a record\n", out: "chunk 1 (handle"},
		{line: "append --lines /a/log", stdin: "one\ntwo\nthree", out: "appended 3 records (13 B) to /a/log"},
		{line: "cat /a/f /a/log", out: "other bytes\na record\none\ntwo\nthree"},
		{line: "append /a/b", stdin: "x", code: exitNo, out: "/a/b: is a directory"},
		{line: "ls /a", out: "b/\nf\nlog\n"},
		{line: "ls -l /a/f", out: "2 chunks"},
		{line: "ls -R /", out: "a/b/c/\n"},
		{line: "ls /a/l*", out: "/a/log\n"},
		{line: "ls /q*", code: exitNo, out: "/q*: nothing matches"},
		{line: "tree /", out: "└── a/\n    ├── b/\n    │   └── c/\n    ├── f\n    └── log\n"},
		{line: "stat /a/f --locations", out: "bytes, 12 B"},
		{line: "stat /a/f --json", out: `"retention_ns"`},
		{line: "du /a", out: "2 files"},
		{line: "snapshot /a /s", out: ""},
		{line: "append /a/log", stdin: "\nfour", out: "appended 1 records"},
		{line: "cat /s/log", out: "one\ntwo\nthree"},
		{line: "cat /a/log", out: "three\nfour"},
		{line: "mv /s/log /a/b", out: ""},
		{line: "cat /a/b/log", out: "one\ntwo\nthree"},
		{line: "mv /s/none /a/b", code: exitNo, out: "no such file or directory"},
		{line: "rm /a", code: exitNo, out: "rm -r"},
		{line: "rm -r /a", out: "/a: hidden under id"},
		{line: "ls /a", code: exitNo, out: "/a: no such file or directory"},
		{line: "ls -d /", out: "until"},
		{line: "undelete /a"},
		{line: "cat /a/b/log", out: "three"},
		{line: "chattr --max-files 1 /s"},
		{line: "stat /s", out: "1 of 1 files"},
		{line: "put - /s/more", stdin: "x", code: exitNo, out: "the quota of a directory above is used up"},
		{line: "chattr --clear max_files /s"},
		{line: "put - /s/more", stdin: "x"},
		{line: "chattr --retention 0s /s"},
		{line: "rm /s/more"},
		{line: "undelete /s/more", code: exitNo, out: "no such file"},
		{line: "ls / --shadow", out: "shadow: as of log index"},
		{line: "health", out: "cs3"},
		{line: "df", out: "capacity"},
	})
	// What one line removes for good, no undelete brings back.
	_, out, _ := c.fs("", "rm", "/a/f")
	id := strings.TrimSpace(out[strings.LastIndex(out, " "):])
	c.steps([]step{
		{line: "stat /a/f --id " + id, out: id},
		{line: "rm --now " + id + " /a/f"},
		{line: "undelete /a/f --id " + id, code: exitNo, out: "/a/f: no such file"},
	})
	var rows []lsRow
	code, out, errOut := c.fs("", "ls", "--json", "/a")
	if err := json.Unmarshal([]byte(out), &rows); err != nil || code != 0 || len(rows) != 2 || rows[0].Path != "/a/b" || !rows[0].Directory {
		t.Errorf("exit %d, %v: %s%s", code, err, out, errOut)
	}
}

// A put and a get of a large file go on through the death of the leading master
// and of a chunkserver, and what was interrupted is resumed.
func TestFSCopiesSurvive(t *testing.T) {
	t.Parallel()
	c := startCell(t)
	dir := t.TempDir()
	local, copied := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	data := make([]byte, 6*fsChunk+321)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	c.check(os.WriteFile(local, data, 0o644))
	sum := sha256.Sum256(data)

	// Interrupted: standard input that ends the context half-way, which leaves nothing.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	half := io.MultiReader(bytes.NewReader(data[:3*fsChunk]), readFunc(func([]byte) (int, error) {
		cancel()
		<-ctx.Done()
		return 0, ctx.Err()
	}))
	if code, out, errOut := c.within(ctx, half, "put", "-", "/f"); code != exitInterrupted || !strings.Contains(errOut, "interrupted") {
		t.Fatalf("interrupted: exit %d\n%s%s", code, out, errOut)
	}
	if code, out, errOut := c.fs("", "ls", "/"); code != 0 || out != "" {
		t.Errorf("an interrupted put of standard input leaves: exit %d\n%s%s", code, out, errOut)
	}
	c.steps([]step{{line: "chattr --max-chunks 4 /"}, {line: "put " + local + " /f", code: exitNo, out: "quota"}, {line: "chattr --clear max_chunks /"}})
	c.killLeader()
	c.check(c.servers["cs1"].Close())
	delete(c.servers, "cs1")
	code, out, errOut := c.fs("", "put", local, "/f")
	t.Logf("%s%s", out, errOut)
	if code != 0 || !strings.Contains(out, hex.EncodeToString(sum[:])) || !strings.Contains(out, "from before") {
		t.Fatalf("put: exit %d\n%s%s", code, out, errOut)
	}
	c.check(os.WriteFile(copied+file.PartSuffix, data[:2*fsChunk+5], 0o644))
	code, out, errOut = c.fs("", "get", "/f", copied)
	if code != 0 || !strings.Contains(out, hex.EncodeToString(sum[:])) || !strings.Contains(out, "2.0 MiB of it from before") {
		t.Fatalf("get: exit %d\n%s%s", code, out, errOut)
	}
	if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	c.steps([]step{{line: "get /f " + copied, code: exitNo, out: "it exists already"}, {line: "append /f", stdin: "more", out: "appended 1"}})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

func (c *fsCell) killLeader() {
	c.t.Helper()
	for id, m := range c.masters {
		if s := m.Replica().Status(); s.Role == consensus.Leader {
			c.check(m.Close())
			delete(c.masters, id)
			return
		}
	}
	c.t.Fatal("nobody leads")
}

func TestFSUsage(t *testing.T) {
	nobody := freeAddresses(t, 1)[0]
	for _, s := range []step{
		{line: "fs ls relative", code: exitUsage, out: "begin with a slash"},
		{line: "fs ls --masters x/y", code: exitUsage, out: "want host:port"},
		{line: "fs mv /a", code: exitUsage, out: "usage: gfslab fs mv FROM... TO"},
		{line: "fs put only", code: exitUsage, out: "usage: gfslab fs put LOCAL... PATH"},
		{line: "fs ls --timeout 0s", code: exitUsage, out: "must be positive"},
		{line: "fs nonsense", code: exitUsage, out: "unknown command"},
		{line: "fs ls --timeout 200ms --masters " + nobody, code: exitInfrastructure, out: "`gfslab up` runs a cell"},
	} {
		code, out, errOut := invoke(t, strings.Fields(s.line)...)
		if code != s.code || !strings.Contains(out+errOut, s.out) {
			t.Errorf("%s: exit %d, want %d with %q\n%s%s", s.line, code, s.code, s.out, out, errOut)
		}
	}
}

func TestFSExitCodes(t *testing.T) {
	refused := &file.Error{Path: "/a", Outcome: client.OK, Code: api.Code_NOT_FOUND}
	unknown := &file.Error{Path: "/a", Outcome: client.Unknown, Err: errors.New("x")}
	lost := &file.Error{Path: "/a", Outcome: client.Fail, Err: errors.New("x")}
	for _, x := range []struct {
		err  error
		want int
	}{
		{refused, exitNo}, {fmt.Errorf("%w: more", refused), exitNo}, {errors.Join(refused, unknown), exitUnknown},
		{errors.Join(refused, lost, unknown), exitInfrastructure}, {errors.New("disk full"), exitInfrastructure}, {usage(errors.New("x")), exitUsage},
	} {
		var e *exitError
		if !errors.As(fsError(x.err), &e) || e.code != x.want {
			t.Errorf("%v: %v, want exit %d", x.err, e, x.want)
		}
	}
	if fsError(nil) != nil {
		t.Error("success is an error")
	}
}

func TestProgressLines(t *testing.T) {
	now := time.Now()
	p := &progress{what: "put /f", size: 4 << 20, begun: now.Add(-2 * time.Second), first: 1 << 20, done: 3 << 20}
	if got := p.line(now); got != "put /f: 3.0 MiB of 4.0 MiB (75 %), 1.0 MiB/s" {
		t.Error(got)
	}
	p.size = -1
	if got := p.line(now); got != "put /f: 3.0 MiB, 1.0 MiB/s" {
		t.Error(got)
	}
	var b bytes.Buffer
	p = newProgress(&b, "get /f", 10, false)
	p.set(1)
	p.printed = p.printed.Add(-2 * progressEvery)
	p.set(5)
	p.set(6)
	if got := b.String(); !strings.HasPrefix(got, "get /f: 5 B of 10 B (50 %)") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
}
