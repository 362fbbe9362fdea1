package meta

import (
	"fmt"
	"strconv"
	"strings"
)

// ListOptions select what ListPage returns.
type ListOptions struct {
	// DeletedID, if not 0, is the id of a directory that is hidden under the path.
	DeletedID uint64
	// Hidden lists what is hidden in the directory in place of what is not.
	Hidden bool
	// Recursive lists what is in the directories below too.
	Recursive bool
	// Chunks counts the chunks of each file.
	Chunks bool
	// Prefix restricts the names directly in the directory.
	Prefix string
	// After is the next of the page before, or any name to go on behind.
	After string
	// Limit bounds the entries, if above 0, and NameBytes the sum of their names'
	// lengths, but for a first entry.
	Limit, NameBytes int
}

// Entry is an entry of a directory.
type Entry struct {
	// Name is relative to the listed directory; a directory's ends with a slash.
	Name      string
	ID        uint64
	Directory bool
	Chunks    uint32
	// DeletedNs and ExpiresNs are of hidden entries, in the state's time.
	DeletedNs, ExpiresNs int64
}

// ListPage lists a directory in the byte order of the names, those of directories
// with a slash at the end; so a directory comes right before what is in it. Of
// what is hidden, each directory's comes before what is hidden further down, and
// what has the same name in the order of its deletion. next is not empty if there
// is more. The codes are List's.
func (s *State) ListPage(path string, o ListOptions) (entries []Entry, next string, code Code) {
	n, _, code := s.find(path, o.DeletedID)
	switch {
	case code != OK:
		return nil, "", code
	case !n.dir:
		return nil, "", NotDirectory
	}
	l := lister{s: s, o: o}
	l.walk(n.id, "", o.Prefix, o.After)
	return l.entries, l.next, OK
}

// lister collects one page.
type lister struct {
	s       *State
	o       ListOptions
	entries []Entry
	names   int    // bytes
	last    string // the cursor behind the last entry
	next    string
}

// add takes an entry; false if the page is full.
func (l *lister) add(name, cursor string, n node) bool {
	l.names += len(name)
	if l.o.Limit > 0 && len(l.entries) == l.o.Limit || l.o.NameBytes > 0 && l.names > l.o.NameBytes && len(l.entries) > 0 {
		l.next = l.last
		return false
	}
	e := Entry{Name: name, ID: n.id, Directory: n.dir, DeletedNs: n.deleted, ExpiresNs: n.expires}
	if l.o.Chunks && !n.dir {
		e.Chunks = uint32(l.s.countSlots(n.id))
	}
	l.entries = append(l.entries, e)
	l.last = cursor
	return true
}

// walk lists one directory, at the relative path rel, behind after.
func (l *lister) walk(dir uint64, rel, prefix, after string) bool {
	name, rest, below := strings.Cut(after, "/")
	switch {
	case below && l.o.Recursive && strings.HasPrefix(name, prefix):
		if n, found := l.s.child(dir, name); found && n.dir && !l.walk(n.id, rel+name+"/", "", rest) {
			return false
		}
	case !below && l.o.Hidden:
		if !l.hidden(dir, rel, prefix, after) {
			return false
		}
		after = ""
	}
	if below {
		after = name + "/"
	}
	if l.o.Hidden && !l.o.Recursive {
		return true
	}
	return l.s.siblings(dir, prefix, after, func(name string, n node) bool {
		if !l.o.Hidden && !l.add(rel+name, rel+name, n) {
			return false
		}
		return !l.o.Recursive || !n.dir || l.walk(n.id, rel+name, "", "")
	})
}

// hidden lists what is hidden in one directory.
func (l *lister) hidden(dir uint64, rel, prefix, after string) bool {
	name, position, _ := strings.Cut(after, "\x00")
	behind, _ := strconv.ParseUint(position, 16, 64)
	var room [hiddenRoom]byte
	from := append(append(idKey(room[:0], dir), 0), max(name, prefix)...)
	for key, value := range l.s.names.From(from) {
		raw, at, ok := splitHidden(key[8:])
		if string(key[:8]) != string(from[:8]) || !ok || !strings.HasPrefix(string(raw), prefix) {
			break
		}
		n, _, _ := decodeNode(value)
		if n.doomed || string(raw) == name && at <= behind {
			continue
		}
		shown := rel + string(raw)
		cursor := fmt.Sprintf("%s\x00%x", shown, at)
		if n.dir {
			shown += "/"
		}
		if !l.add(shown, cursor, n) {
			return false
		}
	}
	return true
}

// siblings yields what is in a directory behind after, with a slash at the end of
// directories and in that order. The table is in the order of the names without:
// a directory waits until what comes before its slash, such as "a-b" before "a/",
// has passed.
func (s *State) siblings(dir uint64, prefix, after string, yield func(name string, n node) bool) bool {
	type waiting struct {
		name string
		n    node
	}
	var held []waiting // the last comes first
	for i := 1; i < len(after); i++ {
		if after[i] < '/' && strings.HasPrefix(after[:i], prefix) && i <= MaxNameBytes {
			if n, found := s.child(dir, after[:i]); found && n.dir {
				held = append(held, waiting{after[:i] + "/", n})
			}
		}
	}
	release := func(before string) bool {
		for k := len(held) - 1; k >= 0 && (before == "" || held[k].name < before); k-- {
			if !yield(held[k].name, held[k].n) {
				return false
			}
			held = held[:k]
		}
		return true
	}
	from := nameKey(nil, dir, max(prefix, after, "\x01"))
	for key, value := range s.names.From(from) {
		if string(key[:8]) != string(from[:8]) || !strings.HasPrefix(string(key[8:]), prefix) {
			break
		}
		name := string(key[8:])
		n, _, _ := decodeNode(value)
		if !release(name) {
			return false
		}
		if n.dir {
			held = append(held, waiting{name + "/", n})
		} else if name != after && !yield(name, n) {
			return false
		}
	}
	return release("")
}
