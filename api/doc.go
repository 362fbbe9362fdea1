// Package api holds the protobuf and gRPC definitions of a gfslab cell, the
// code generated from them, and the form of the records in a chunk (frame.go),
// which chunkservers write and clients read. It has no logic beyond that: no
// connections, no retries.
//
// The generated code is committed, so that a fresh machine needs no protoc;
// `go generate ./...` makes it anew.
package api

//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$(go tool -n protoc-gen-go-grpc) --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative gfs.proto kv.proto admin.proto"
