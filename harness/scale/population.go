package scale

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

// Population is a namespace to build: directories of equal size two levels
// down, files with chunks, each chunk granted once to three chunkservers.
type Population struct {
	Files         int `json:"files"`
	FilesPerDir   int `json:"files_per_dir"`
	ChunksPerFile int `json:"chunks_per_file"`
	// Names are "numbered" (as the parts of a job are) or "random" (24 hexadecimal
	// digits, which no prefix compression helps).
	Names string `json:"names"`
}

// The forms of names.
const (
	Numbered = "numbered"
	Random   = "random"
)

func (p Population) dirs() int { return max(1, (p.Files+p.FilesPerDir-1)/p.FilesPerDir) }

func (p Population) dir(i int) string { return fmt.Sprintf("/data/set-%04d", i) }

// path is that of the i-th file. Neighbours in the order of creation are in
// different directories, as with many clients at work.
func (p Population) path(i int) string {
	dir, nth := i%p.dirs(), i/p.dirs()
	if p.Names == Random {
		return fmt.Sprintf("%s/%016x%08x", p.dir(dir), scramble(uint64(i)), uint32(scramble(uint64(i)+1<<40)))
	}
	return fmt.Sprintf("%s/part-%05d-of-%05d", p.dir(dir), nth, p.FilesPerDir)
}

// servers are the three of a hundred that hold a chunk.
func (p Population) servers(handle uint64) []string {
	first := scramble(handle) % 100
	return []string{server(first), server((first + 1 + scramble(handle+1<<41)%49) % 100), server((first + 50) % 100)}
}

func server(n uint64) string { return fmt.Sprintf("cs-%03d.cell", n) }

// scramble is a bijection that looks random (the finalizer of splitmix64).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// encode encodes a command that carries its session, if it has one.
func encode(cmd *metapb.Command) []byte {
	b, err := proto.Marshal(cmd)
	if err != nil {
		panic(err) // a message of plain fields has an encoding
	}
	return b
}

// codeOf is the code of an encoded reply; Invalid stands for no reply at all.
func codeOf(reply []byte) meta.Code {
	var r metapb.Reply
	if proto.Unmarshal(reply, &r) != nil {
		return meta.Invalid
	}
	return meta.Code(r.Code)
}

func mkdir(path string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: path}}}
}

func create(path string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: path}}}
}

func allocate(path string, slot int) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: path, ChunkIndex: uint32(slot)}}}
}

func intent(handle uint64, servers []string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_GrantIntent{GrantIntent: &metapb.GrantIntentOp{Handle: handle, Replicas: servers}}}
}

func active(handle, intent uint64, servers []string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_GrantActive{GrantActive: &metapb.GrantActiveOp{
		Handle: handle, IntentIndex: intent, Primary: servers[0], Acked: servers,
	}}}
}

func leaseEnd(handle, epoch uint64) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_LeaseEnd{LeaseEnd: &metapb.LeaseEndOp{Handle: handle, Epoch: epoch}}}
}

func rename(from, to string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_Rename{Rename: &metapb.RenameOp{From: from, To: to}}}
}
