// Package workloads holds the named streams of client operations that gfslab
// drives a GFS cell with, and the schedules by which they arrive.
//
// A workload is pure: the same seed and client give the same operations on every
// machine, whatever becomes of them. Those made for judging (create, append,
// lease-churn, register) mix in about 30 % linearizable reads of what *other*
// clients change, and keep all clients on a hot set of paths or chunks, so that
// operations overlap where a checker can tell right from wrong. The profiles with
// names from elsewhere (gfs-x, spotify, mdtest-easy ...) have exactly the shares of
// their source; what a source leaves open is a named constant here.
//
// It is not a client (it sends nothing), not a clock (arrivals are offsets) and
// not a recorder (harness/history is).
package workloads
