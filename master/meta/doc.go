// Package meta is the metadata state machine of the GFS master: namespace with
// what is hidden in it, attributes and quotas, chunks, leases and client sessions,
// changed by the commands of the operation log (package metapb) and by nothing
// else.
//
// It does not know which chunkservers live or what they hold, when a lease may be
// ended, nor whether it leads: that is package master's, and none of it is in the
// log. It is pure: no clock, no randomness, no goroutine, no I/O, and it imports
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
// the state: neither is ever used twice. Rename refuses an existing destination
// and moves whole subtrees.
//
// Delete hides (GFS, section 4.4): the entry gets a key that no path leads to, a
// directory with all that is below it in one step. It stays until Purge finds its
// retention over by the state's time, or until it is deleted once more by its id;
// until then Undelete brings it back, and it counts like any other. A directory is
// removed from the deepest entry on, over several commands if need be: from the
// first on it cannot be brought back, nor be seen, but its expiry entry stays until
// the end. What was hidden in it before has no path any more and goes with it.
//
// Attributes are inherited: retention at the delete, the goal of a chunk when it is
// allocated. A quota counts the files and chunks below its directory, at each
// command that changes them, in every directory above that has one; without any,
// commands pay nothing. Setting a quota, and a move between different quotas, count
// a tree, and are refused (TOO_LARGE) beyond 200,000 files and directories.
//
// # Copies
//
// The command Snapshot (GFS, section 3.4) copies names, attributes and extents of a
// file or tree, at most 200,000 files, directories and chunks: the chunks are then
// in several files, which they count. It is refused with the handle of the first
// chunk that has a lease or an intent, in this order: NOT_FOUND, EXISTS and what
// else rename is refused with, TOO_LARGE, QUOTA, LEASE_HELD. A shared chunk is
// granted no more; CopyBegin takes a handle for a private copy, and CopyCommit puts
// it into one file, at the version that was copied. Handles of copies that were
// never committed stay unused; what they were taken for is kept of the last 65,536.
//
// # Checkpoints
//
// (*State).Snapshot, which has nothing to do with the command, captures in constant time and WriteTo writes it in bounded memory
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
// only them (STALE otherwise), because any other replica may miss data. AddMember
// takes a clone in while nothing can change the chunk; RemoveMember leaves at least
// one. LeaseEnd with the index of a pending intent gives that intent up. Seal, by
// the holder of the lease, fixes a chunk's length for ever: it is granted no more.
package meta
