package cluster

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"gfslab/consensus/wire"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
	"gfslab/internal/ports"
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
// different for different names. A node gets its port back after a crash: the
// source holds them all as long as something refers to it. It is used from one
// goroutine.
func Addresses(rng *rand.Rand) func(name string) string {
	addresses, held := map[string]string{}, &ports.Set{}
	return func(name string) string {
		if addresses[name] == "" {
			address, err := held.Take(rng.IntN)
			if err != nil {
				address = "127.0.0.1:0" // the listener will say what is wrong
			}
			addresses[name] = address
		}
		return addresses[name]
	}
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
