package rundir

// Op is one client operation: invocation and completion. Times are nanoseconds
// since the start of the run, on one monotonic clock.
type Op struct {
	ID     int64  `json:"id"`
	Client string `json:"client"` // changes after an unknown outcome
	Seq    uint64 `json:"seq"`    // session sequence number; 0 for reads
	Thread int    `json:"thread"` // the client thread, stable
	Kind   string `json:"kind"`   // see the Kind constants
	Path   string `json:"path,omitempty"`
	Path2  string `json:"path2,omitempty"` // rename's and snapshot's destination
	// Handle is 0 where the chunk was named by path and index (Chunk): a find-lease
	// that copies a shared chunk first, a chunk-info by location.
	Handle uint64 `json:"handle,omitempty"`
	Chunk  uint32 `json:"chunk,omitempty"` // chunk index within the file
	// CRC (crc32c) and Length are of the payload: append and write. Package
	// workloads makes the payload again from (client, seq, length). Of a read-bytes,
	// Length is what was asked for.
	CRC    uint32 `json:"crc,omitempty"`
	Length uint32 `json:"length,omitempty"`
	// Offset is within the chunk: where a write goes, where a read-bytes or a
	// read-records begins.
	Offset uint64 `json:"offset,omitempty"`
	// ChunkKind is of an allocate: ChunkOfBytes; "" is a chunk of records.
	ChunkKind string `json:"chunk_kind,omitempty"`
	// DeletedID names what is hidden under the path: delete, undelete, stat.
	DeletedID uint64 `json:"deleted_id,omitempty"`
	// Recursive: delete with all below; list all below, as relative paths.
	Recursive bool `json:"recursive,omitempty"`
	// Long lists with entries, Deleted lists what is hidden, Prefix names that begin
	// so, After and Limit a page. See api.ListRequest.
	Long    bool   `json:"long,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	Prefix  string `json:"prefix,omitempty"`
	After   string `json:"after,omitempty"`
	Limit   uint32 `json:"limit,omitempty"`
	// Set and Clear are of a set-attributes.
	Set   *Attributes `json:"set,omitempty"`
	Clear []string    `json:"clear,omitempty"`
	// Stale marks a read that any replica may have served: it shows a prefix of the
	// log that reaches AtLeast.
	Stale bool `json:"stale,omitempty"`
	// Of the key-value store, whose keys are in Path: the new value, the expected
	// one (or that there be none). AtLeast is the index that a stale read must have
	// seen.
	Value   string `json:"value,omitempty"`
	Expect  string `json:"expect,omitempty"`
	Absent  bool   `json:"absent,omitempty"`
	AtLeast uint64 `json:"at_least,omitempty"`

	Due   int64 `json:"due"`
	Start int64 `json:"start"`
	// End is -1 while the outcome is unknown: the operation never completed.
	End      int64     `json:"end"`
	Outcome  string    `json:"outcome"` // ok, fail, unknown
	Error    string    `json:"error,omitempty"`
	Attempts []Attempt `json:"attempts,omitempty"`
	Phase    string    `json:"phase"` // preload, warmup, run, final
	Reply    *Reply    `json:"reply,omitempty"`
}

// The kinds of operations.
const (
	KindCreate        = "create"
	KindMkdir         = "mkdir"
	KindDelete        = "delete"
	KindUndelete      = "undelete"
	KindRename        = "rename"
	KindSnapshot      = "snapshot"
	KindSetAttributes = "set-attributes"
	KindStat          = "stat"
	KindList          = "list"
	KindUsage         = "usage"
	KindAllocate      = "allocate"
	KindFindLease     = "find-lease"
	KindRevoke        = "revoke"
	KindChunkInfo     = "chunk-info"
	KindAppend        = "append"
	KindReadRecord    = "read-record"
	// A write puts Length bytes at Offset of the chunk at index Chunk; an operation
	// never crosses a chunk.
	KindWrite     = "write"
	KindReadBytes = "read-bytes"
	// A read-records reads the file's records from (Chunk, Offset) on to its end as
	// one replica of each chunk has it, without pads, fragments and duplicates.
	KindReadRecords = "read-records"

	// Of the key-value store. A stale read shows a prefix of the log.
	KindGet      = "get"
	KindGetStale = "get-stale"
	KindPut      = "put"
	KindRemove   = "remove"
	KindSwap     = "cas"
)

// The kinds of chunks; see api.ChunkKind.
const (
	ChunkOfRecords = "records"
	ChunkOfBytes   = "bytes"
)

// Attributes are those of a file or directory; see api.Attributes. Nil is not set.
type Attributes struct {
	RetentionNS *int64  `json:"retention_ns,omitempty"`
	Replicas    *uint32 `json:"replicas,omitempty"`
	MaxFiles    *uint64 `json:"max_files,omitempty"`
	MaxChunks   *uint64 `json:"max_chunks,omitempty"`
}

// Attempt is one RPC of an operation to one node.
type Attempt struct {
	Node  string `json:"node"`
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	Error string `json:"error,omitempty"` // empty: answered
}

// Reply is what the client saw. Code is the name of an api.Code.
type Reply struct {
	Code      string `json:"code"`
	Index     uint64 `json:"index"`
	Offset    uint32 `json:"offset"`
	Term      uint64 `json:"term,omitempty"`
	Node      string `json:"node"`
	Directory bool   `json:"directory,omitempty"`
	// FileID is of what was looked at, made, moved, hidden or brought back.
	FileID   uint64   `json:"file_id,omitempty"`
	Handle   uint64   `json:"handle,omitempty"`
	Version  uint64   `json:"version,omitempty"`
	Epoch    uint64   `json:"epoch,omitempty"`
	Primary  string   `json:"primary,omitempty"`
	Replicas []string `json:"replicas,omitempty"`
	Granted  bool     `json:"granted,omitempty"`
	Chunks   []uint64 `json:"chunks,omitempty"`
	// Details of the Chunks, in their order.
	Details []ChunkDetail `json:"details,omitempty"`
	Names   []string      `json:"names,omitempty"`
	Entries []Entry       `json:"entries,omitempty"`
	// Next is what a listing goes on after; "" at its end.
	Next string `json:"next,omitempty"`
	// Own are the attributes set at the path, Effective those that hold there.
	Own       *Attributes `json:"own,omitempty"`
	Effective *Attributes `json:"effective,omitempty"`
	// QuotaFiles and QuotaChunks count against a directory's own quota.
	QuotaFiles  uint64 `json:"quota_files,omitempty"`
	QuotaChunks uint64 `json:"quota_chunks,omitempty"`
	Usage       *Usage `json:"usage,omitempty"`
	// ChunkKind, Sealed and Refs are of the chunk.
	ChunkKind string `json:"chunk_kind,omitempty"`
	Sealed    bool   `json:"sealed,omitempty"`
	Refs      uint32 `json:"refs,omitempty"`
	// ChunkOffset is the offset that a record append was given. Serial is the place
	// of an append or write in the primary's order.
	ChunkOffset uint64 `json:"chunk_offset,omitempty"`
	Serial      uint64 `json:"serial,omitempty"`
	// CRC is the crc32c of the bytes that a read returned, Length their number.
	CRC    uint32 `json:"crc,omitempty"`
	Length uint32 `json:"length,omitempty"`
	// Records are those that a read-records found, in order.
	Records []RecordSeen `json:"records,omitempty"`
	// Behind and LagNS are what a stale read says of itself; see api.Position.
	Behind uint64 `json:"behind,omitempty"`
	LagNS  int64  `json:"lag_ns,omitempty"`
	// Value and Revision are a key's.
	Value    string `json:"value,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
}

