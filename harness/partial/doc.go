// Package partial asks which protocol goes on when the network is cut in part: a
// matrix of scenarios, backends, modes and switches of our own core, many trials a
// cell, in virtual time.
//
// It works at the level of consensus.Replica with a state machine that does
// nothing: it knows no master, records no history and judges no linearizability.
// It asserts conformance alone - where a mode's own rules let a connected node
// lead, that node commits in time; where nobody has a quorum, nobody commits. Which
// mode wins is a finding.
package partial
