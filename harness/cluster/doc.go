// Package cluster starts, stops and crashes a GFS cell in this process: masters
// with their replicas, and chunkservers, each behind its own wrapped file
// system and network, so that a crash loses what a power cut would lose.
//
// It decides nothing about when to break what (harness/nemesis does) and drives
// no load (harness does).
package cluster
