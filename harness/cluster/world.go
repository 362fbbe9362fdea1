package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	"gfslab/consensus/wire"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
)

// World is where a cell runs: its network, its disks, its addresses.
type World struct {
	Network wire.Network
	// Disk returns the disk of a node, empty at first.
	Disk func(node string) (Disk, error)
	// Address returns the address for a name; it is the same for the same name.
	Address func(name string) string
}

// Disk is one node's crashable disk.
type Disk interface {
	// FS is the file system of the present incarnation.
	FS() disk.FS
	// Dir is the node's folder.
	Dir() string
	// Crash rolls back to what was synced, with a share of the rest.
	Crash(keepPercent int)
	// Syncs counts fsyncs over all incarnations.
	Syncs() uint64
	// Slow makes every sync take d longer; 0 ends it.
	Slow(d time.Duration)
	// Rot flips the bits of mask in one durable byte of a file.
	Rot(name string, offset int64, mask byte) error
}

// LocalWorld is real files under dir and TCP on the loopback interface.
func LocalWorld(dir string, seed uint64) (World, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return World{}, err
	}
	return World{
		Network: wire.TCP(),
		Disk: func(node string) (Disk, error) {
			fs, err := faultdisk.NewReal(filepath.Join(dir, node), diskSeed(seed, node))
			return &fsDisk{fs: fs}, err
		},
		Address: Addresses(rand.New(rand.NewPCG(seed, 0xadd7e55))),
	}, nil
}

// What a sync and a link cost in virtual time. They stand in for the disk and
// the network that are not there; everything else is free. A sync of a good
// disk takes less, a link within a data centre about as long.
const (
	VirtualSync = time.Millisecond
	VirtualLink = 250 * time.Microsecond // one way
)

// VirtualWorld is memory disks and in-memory links: it runs in a bubble of
// virtual time. It must be made inside the bubble.
func VirtualWorld(seed uint64) World {
	return World{
		Network: wire.NewMemoryWithLatency(VirtualLink),
		Disk: func(node string) (Disk, error) {
			fs := faultdisk.NewMem(diskSeed(seed, node))
			fs.StallSyncs(VirtualSync)
			return &fsDisk{fs: fs}, nil
		},
		Address: func(name string) string { return name },
	}
}

func diskSeed(seed uint64, node string) uint64 {
	for _, b := range []byte(node) {
		seed = seed*1099511628211 + uint64(b)
	}
	return seed
}

// Addresses returns a source of loopback addresses: the same for the same name,
// different for different names. It is used from one goroutine.
func Addresses(rng *rand.Rand) func(name string) string {
	addresses := map[string]string{}
	return func(name string) string {
		if addresses[name] == "" {
			addresses[name] = freePort(rng)
		}
		return addresses[name]
	}
}

// freePort returns a loopback address that nobody listens at, below the range
// that the kernel takes outgoing ports from: a node must get its port back
// after a crash.
func freePort(rng *rand.Rand) string {
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 12000+rng.IntN(20000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		_ = l.Close()
		return addr
	}
	return "127.0.0.1:0" // the listener will say what is wrong
}

// fsDisk is a Disk over a crashable file system.
type fsDisk struct{ fs *faultdisk.FS }

func (d *fsDisk) FS() disk.FS   { return d.fs }
func (d *fsDisk) Dir() string   { return "/node" }
func (d *fsDisk) Syncs() uint64 { return d.fs.Syncs() }

func (d *fsDisk) Slow(by time.Duration) { d.fs.SlowSyncs(by) }

func (d *fsDisk) Rot(name string, offset int64, mask byte) error {
	return d.fs.Rot(name, offset, mask)
}

func (d *fsDisk) Crash(keepPercent int) { d.fs = d.fs.Crash(keepPercent) }
