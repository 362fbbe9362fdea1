// Package batch stands between many concurrent Propose calls and one log: it
// packs the commands that wait into one entry, and hands each caller its own
// result when that entry is applied.
//
//	p := batch.New(options)
//	p.Propose(ctx, command)              // callers, any goroutine
//	b, ok := p.Cut()                     // one goroutine, once there is room in the window
//	p.Complete(index, decoded, results)  // the applier
//
// There is no goroutine, timer or channel a command: waiters are reused, and a
// batch grows by itself while its predecessor is on its way.
//
// The package is not a protocol and decides no order; it does not know who
// leads. It never retries a command.
package batch
