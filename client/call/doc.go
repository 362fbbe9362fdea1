// Package call is what clients of a replicated service share: it finds the
// replica that leads, retries with a growing, jittered pause until an outcome is
// certain or the context ends, learns new members from the replicas' answers,
// and names operations so that a retry is not a second one.
//
// It knows which errors mean "surely not done", and nothing of what is asked. It
// keeps no goroutines of its own.
package call
