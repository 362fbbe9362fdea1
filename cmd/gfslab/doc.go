// Command gfslab compares Multi-Paxos and Raft under a GFS-style master: it runs
// workloads against the three backends, with and without faults, checks the
// histories and reports.
//
// Here are flags and output only; what they do is in harness and results.
package main
