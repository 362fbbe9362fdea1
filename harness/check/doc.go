// Package check judges a run from what it left on disk.
//
// A checker looks at one property and says valid, unknown, void or invalid; the
// worst one is the run's verdict, and unknown is never a pass. Two of them judge
// the same thing from different evidence: "linearizable" sees only what the
// clients saw, "certificate" replays the agreed operation log and compares every
// reply with it. They share no code, and neither shares any with the product: the
// models here are written anew from the semantics that the API promises, so that
// a misunderstanding in the product is not repeated by its judge.
//
// Where those semantics leave open which of several errors is told (a rename
// whose source is missing and whose destination exists), a model takes any error
// whose reason holds, and only those.
//
// It is not a recorder (harness/history is), takes no measurements, and never
// reads a verdict that is already there.
package check
