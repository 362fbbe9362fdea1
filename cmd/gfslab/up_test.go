package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/client"
	"gfslab/client/admin"
	"gfslab/client/call"
	"gfslab/internal/ports"
)

// asGfslab makes the test's binary behave as gfslab itself: the processes that
// `gfslab up` starts are copies of whoever started them.
const asGfslab = "GFSLAB_TEST_AS_GFSLAB"

func TestMain(m *testing.M) {
	if os.Getenv(asGfslab) != "" {
		main() // exits
	}
	os.Exit(m.Run())
}

// running is a gfslab process.
type running struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

func (r *running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(b)
}

func (r *running) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

// gfslab starts a process.
func gfslab(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{t: t, cmd: exec.Command(os.Args[0], args...), done: make(chan struct{})}
	r.cmd.Env = append(os.Environ(), asGfslab+"=1")
	r.cmd.Stdout, r.cmd.Stderr = r, r
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.done)
		_ = r.cmd.Wait() // the state tells
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		<-r.done
	})
	return r
}

// await waits until the process has printed what the expression matches, and
// returns the last match.
func (r *running) await(expression string) []string {
	r.t.Helper()
	re := regexp.MustCompile(expression)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(2 * time.Minute); ; {
		if all := re.FindAllStringSubmatch(r.text(), -1); len(all) > 0 {
			return all[len(all)-1]
		}
		select {
		case <-tick.C:
		case <-r.done:
			r.t.Fatalf("it ended (%v) without %q:\n%s", r.cmd.ProcessState, expression, r.text())
		case <-over:
			r.t.Fatalf("no %q in two minutes:\n%s", expression, r.text())
		}
	}
}

// stop interrupts the process and returns its exit code.
func (r *running) stop(with os.Signal) int {
	r.t.Helper()
	if err := r.cmd.Process.Signal(with); err != nil {
		r.t.Fatal(err)
	}
	select {
	case <-r.done:
	case <-time.After(time.Minute):
		r.t.Fatalf("%v did not end it in a minute:\n%s", with, r.text())
	}
	return r.cmd.ProcessState.ExitCode()
}

// pid is that of a node that `gfslab up` keeps running.
func (r *running) pid(node string) int {
	r.t.Helper()
	pid, err := strconv.Atoi(r.await(`(?m)^\[` + node + `\] process (\d+)$`)[1])
	if err != nil {
		r.t.Fatal(err)
	}
	return pid
}

// portsFor finds a port from which on those of a cell are the test's until it ends.
func portsFor(t *testing.T) int {
	t.Helper()
	held := &ports.Set{}
	t.Cleanup(func() { _ = held.Close() })
	for range 100 {
		base := 20000 + rand.IntN(120)*100 // below those that outgoing connections take
		var all []int
		for _, above := range []int{0, chunkserverPorts, masterMetricPorts, chunkserverMetricPorts} {
			for i := range 3 {
				all = append(all, base+above+i)
			}
		}
		if held.Hold(all...) == nil {
			return base
		}
	}
	t.Fatal("no free ports")
	return 0
}

// user is a client of a cell.
type user struct {
	*client.Client
	t     *testing.T
	conns *call.Conns
	admin *admin.Admin
	ctx   context.Context
}

func newUser(t *testing.T, port int) *user {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	u := &user{t: t, conns: call.NewConns(nil, 0), ctx: ctx}
	t.Cleanup(func() { u.conns.Close() })
	o := client.Options{Name: uniqueName(), Conns: u.conns, OpTimeout: time.Minute}
	for i, addr := range local(port, 3) {
		o.Masters = append(o.Masters, client.Master{ID: uint64(i + 1), Addr: addr})
	}
	var err error
	if u.Client, err = client.New(o); err != nil {
		t.Fatal(err)
	}
	if u.admin, err = admin.New(u.conns, local(port, 3)); err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *user) append(text string) {
	u.t.Helper()
	if r := u.RecordAppend(u.ctx, "/d/log", []byte(text)); r.Outcome != client.OK || r.Code != api.Code_OK {
		u.t.Fatalf("append of %q: %v %v %v", text, r.Outcome, r.Code, r.Err)
	}
}

// records reads the file and fails unless it holds exactly these, in any order,
// repeats aside.
func (u *user) records(want ...string) {
	u.t.Helper()
	all, err := u.ReadAll(u.ctx, "/d/log")
	if err != nil {
		u.t.Fatal(err)
	}
	found := map[string]bool{}
	for _, r := range all {
		found[string(r.Payload)] = true
	}
	for _, w := range want {
		if !found[w] {
			u.t.Errorf("%q is lost; there are %d records", w, len(all))
		}
	}
	if len(found) != len(want) {
		u.t.Errorf("%d records, want %d", len(found), len(want))
	}
}

