// Package pathlock locks paths as the master of GFS section 4.1 does: whoever
// works on a path holds a read lock on every ancestor and a read or write lock on
// the path itself, so that operations on different paths run in parallel, even
// below one directory, while nothing moves or copies what they work on.
//
// Locks are taken in one total order, by depth and then by bytes, and each is
// first come, first served: nobody waits for ever, and there is no deadlock. A
// table holds only paths that are in use, whatever the size of the namespace.
// There is one short mutex, no goroutine, and a channel only for who must wait.
//
// It is not what makes operations atomic: the operation log does that. It knows
// no namespace: a path need not exist to be locked. It checks no path's form.
package pathlock
