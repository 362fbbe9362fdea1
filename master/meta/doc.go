// Package meta is the metadata state machine of the GFS master: namespace,
// chunks, leases and client sessions, changed by the commands of the operation
// log (package metapb) and by nothing else.
//
// It is pure: no clock, no randomness, no goroutine, no I/O, and it imports
// nothing of this module but its own message types and the tables it is kept in
// (package cowtree). Two states that applied the
// same entries are equal and have equal hashes. It takes no lock: the owner
// calls Apply, Snapshot and Restore one at a time and keeps readers out
// meanwhile (package master does so with a sync.RWMutex).
//
// # Commands
//
// Bytes that are no command, a command without an operation, a malformed path
// or a malformed replica list are answered INVALID and change nothing at all,
// neither time nor session. Every other command raises the state's time to
// max(time, stamp) and, if it names a client, goes through the client's session:
// a higher seq than the last one executes and stores its reply, the same seq
// returns the stored reply with replayed set, a lower one is answered STALE and
// executes nothing. A reply carries the position at which it was first produced.
//
// Sessions are forgotten deterministically: one that no command has used for
// more than SessionEntries log indexes is dropped when the next entry is
// applied, and a new one beyond SessionLimit takes the place of the one that was
// not used for longest. A retry that comes later than that would execute again,
// so a client must give up (outcome unknown, new client name) well before.
//
// # Namespace
//
// A table from (directory's id, name) to file or directory. GFS has a table from
// full path; this one is as compact, looks a path up component by component, and
// renames a directory without touching what is in it. A path below a missing or
// deeper broken parent is NOT_FOUND and one directly below a file is
// NOT_DIRECTORY. Ids are
// made of the log position (see FileID) and chunk handles come from a counter in
// the state: neither is ever used twice. Delete removes at once, and directories
// only when empty; rename refuses an existing destination and moves whole
// subtrees.
//
// # Snapshots
//
// Snapshot captures in constant time and WriteTo writes it in bounded memory
// beside further Apply calls. Equal states give equal bytes. Restore takes no
// input on trust: what it accepts is a sound state with the hash that it claims.
//
// # Chunks and leases
//
// A chunk starts at version 0 without members. GrantIntent reserves the next
// version that was never reserved before for a set of replicas; GrantActive
// commits it, with the replicas that acknowledged as the new members and its own
// log index as the epoch of the lease; LeaseEnd ends that epoch. Membership alone
// says which replicas are current: once a chunk has members, an intent may name
// only them (STALE otherwise), because any other replica may miss data. Nothing
// here compares times: when a lease may be ended is the leader's business.
package meta
