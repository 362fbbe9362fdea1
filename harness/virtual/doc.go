// Package virtual runs plans in a bubble of virtual time: the whole stack,
// unchanged, on memory disks and in-memory links. Its test binary is shipped as
// gfslab-virtual, because a bubble (testing/synctest) needs a testing.T.
//
// Virtual time is protocol time: CPU is free in it. Its schedule repeats from
// the seed, the interleaving of goroutines does not.
package virtual
