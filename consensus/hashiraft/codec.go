package hashiraft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus/storage"
)

// An entry's bytes: type (1 byte) · time of appending (varint, nanoseconds
// since 1970, 0 = none) · length of the extensions (uvarint) · extensions ·
// data. Index and term stand beside them in storage.Entry.

var errEntry = errors.New("hashiraft: malformed log entry")

func encodeLog(l *raft.Log) storage.Entry {
	b := make([]byte, 0, 1+2*binary.MaxVarintLen64+len(l.Extensions)+len(l.Data))
	b = append(b, byte(l.Type))
	var at int64
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	b = binary.AppendVarint(b, at)
	b = binary.AppendUvarint(b, uint64(len(l.Extensions)))
	b = append(b, l.Extensions...)
	return storage.Entry{Index: l.Index, Stamp: l.Term, Data: append(b, l.Data...)}
}

// decodeLog fills l; its slices alias the entry's, which never change.
func decodeLog(e storage.Entry, l *raft.Log) error {
	kind, err := logType(e)
	if err != nil {
		return err
	}
	rest := e.Data[1:]
	at, n := binary.Varint(rest)
	if n <= 0 {
		return fmt.Errorf("%w at index %d: no time", errEntry, e.Index)
	}
	rest = rest[n:]
	size, n := binary.Uvarint(rest)
	if n <= 0 || size > uint64(len(rest)-n) {
		return fmt.Errorf("%w at index %d: extensions do not fit", errEntry, e.Index)
	}
	rest = rest[n:]
	*l = raft.Log{Index: e.Index, Term: e.Stamp, Type: kind}
	if size > 0 {
		l.Extensions = rest[:size:size]
	}
	if data := rest[size:]; len(data) > 0 {
		l.Data = data[:len(data):len(data)]
	}
	if at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	return nil
}

func logType(e storage.Entry) (raft.LogType, error) {
	if len(e.Data) == 0 || e.Data[0] > byte(raft.LogConfiguration) {
		return 0, fmt.Errorf("%w at index %d: no known type", errEntry, e.Index)
	}
	return raft.LogType(e.Data[0]), nil
}
