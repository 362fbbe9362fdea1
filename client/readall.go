package client

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// MaxRead is the most bytes that one ranged read returns.
const MaxRead = 1 << 20

// BytesResult is how a ranged read ended. Code is OK or the master's refusal. A
// chunk that nothing was ever written to is read as empty, without a Replica.
type BytesResult struct {
	Outcome Outcome // OK or Fail: a read has no effect
	Err     error
	Code    api.Code
	// Data is shorter than asked for at the end of the replica only. End is the
	// length of its durable part; other replicas may be longer or shorter by what
	// was never acknowledged.
	Data     []byte
	End      uint64
	Kind     api.ChunkKind
	Version  uint64
	Replica  string
	Attempts []Attempt
}

// ReadBytes returns up to length bytes (at most MaxRead) of a chunk as they are,
// checksum verified, from any replica that has the chunk's version: one that is
// stale, corrupt or dead is passed over.
func (c *Client) ReadBytes(ctx context.Context, handle, offset uint64, length int, options ...CallOption) BytesResult {
	co := gather(options)
	o, end := c.start(ctx)
	defer end()
	res := BytesResult{Outcome: Fail}
	for o.Live() {
		loc, code := c.locate(o, handle, co.first)
		if code != api.Code_OK {
			res.Outcome, res.Code = OK, code
			break
		}
		if loc == nil {
			break
		}
		if loc.Version == 0 {
			res.Outcome, res.Kind = OK, loc.Kind
			break
		}
		for _, name := range c.readOrder(loc, co.replica) {
			reply, err := o.readRange(loc, name, offset, length)
			if err != nil {
				continue
			}
			res.Outcome, res.Data, res.End, res.Kind = OK, reply.Data, reply.End, reply.Kind
			res.Version, res.Replica, res.Attempts = reply.Version, name, o.Attempts
			return res
		}
		delete(c.chunks, handle)
		if !o.Pause() {
			break
		}
	}
	res.Attempts = o.Attempts
	if res.Outcome != OK {
		res.Err = o.Err()
	}
	return res
}

// readRange reads a range from one replica and verifies its checksum.
func (o *op) readRange(loc *api.ChunkReply, name string, offset uint64, length int) (*api.ReadChunkReply, error) {
	reply, err := o.read(loc, name, &api.ReadChunkRequest{Handle: loc.Handle, Version: loc.Version, Offset: offset, Length: uint32(min(length, MaxRead))})
	switch {
	case err != nil:
		return nil, err
	case reply.Code != api.Code_OK:
		o.Last = fmt.Errorf("replica %s answers %v", name, reply.Code)
	case len(reply.Data) > length || offset+uint64(len(reply.Data)) > reply.End:
		o.Last = fmt.Errorf("replica %s sent %d bytes at %d of %d where %d were asked for", name, len(reply.Data), offset, reply.End, length)
	case api.Checksum(reply.Data) != reply.Crc32C:
		o.Last = fmt.Errorf("bytes of replica %s arrived with another checksum", name)
	default:
		return reply, nil
	}
	return nil, o.Last
}

// ReplicaSum is what one replica says of a chunk's durable bytes.
type ReplicaSum struct {
	Replica string
	CRC     uint32 // crc32c of [0, End), verified
	End     uint64
	Err     error // set: nothing is known of this replica's bytes
	// ChunkBytes is the size of the chunkserver's chunks, 0 if it did not say.
	ChunkBytes uint64
}

