// Package metapb holds the protobuf form of the operation log's commands and
// replies, and the code generated from it. It has no logic of its own.
package metapb

//go:generate sh -c "protoc --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --go_out=. --go_opt=paths=source_relative meta.proto"
