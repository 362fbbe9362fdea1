// Package api holds the protobuf and gRPC definitions of a gfslab cell and the
// code generated from them. It has no logic of its own.
//
// The generated code is committed, so that a fresh machine needs no protoc;
// `go generate ./...` makes it anew.
package api

//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$(go tool -n protoc-gen-go-grpc) --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative gfs.proto"
