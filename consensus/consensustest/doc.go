// Package consensustest is the one behaviour suite that every backend of the
// consensus contract passes, in virtual time and on real files and sockets.
//
// A backend's own test calls [Run]. The suite starts clusters of one and three
// replicas, drives them with concurrent clients, hurts them through the file
// system and the network, and then judges three things against each other:
// what the clients saw, what every state machine applied, and what the
// contract promises. See [Run] for the scenarios.
//
// It is test code in a package of its own: only tests import it. It is not a
// benchmark, and it knows nothing of any protocol: no term, vote or ballot is
// interpreted beyond "a later leadership has a greater term".
package consensustest
