// Package harness turns a plan into a run directory: it starts a cluster in
// this process, drives a workload at due times, lets the nemesis break and heal
// things, records the history, and hands the result to the checkers.
//
// It is not the judge (harness/check), not the cluster (harness/cluster), not
// the faults (harness/nemesis), and it draws nothing (results/report).
package harness
