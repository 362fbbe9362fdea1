// Package house holds the rules of the house as tests: which package may import
// which, how long a file and a function may be, and what must not stand in the
// code. `make lint` and `make test` run them.
//
// It is not a linter for Go at large (gofmt, vet and staticcheck are), and no
// package imports it.
package house
