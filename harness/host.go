package harness

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gfslab/results/rundir"
)

// HostFacts states the machine's facts that bear on figures measured in dir.
// It takes about a quarter of a second: it times fdatasync, one at a time and
// three at once, because three replicas of one machine share its disk.
func HostFacts(dir string) (rundir.Host, error) {
	h, err := HostFactsUntimed(dir)
	if err != nil {
		return h, err
	}
	steal0, total0 := cpuJiffies()
	if h.Sync1P50US, err = syncP50(dir, 1, 80*time.Millisecond); err != nil {
		return h, err
	}
	if h.Sync3P50US, err = syncP50(dir, 3, 80*time.Millisecond); err != nil {
		return h, err
	}
	h.PacerLagP99 = pacerLag(60)
	if steal1, total1 := cpuJiffies(); total1 > total0 {
		h.StealPercent = 100 * float64(steal1-steal0) / float64(total1-total0)
	}
	return h, nil
}

// HostFactsUntimed is HostFacts without what has to be timed.
func HostFactsUntimed(dir string) (rundir.Host, error) {
	h := rundir.Host{
		OS: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version(),
		CPU: procField("/proc/cpuinfo", "model name"),
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		h.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	if kb, err := strconv.ParseUint(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		h.MemoryBytes = kb << 10
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return h, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return h, fmt.Errorf("statfs %s: %w", dir, err)
	}
	h.FileSystem, h.Durable = fsName(int64(fs.Type))
	h.FreeBytes = fs.Bavail * uint64(fs.Bsize)
	return h, nil
}

// fsName names a file system and says whether a sync on it reaches a disk.
func fsName(magic int64) (name string, durable bool) {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4", true
	case unix.XFS_SUPER_MAGIC:
		return "xfs", true
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs", true
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs", true
	case unix.TMPFS_MAGIC:
		return "tmpfs", false
	case unix.RAMFS_MAGIC:
		return "ramfs", false
	}
	return fmt.Sprintf("magic 0x%x", magic), true
}

// syncP50 returns the median time in microseconds of a 4 KiB overwrite and its
// fdatasync, with n writers at once for d in all.
func syncP50(dir string, n int, d time.Duration) (float64, error) {
	var (
		mu   sync.Mutex
		all  []time.Duration
		errs error
		wg   sync.WaitGroup
	)
	end := time.Now().Add(d)
	for i := range n {
		wg.Go(func() {
			lags, err := syncLoop(filepath.Join(dir, fmt.Sprintf(".calibrate-%d", i)), end)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, lags...)
			if err != nil {
				errs = err
			}
		})
	}
	wg.Wait()
	if errs != nil || len(all) == 0 {
		return 0, errs
	}
	slices.Sort(all)
	return float64(all[len(all)/2]) / 1e3, nil
}

func syncLoop(name string, end time.Time) (lags []time.Duration, err error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("calibrate the disk: %w", err)
	}
	defer os.Remove(name)
	defer f.Close()
	buf := make([]byte, 4096)
	for i := 0; time.Now().Before(end) || i < 3; i++ {
		t := time.Now()
		if _, err := f.WriteAt(buf, 0); err != nil {
			return lags, fmt.Errorf("calibrate the disk: %w", err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return lags, fmt.Errorf("calibrate the disk: %w", err)
		}
		if i > 0 { // the first sync also commits the new file
			lags = append(lags, time.Since(t))
		}
	}
	return lags, nil
}

// pacerLag returns the 99th percentile, in microseconds, of how late a 1 ms
// timer fires: latencies below it cannot be told in an open loop.
func pacerLag(n int) float64 {
	var lags []time.Duration
	for range n {
		t := time.Now()
		<-time.After(time.Millisecond)
		lags = append(lags, time.Since(t)-time.Millisecond)
	}
	slices.Sort(lags)
	return float64(lags[len(lags)*99/100]) / 1e3
}

// procField returns the first value of key in a "key : value" file, or "".
func procField(file, key string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// cpuJiffies returns the machine's stolen and total CPU time so far.
func cpuJiffies() (steal, total uint64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, f := range strings.Fields(line) {
		v, err := strconv.ParseUint(f, 10, 64)
		if i == 0 || err != nil || i > 8 { // guest time is in user already
			continue
		}
		total += v
		if i == 8 {
			steal = v
		}
	}
	return steal, total
}
