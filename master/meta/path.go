package meta

import "strings"

// The limits of a path, in bytes.
const (
	MaxPathBytes = 4096
	MaxNameBytes = 255
)

// ValidPath reports whether path is absolute and canonical: "/", or "/" followed
// by names separated by single slashes, none of them ".", ".." or longer than
// MaxNameBytes, without NUL bytes.
func ValidPath(path string) bool {
	if path == "/" {
		return true
	}
	if len(path) == 0 || len(path) > MaxPathBytes || path[0] != '/' {
		return false
	}
	for rest := path[1:]; ; {
		name, after, more := strings.Cut(rest, "/")
		if !validName(name) {
			return false
		}
		if !more {
			return true
		}
		rest = after
	}
}

func validName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= MaxNameBytes && strings.IndexByte(name, 0) < 0
}

// ValidRename reports whether from can be renamed to to by form alone: the root
// cannot move, nor can anything into its own subtree.
func ValidRename(from, to string) bool {
	return ValidPath(from) && ValidPath(to) && from != "/" && !within(to, from)
}

// within reports whether path lies strictly below dir.
func within(path, dir string) bool {
	return len(path) > len(dir) && path[len(dir)] == '/' && path[:len(dir)] == dir
}

// splitPath returns the parent's path and the last name. path is not "/".
func splitPath(path string) (parent, name string) {
	i := strings.LastIndexByte(path, '/')
	if i == 0 {
		return "/", path[1:]
	}
	return path[:i], path[i+1:]
}
