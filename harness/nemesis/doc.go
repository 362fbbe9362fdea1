// Package nemesis breaks a cluster and mends it again. A schedule is data
// (time, fault, length), so that it can be written down, replayed and shrunk;
// a fault hands back its own heal, so that healing cannot be forgotten; and a
// fault that nobody could see is reported as not observed.
//
// Faults enter by the doors that the product has anyway (file system, network)
// or by stopping a node; the product holds no fault code.
package nemesis
