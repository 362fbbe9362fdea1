// Package workloads holds the named streams of client operations that gfslab
// drives a GFS cell with, and the schedules by which they arrive.
//
// A workload is pure: the same seed and client give the same operations on every
// machine. It keeps no state between calls, so what an operation finds in the
// cell is the cell's doing. To be worth judging, each one mixes in about 30 %
// linearizable reads of what *other* clients change, and keeps all clients on a
// hot set of paths or chunks, so that operations overlap where a checker can tell
// right from wrong.
//
// It is not a client (it sends nothing), not a clock (arrivals are offsets) and
// not a recorder (harness/history is).
package workloads
