// Package file puts files on top of chunks: put and get of whole files with
// checksums and resumption, append, cat, listing with globs, and the operations of
// the namespace with errors that name the path and the reason.
//
// An [FS] is used by one goroutine at a time. It works with several clients, each
// of which has one operation open, and moves pieces of a file side by side.
//
// A file may mix chunks of bytes and chunks of records (docs/adr/0007): a reader
// takes the chunks in order, all of a bytes chunk, and of a records chunk each
// record once, by (client, seq).
//
// It is not a mounted file system: there are no open files, no buffered writes and
// no locks between writers. Two puts to one path at a time disturb each other, and
// the one that notices fails.
package file