// A cell of processes goes on when its leader and a chunkserver are killed, keeps
// everything over a stop and a kill of all, is used by one `up` at a time, and
// starts over only when told to.
func TestUp(t *testing.T) {
	port, dir := portsFor(t), filepath.Join(t.TempDir(), "cell")
	line := []string{"up", "--data", dir, "--port", fmt.Sprint(port), "--chunk-size", "1MiB"}
	up := gfslab(t, line...)
	up.await(`(?m)^ready: 3 masters`)
	u := newUser(t, port)
	if r := u.Mkdir(u.ctx, "/d"); r.Outcome != client.OK || r.Reply.Code != api.Code_OK {
		t.Fatalf("%v %v", r.Reply, r.Err)
	}
	if r := u.Create(u.ctx, "/d/log"); r.Outcome != client.OK || r.Reply.Code != api.Code_OK {
		t.Fatalf("%v %v", r.Reply, r.Err)
	}
	u.append("one")
	leader, err := u.admin.Leader(u.ctx)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("master%d", leader.GetNode())
	begin, killed := time.Now(), up.pid(name)
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	u.append("two")
	if r := u.Mkdir(u.ctx, "/e"); r.Outcome != client.OK {
		t.Fatalf("%v", r.Err)
	}
	t.Logf("an append and a mkdir were done %v after the leader was killed", time.Since(begin).Round(time.Millisecond))
	up.await(`(?m)^\[` + name + `\] ended .*it is started again$`)
	begin = time.Now()
	if err := syscall.Kill(up.pid("chunkserver2"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	u.append("three")
	t.Logf("an append was done %v after a chunkserver was killed", time.Since(begin).Round(time.Millisecond))
	if up.pid(name) == killed {
		t.Error("the killed master was not started again")
	}

	second := gfslab(t, line...)
	<-second.done
	if code := second.cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(second.text(), "another process uses the folder") {
		t.Errorf("a second up over the folder: exit %d\n%s", code, second.text())
	}
	if code := up.stop(syscall.SIGINT); code != 0 {
		t.Errorf("exit %d after an interrupt:\n%s", code, up.text())
	}
	if _, err := net.DialTimeout("tcp", local(port, 1)[0], time.Second); err == nil {
		t.Error("a master still listens after the end")
	}

	// The folder knows its ports: they need not be said again.
	up = gfslab(t, "up", "--data", dir)
	up.await(`(?m)^ready: 3 masters`)
	u = newUser(t, port)
	u.records("one", "two", "three")
	u.append("four")
	up.stop(syscall.SIGKILL) // the nodes go with it
	up = gfslab(t, "up", "--data", dir)
	up.await(`(?m)^ready: 3 masters`)
	u = newUser(t, port)
	u.records("one", "two", "three", "four")
	up.stop(syscall.SIGINT)

	up = gfslab(t, append(line, "--fresh")...)
	up.await(`(?m)^ready: 3 masters`)
	if r := newUser(t, port).Stat(t.Context(), "/d"); r.Outcome != client.OK || r.Reply.Code != api.Code_NOT_FOUND {
		t.Errorf("after --fresh: %v %v", r.Reply, r.Err)
	}
	up.stop(syscall.SIGINT)
}

// What an earlier start laid down is neither changed nor wiped by mistake.
func TestUpRefuses(t *testing.T) {
	foreign, dir := t.TempDir(), filepath.Join(t.TempDir(), "cell")
	if err := os.WriteFile(filepath.Join(foreign, "thesis.tex"), []byte("all of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := portsFor(t)
	up := gfslab(t, "up", "--data", dir, "--port", fmt.Sprint(port), "--masters", "1", "--chunkservers", "2", "--replicas", "2")
	up.await(`(?m)^ready: 1 masters`)
	up.stop(syscall.SIGTERM)
	for line, want := range map[string]string{
		"up --data " + foreign:                     `holds "thesis.tex"`,
		"up --fresh --data " + foreign:             `holds "thesis.tex"`,
		"up --data " + dir + " --backend etcdraft": "backend multipaxos",
		"up --data " + dir + " --masters 3":        "1 masters from port",
		"up --data " + dir + " --chunk-size 1MiB":  "chunks of 67108864 bytes",
		"up --data " + dir + " --chunkservers 1":   "has chunks of 2",
		"up --data " + dir + "/master1":            "not to a `gfslab up`",
		"up --fresh --data " + dir + "/master1":    "not to a `gfslab up`",
		"up --masters 10":                          "--masters 10: it must be 1 to 9",
		"up --chunkservers 0":                      "--chunkservers 0: it must be 1 to 99",
		"up --port 65500":                          "--port 65500: it must be 1 to",
		"up --lease-term 1ms":                      "term is 1ms; it must be at least 10ms",
		"up --chunk-size 1KiB":                     "size is 1KiB; it must be 4KiB to 2GiB",
		"up --chunk-size many":                     `"many" is not a size`,
		"up --backend unreplicated":                "it runs with --masters 1 only",
		"up --limit read_mode=wild":                "read mode",
	} {
		code, out, errOut := invoke(t, strings.Fields(line)...)
		if code != exitUsage || !strings.Contains(errOut, want) {
			t.Errorf("%s: exit %d, want %q\n%s%s", line, code, want, out, errOut)
		}
	}
	if _, err := os.Stat(filepath.Join(foreign, "thesis.tex")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("gfslab-data"); !errors.Is(err, os.ErrNotExist) {
		t.Error("a refused command left a folder behind")
	}
}
