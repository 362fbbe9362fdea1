// Package node is the composition root: it turns a configuration into a running
// master or chunkserver, and is the only package that names the backends.
//
// It has no flags, no environment and no faults; the command line, the harness
// and tests hand it values.
package node