// ChunkDetail is one chunk of a file; see api.ChunkDetail. Its length is soft
// state, and left out.
type ChunkDetail struct {
	Handle uint64 `json:"handle"`
	Kind   string `json:"kind"`
	Sealed bool   `json:"sealed,omitempty"`
	Refs   uint32 `json:"refs,omitempty"`
}

// Entry is one entry of a long listing; see api.Entry. Its bytes are soft state,
// and left out.
type Entry struct {
	Name      string `json:"name"`
	ID        uint64 `json:"id"`
	Directory bool   `json:"directory,omitempty"`
	Chunks    uint32 `json:"chunks,omitempty"`
	DeletedNS int64  `json:"deleted_ns,omitempty"`
	ExpiresNS int64  `json:"expires_ns,omitempty"`
}

// Usage counts what is below a path; see api.UsageReply. Its bytes are soft
// state, and left out.
type Usage struct {
	Files        uint64 `json:"files"`
	Directories  uint64 `json:"directories"`
	Chunks       uint64 `json:"chunks"`
	HiddenFiles  uint64 `json:"hidden_files"`
	HiddenChunks uint64 `json:"hidden_chunks"`
}

// RecordSeen is one record that a reader found.
type RecordSeen struct {
	Chunk  uint32 `json:"chunk"` // index within the file
	Handle uint64 `json:"handle"`
	Offset uint64 `json:"offset"`
	Client string `json:"client"`
	Seq    uint64 `json:"seq"`
	CRC    uint32 `json:"crc"`
	Length uint32 `json:"length"`
}