// Sums asks every replica of a chunk for the checksum of its bytes, again while none
// answers: a master that has just begun to lead may not know yet where they are. The
// error or the code says why none could be asked. There are none if nothing was ever
// written to the chunk.
func (c *Client) Sums(ctx context.Context, handle uint64) ([]ReplicaSum, api.Code, error) {
	o, end := c.start(ctx)
	defer end()
	for {
		delete(c.chunks, handle) // it changes what is known: ask for the newest version
		loc, code := c.locate(o, handle, 0)
		switch {
		case code != api.Code_OK:
			return nil, code, nil
		case loc == nil:
			return nil, api.Code_OK, o.Err()
		}
		answered := len(loc.Replicas) == 0
		sums := make([]ReplicaSum, 0, len(loc.Replicas))
		for _, name := range loc.Replicas {
			sum := o.sum(loc, name)
			answered = answered || sum.Err == nil || status.Code(sum.Err) == codes.FailedPrecondition
			sums = append(sums, sum)
		}
		if answered || !o.Pause() {
			return sums, api.Code_OK, nil
		}
	}
}

// sum asks one replica.
func (o *op) sum(loc *api.ChunkReply, name string) ReplicaSum {
	sum := ReplicaSum{Replica: name, Err: errNoAddress}
	if addr := loc.Addresses[name]; addr != "" {
		_, sum.Err = o.Attempt(name, addr, o.c.o.sumTimeout(), func(ctx context.Context, cc *conn) error {
			reply, err := api.NewChunkserverClient(cc).ChecksumChunk(ctx, &api.ChecksumRequest{Handle: loc.Handle, Version: loc.Version})
			if err == nil && reply.Code != api.Code_OK {
				err = status.Errorf(codes.FailedPrecondition, "the replica answers %v", reply.Code)
			}
			sum.CRC, sum.End, sum.ChunkBytes = reply.GetCrc32C(), reply.GetEnd(), reply.GetChunkBytes()
			return err
		})
	}
	return sum
}

var errNoAddress = errors.New("no address of the replica")

// ReadAll returns the file's records in chunk order, without pads, fragments and
// duplicates: of several copies of a (client, seq) the first is kept. Records
// that were never acknowledged may be among them.
func (c *Client) ReadAll(ctx context.Context, path string) ([]Record, error) {
	st := c.Stat(ctx, path)
	switch {
	case st.Outcome != OK:
		return nil, fmt.Errorf("read %s: %w", path, st.Err)
	case st.Reply.Code != api.Code_OK:
		return nil, fmt.Errorf("read %s: %v", path, st.Reply.Code)
	}
	var all []Record
	seen := make(map[Session]bool)
	for _, handle := range st.Reply.Chunks {
		records, err := c.readChunk(ctx, handle)
		if err != nil {
			return nil, fmt.Errorf("read %s, chunk %d: %w", path, handle, err)
		}
		for _, r := range records {
			if s := (Session{Client: r.Client, Seq: r.Seq}); !seen[s] {
				seen[s] = true
				all = append(all, r)
			}
		}
	}
	return all, nil
}

// readChunk returns all records that one replica has.
func (c *Client) readChunk(ctx context.Context, handle uint64) ([]Record, error) {
	o, end := c.start(ctx)
	defer end()
	for o.Live() {
		loc, code := c.locate(o, handle, 0)
		if code != api.Code_OK {
			return nil, fmt.Errorf("the master answers %v", code)
		}
		if loc == nil {
			break
		}
		if loc.Version == 0 {
			return nil, nil
		}
		for _, name := range c.readOrder(loc, "") {
			data, err := o.readBytes(loc, name)
			if err != nil {
				continue
			}
			var records []Record
			api.WalkFrames(data, handle, func(f api.Frame) {
				if f.Kind == api.FrameRecord {
					records = append(records, RecordOf(f))
				}
			}, func(int, int) {})
			return records, nil
		}
		delete(c.chunks, handle)
		if !o.Pause() {
			break
		}
	}
	return nil, o.Err()
}

// readBytes returns all of one replica's bytes.
func (o *op) readBytes(loc *api.ChunkReply, name string) ([]byte, error) {
	var data []byte
	for {
		reply, err := o.readRange(loc, name, uint64(len(data)), MaxRead)
		if err != nil {
			return nil, err
		}
		data = append(data, reply.Data...)
		if len(reply.Data) == 0 || uint64(len(data)) >= reply.End {
			return data, nil
		}
	}
}
