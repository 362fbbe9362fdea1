// Package disk is a file system that can lose power.
//
// Writes and changes of directories stay in memory until Sync; Crash keeps what
// was synced and a seeded share of the rest, and hands back the file system that
// the machine would see after its restart. It runs over memory (NewMem), with
// nothing that real time could leak in by, and over real files (NewReal), where
// a sync really writes and really calls fsync, so that its cost stays honest.
//
// It is not a simulation of a particular file system: it is stricter than most.
// A synced file whose directory entry was not synced is lost; changes of one
// directory survive independently of each other (a rename within one directory
// is one change); the unsynced bytes of a file survive sector by sector.
//
// # Generations
//
// An FS is one generation: the life of a machine between two crashes. After
// Crash, everything still done through the old generation or through its open
// files succeeds and changes nothing: it goes to the void. The caller cuts the
// node's connections before it crashes its disk. Reads through the old
// generation see its own unsynced writes over what is durable now.
//
// # Limits
//
//   - NewReal names its files after their inodes in one flat folder; the tree of
//     directories lives in this process only.
//   - Link, and renaming a file from one directory into another, are two
//     independent changes.
//   - GetDiskUsage is not supported.
package disk
