package node

import (
	"syscall"
	"testing"
)

// Chunks' files take no more than half of what the process may open.
func TestOpenFilesLeaveRoomForConnections(t *testing.T) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		limit       uint64
		asked, want int
	}{{1000, 0, 500}, {1000, 300, 300}, {1000, 800, 500}} {
		now := was
		now.Cur = c.limit
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
			t.Fatal(err)
		}
		if got := openFiles(c.asked); got != c.want {
			t.Errorf("%d asked for, %d open in all: %d, want %d", c.asked, c.limit, got, c.want)
		}
	}
}
