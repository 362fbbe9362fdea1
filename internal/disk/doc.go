// Package disk is the file-system door: the one interface through which the
// product touches files, so that tests and the harness can put a crashable or
// failing file system behind it.
//
// It is not an abstraction over storage engines: it knows files, directories
// and fsync, nothing of records.
package disk
