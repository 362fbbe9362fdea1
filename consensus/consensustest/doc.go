// Package consensustest is the one behaviour suite that every backend of the
// consensus contract passes, in virtual time and on real files and sockets.
//
// A backend's own test calls [Run]. The suite starts clusters of one and three
// replicas, drives them with concurrent clients, changes their members, cuts
// their logs, hands over their lead, hurts them through the file system and the
// network, and then judges three things against each other: what the clients
// saw, what every state machine applied and restored, and what the contract
// promises. See [Run] for the scenarios.
//
// The suite's own tests plant bugs: in a reference replica of a few lines, and
// in a real backend where the reference has too little. Each must be caught for
// the right reason.
//
// It is test code in a package of its own: only tests import it. It is not a
// benchmark, and it knows nothing of any protocol: no term, vote or ballot is
// interpreted beyond "a later leadership has a greater term".
package consensustest
