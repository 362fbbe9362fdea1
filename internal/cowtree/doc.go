// Package cowtree is an ordered map from byte strings to byte strings that is
// captured in constant time and costs little more memory than its bytes.
//
// It is a B+tree whose leaves are pages: one byte slice each, in which every
// key is stored without what it shares with the key before it. A page holds no
// pointer, so the garbage collector does not look inside, and a million entries
// are some twenty thousand objects. View captures the map: nodes belong to the
// epoch in which they were made, and a node of an earlier epoch is copied
// before it is changed.
//
// It is not a cache, not a database and not safe for concurrent use: one
// goroutine changes a Tree, others may read it only while nobody does. A View
// may be read at any time, beside changes of its Tree.
//
// A capture is written as a stream of pages cut by content alone, so equal maps
// give equal bytes whatever their history.
package cowtree
