package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// Record is one record as read from a replica.
type Record struct {
	Handle  uint64
	Offset  uint64
	Version uint64 // under which it was written
	Client  string
	Seq     uint64
	CRC     uint32 // crc32c of the payload, verified
	Payload []byte
}

// ReadResult is how a read ended. Code is OK, NOT_FOUND (no record there on any
// replica that answered) or the master's refusal.
type ReadResult struct {
	Outcome  Outcome // OK or Fail: a read has no effect
	Err      error
	Code     api.Code
	Record   Record
	Version  uint64 // of the replica that answered
	Replica  string // that answered
	Attempts []Attempt
}

// ReadRecord reads the record at the offset of a chunk from any replica.
func (c *Client) ReadRecord(ctx context.Context, handle, offset uint64, options ...CallOption) ReadResult {
	co := gather(options)
	o, end := c.start(ctx)
	defer end()
	res := ReadResult{Outcome: Fail}
	for o.Live() {
		cached := c.known(handle) != nil
		loc, code := c.locate(o, handle, co.first)
		if code != api.Code_OK {
			res.Outcome, res.Code = OK, code
			break
		}
		if loc == nil {
			break
		}
		if loc.Version == 0 {
			res.Outcome, res.Code = OK, api.Code_NO_CHUNK
			break
		}
		absent := 0
		for _, name := range c.readOrder(loc, co.replica) {
			reply, err := o.read(loc, name, &api.ReadChunkRequest{Handle: handle, Version: loc.Version, Offset: offset})
			if err != nil {
				continue
			}
			if reply.Code == api.Code_NOT_FOUND {
				absent++
				continue
			}
			rec, err := parseRecord(reply.Data, handle, offset)
			if err != nil {
				o.Last = err
				continue
			}
			res.Outcome, res.Record, res.Version, res.Replica = OK, rec, reply.Version, name
			res.Attempts = o.Attempts
			return res
		}
		// Those that were known from before may have been moved away.
		if !cached && absent > 0 && absent == len(loc.Replicas) {
			res.Outcome, res.Code = OK, api.Code_NOT_FOUND
			break
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

// locate returns the chunk's replicas, from the cache if they are known; there are
// none, and no version, if nothing was ever written. The code is the master's if it
// is not OK; nil means that the context ended.
func (c *Client) locate(o *op, handle, first uint64) (*api.ChunkReply, api.Code) {
	for {
		if loc := c.known(handle); loc != nil {
			return loc, api.Code_OK
		}
		reply, _, ok := ask(o, first, c.o.AttemptTimeout, func(ctx context.Context, m api.MasterClient) (*api.ChunkReply, error) {
			return m.ChunkInfo(ctx, &api.LeaseRequest{Handle: handle})
		})
		switch {
		case !ok:
			return nil, api.Code_OK
		case reply.Code == api.Code_WARMING_UP:
			o.Last = fmt.Errorf("chunk %d: the master has not heard yet where it is", handle)
		case reply.Code != api.Code_OK:
			return nil, reply.Code
		case len(reply.Replicas) > 0:
			c.learn(reply)
			return reply, api.Code_OK
		case reply.Version == 0:
			return reply, api.Code_OK // allocated, never granted
		default:
			o.Last = fmt.Errorf("chunk %d: none of its replicas is alive", handle)
		}
		if !o.Pause() {
			return nil, api.Code_OK
		}
	}
}

// readOrder is the replicas in random order, the wanted one first, those last that
// did not answer a short while ago.
func (c *Client) readOrder(loc *api.ChunkReply, wanted string) []string {
	names := append([]string(nil), loc.Replicas...)
	c.Rand().Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	if len(c.silent) > 0 {
		now := c.Now()
		slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(c.avoided(a, now), c.avoided(b, now)) })
	}
	for i, name := range names {
		if name == wanted {
			names[0], names[i] = names[i], names[0]
		}
	}
	return names
}

// read asks one replica; STALE counts as an error.
func (o *op) read(loc *api.ChunkReply, name string, r *api.ReadChunkRequest) (reply *api.ReadChunkReply, err error) {
	addr := loc.Addresses[name]
	if addr == "" {
		o.Last = fmt.Errorf("no address of replica %q", name)
		return nil, o.Last
	}
	_, err = o.Attempt(name, addr, o.c.o.DataTimeout, func(ctx context.Context, cc *conn) (err error) {
		reply, err = api.NewChunkserverClient(cc).ReadChunk(ctx, r)
		o.c.answered(name, err)
		if err == nil && reply.Code != api.Code_OK && reply.Code != api.Code_NOT_FOUND {
			err = status.Errorf(codes.FailedPrecondition, "replica at version %d answers %v", reply.Version, reply.Code)
		}
		return err
	})
	if err == nil {
		// Who has seen a version takes no older one any more, whatever was cached.
		loc.Version = max(loc.Version, reply.Version)
	}
	return reply, err
}

var errNotRecord = errors.New("the replica sent something that is not that record")

func parseRecord(b []byte, handle, offset uint64) (Record, error) {
	f, _, err := api.ParseFrame(b)
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", errNotRecord, err)
	}
	if f.Handle != handle || f.Offset != offset || f.Kind != api.FrameRecord {
		return Record{}, errNotRecord
	}
	return RecordOf(f), nil
}

// RecordOf is the record that a frame holds.
func RecordOf(f api.Frame) Record {
	return Record{Handle: f.Handle, Offset: f.Offset, Version: f.Version, Client: f.Client, Seq: f.Seq, CRC: f.CRC, Payload: f.Payload}
}
