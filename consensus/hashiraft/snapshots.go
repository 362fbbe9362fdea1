package hashiraft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"gfslab/consensus/storage"
)

// snapshots is the library's SnapshotStore over storage's snapshots: the
// newest one only. A snapshot that is being taken or received is held in
// memory until it is complete.
type snapshots struct{ log *storage.Log }

var _ raft.SnapshotStore = snapshots{}

// The backend's own bytes of a snapshot: configuration's index, size, encoded
// configuration.
func snapshotData(configuration raft.Configuration, index uint64, size int) []byte {
	b := binary.AppendUvarint(nil, index)
	b = binary.AppendUvarint(b, uint64(size))
	return append(b, raft.EncodeConfiguration(configuration)...)
}

func snapshotMeta(m storage.SnapshotMeta) (*raft.SnapshotMeta, error) {
	index, n := binary.Uvarint(m.Data)
	if n <= 0 {
		return nil, fmt.Errorf("hashiraft: snapshot %d has no configuration", m.Index)
	}
	size, k := binary.Uvarint(m.Data[n:])
	if k <= 0 {
		return nil, fmt.Errorf("hashiraft: snapshot %d has no size", m.Index)
	}
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: snapshotID(m.Index, m.Stamp), Index: m.Index, Term: m.Stamp,
		Configuration: raft.DecodeConfiguration(m.Data[n+k:]), ConfigurationIndex: index, Size: int64(size),
	}, nil
}

func snapshotID(index, term uint64) string { return fmt.Sprintf("%d-%d", term, index) }

func (s snapshots) Create(_ raft.SnapshotVersion, index, term uint64, c raft.Configuration, cIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{log: s.log, index: index, term: term, configuration: c, configurationIndex: cIndex}, nil
}

func (s snapshots) List() ([]*raft.SnapshotMeta, error) {
	m, body, err := s.log.OpenSnapshot()
	if errors.Is(err, storage.ErrNoSnapshot) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	meta, err := snapshotMeta(m)
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{meta}, nil
}

func (s snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m, body, err := s.log.OpenSnapshot()
	if err != nil {
		return nil, nil, err
	}
	meta, err := snapshotMeta(m)
	if err == nil && meta.ID != id {
		err = fmt.Errorf("hashiraft: there is no snapshot %s, only %s", id, meta.ID)
	}
	if err != nil {
		return nil, nil, errors.Join(err, body.Close())
	}
	return meta, body, nil
}

// sink collects one snapshot.
type sink struct {
	log                *storage.Log
	index, term        uint64
	configuration      raft.Configuration
	configurationIndex uint64
	buf                bytes.Buffer
	ended              bool
}

func (s *sink) ID() string                  { return snapshotID(s.index, s.term) }
func (s *sink) Write(p []byte) (int, error) { return s.buf.Write(p) }

// Close makes the snapshot durable.
func (s *sink) Close() error {
	if s.ended {
		return nil
	}
	s.ended = true
	meta := storage.SnapshotMeta{
		Index: s.index, Stamp: s.term,
		Data: snapshotData(s.configuration, s.configurationIndex, s.buf.Len()),
	}
	return s.log.SaveSnapshot(meta, func(w io.Writer) error {
		_, err := s.buf.WriteTo(w)
		return err
	})
}

// Cancel drops it; after Close it does nothing.
func (s *sink) Cancel() error {
	s.ended = true
	s.buf = bytes.Buffer{}
	return nil
}
