// Package scale measures what a large namespace costs: the metadata state
// machine alone (memory, snapshot, latency beside one), and a cluster of three
// masters that takes snapshots, restarts and brings a laggard up under load.
//
// It is not a check of histories: it injects no fault but stopping a node and
// judges nothing; package harness does. It asserts no figure either. Absolute
// times are those of one machine that three replicas share.
package scale
