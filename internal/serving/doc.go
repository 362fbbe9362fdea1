// Package serving is what every service over a consensus.Replica shares: how a
// replica's errors become gRPC statuses that tell the client what is certain,
// where clients reach the members, and the Admin service for operators.
//
// It owns no replica and knows no state machine and no backend.
package serving
