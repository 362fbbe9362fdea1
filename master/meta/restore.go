package meta

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// ErrSnapshot is wrapped by every error of Restore that is not the reader's own.
var ErrSnapshot = errors.New("meta: the snapshot is damaged")

// Restore replaces the state by one that Snapshot.WriteTo wrote. On error the
// state is unchanged.
func (s *State) Restore(r io.Reader) error {
	in := &snapshotReader{r: bufio.NewReaderSize(r, 64<<10)}
	if magic := in.bytes(len(snapshotMagic)); in.err == nil && string(magic) != snapshotMagic {
		return fmt.Errorf("%w: it begins with %q, want %q", ErrSnapshot, magic, snapshotMagic)
	}
	fresh := newState(s.sessions.age)
	fresh.sum = digest{} // the root comes with the snapshot
	clear(fresh.nodes)
	fresh.index, fresh.commands = in.uint(), uint32(in.uint())
	fresh.time, fresh.nextHandle = int64(in.uint()), in.uint()
	hash := in.string()
	fresh.readNodes(in)
	fresh.readChunks(in)
	fresh.readSessions(in)
	sum := in.crc
	if stored := in.bytes(4); in.err == nil && binary.LittleEndian.Uint32(stored) != sum {
		return fmt.Errorf("%w: its checksum does not match", ErrSnapshot)
	}
	if in.err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, in.err)
	}
	if err := fresh.link(); err != nil {
		return err
	}
	if got := fresh.Hash(); got != hash {
		return fmt.Errorf("%w: the state's hash is %s, want %s", ErrSnapshot, got, hash)
	}
	*s = *fresh
	return nil
}

func (s *State) readNodes(in *snapshotReader) {
	for n := in.uint(); n > 0 && in.err == nil; n-- {
		path, id, dir := in.string(), in.uint(), in.bool()
		x := &node{id: id, dir: dir}
		if dir {
			x.children = make(map[string]*node)
		}
		for k := in.uint(); k > 0 && in.err == nil; k-- {
			x.chunks = append(x.chunks, in.uint())
		}
		s.nodes[path] = x
		s.hashNode(path, x)
	}
}

func (s *State) readChunks(in *snapshotReader) {
	for n := in.uint(); n > 0 && in.err == nil; n-- {
		c := &chunk{handle: in.uint(), fileID: in.uint(), slot: uint32(in.uint()), version: in.uint(), reserved: in.uint()}
		c.members = in.strings()
		c.lease = lease{epoch: in.uint(), primary: in.string()}
		c.intent = intent{index: in.uint(), version: in.uint(), replicas: in.strings()}
		c.deleted = in.bool()
		s.chunks[c.handle] = c
		if c.deleted {
			s.orphans[c.handle] = struct{}{}
		}
		s.hashChunk(c)
	}
}

func (s *State) readSessions(in *snapshotReader) {
	for n := in.uint(); n > 0 && in.err == nil; n-- {
		x := &session{client: in.string(), seq: in.uint(), last: in.uint()}
		x.reply = reply{
			code: Code(in.uint()), handle: in.uint(), version: in.uint(), id: in.uint(),
			epoch: in.uint(), index: in.uint(), offset: uint32(in.uint()),
		}
		s.sessions.byClient[x.client] = x
		s.sessions.pushNewest(x)
		s.hashSession(x)
	}
}

// link enters every node into its parent and checks that the parts fit together.
func (s *State) link() error {
	if root := s.nodes["/"]; root == nil || !root.dir {
		return fmt.Errorf("%w: it has no root directory", ErrSnapshot)
	}
	for path, n := range s.nodes {
		for _, handle := range n.chunks {
			if s.chunks[handle] == nil {
				return fmt.Errorf("%w: %q has chunk %d, which is missing", ErrSnapshot, path, handle)
			}
		}
		if path == "/" {
			continue
		}
		if !ValidPath(path) {
			return fmt.Errorf("%w: path %q is malformed", ErrSnapshot, path)
		}
		parentPath, name := splitPath(path)
		parent := s.nodes[parentPath]
		if parent == nil || !parent.dir {
			return fmt.Errorf("%w: %q has no parent directory", ErrSnapshot, path)
		}
		parent.children[name] = n
	}
	return nil
}

// snapshotReader sums what it reads and keeps the first error; after it, every
// method returns zero.
type snapshotReader struct {
	r   *bufio.Reader
	crc uint32
	err error
}

// ReadByte makes the reader an io.ByteReader for varints.
func (in *snapshotReader) ReadByte() (byte, error) {
	c, err := in.r.ReadByte()
	if err == nil {
		in.crc = crc32.Update(in.crc, castagnoli, []byte{c})
	}
	return c, err
}

func (in *snapshotReader) uint() uint64 {
	if in.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(in)
	in.fail(err)
	if err != nil {
		return 0
	}
	return v
}

func (in *snapshotReader) bytes(n int) []byte {
	b := make([]byte, n)
	if in.err != nil {
		return b
	}
	_, err := io.ReadFull(in.r, b)
	in.fail(err)
	in.crc = crc32.Update(in.crc, castagnoli, b)
	return b
}

// maxSnapshotString bounds what one damaged length can make us allocate.
const maxSnapshotString = 1 << 20

func (in *snapshotReader) string() string {
	n := in.uint()
	if n > maxSnapshotString {
		in.fail(fmt.Errorf("a string of %d bytes", n))
		return ""
	}
	return string(in.bytes(int(n)))
}

func (in *snapshotReader) strings() []string {
	var names []string
	for n := in.uint(); n > 0 && in.err == nil; n-- {
		names = append(names, in.string())
	}
	return names
}

func (in *snapshotReader) bool() bool { return in.uint() != 0 }

// fail keeps the first error; the end of the input is never expected.
func (in *snapshotReader) fail(err error) {
	if in.err == nil && err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		in.err = err
	}
}
