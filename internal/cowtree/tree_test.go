package cowtree

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// keyGen draws keys that share prefixes, are prefixes of each other, and repeat.
func keyGen(rt *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "ab", "\x00", "\xff", "dir/", strings.Repeat("long", 40)}), 0, 4).Draw(rt, "parts")
	return strings.Join(parts, "") + fmt.Sprint(rapid.IntRange(0, 30).Draw(rt, "n"))
}

// model is a captured map in the dumbest form, beside the view that must agree.
type model struct {
	view View
	m    map[string]string
}

func (x model) check(t interface{ Fatalf(string, ...any) }) {
	keys := make([]string, 0, len(x.m))
	for k := range x.m {
		keys = append(keys, k)
		if v, ok := x.view.Get([]byte(k)); !ok || string(v) != x.m[k] {
			t.Fatalf("get %q: %q %v, want %q", k, v, ok, x.m[k])
		}
	}
	slices.Sort(keys)
	if x.view.Len() != len(keys) {
		t.Fatalf("%d entries, want %d", x.view.Len(), len(keys))
	}
	i := 0
	for k, v := range x.view.From(nil) {
		if i >= len(keys) || string(k) != keys[i] || string(v) != x.m[keys[i]] {
			t.Fatalf("entry %d is %q", i, k)
		}
		i++
	}
	if i != len(keys) {
		t.Fatalf("%d entries were yielded, want %d", i, len(keys))
	}
}

// checkSeek compares From and Last at one key with the model's.
func (x model) checkSeek(t interface{ Fatalf(string, ...any) }, at string) {
	want, below := "", ""
	hasWant, hasBelow := false, false
	for k := range x.m {
		if k >= at && (!hasWant || k < want) {
			want, hasWant = k, true
		}
		if k < at && (!hasBelow || k > below) {
			below, hasBelow = k, true
		}
	}
	got, has := "", false
	for k := range x.view.From([]byte(at)) {
		got, has = string(k), true
		break
	}
	if got != want || has != hasWant {
		t.Fatalf("from %q: %q %v, want %q %v", at, got, has, want, hasWant)
	}
	k, v, has := x.view.Last([]byte(at))
	if string(k) != below || has != hasBelow || string(v) != x.m[below] {
		t.Fatalf("last below %q: %q %v, want %q %v", at, k, has, below, hasBelow)
	}
}

// TestAgainstMap: a tree and all its captures agree with plain maps, whatever is
// changed after them; and nodes keep to their bounds.
func TestAgainstMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tree := &Tree{}
		now := map[string]string{}
		var captured []model
		for range rapid.IntRange(0, 300).Draw(rt, "steps") {
			k := keyGen(rt)
			switch rapid.IntRange(0, 19).Draw(rt, "step") {
			case 0:
				m := map[string]string{}
				for k, v := range now {
					m[k] = v
				}
				captured = append(captured, model{tree.Capture(), m})
			case 1, 2, 3, 4, 5, 6:
				_, was := now[k]
				if got := tree.Delete([]byte(k)); got != was {
					rt.Fatalf("delete %q: %v, want %v", k, got, was)
				}
				delete(now, k)
			default:
				v := strings.Repeat("v", rapid.SampledFrom([]int{0, 1, 7, 130, 1100}).Draw(rt, "size")) + fmt.Sprint(len(captured))
				_, was := now[k]
				if got := tree.Set([]byte(k), []byte(v)); got == was {
					rt.Fatalf("set %q: added %v, want %v", k, got, !was)
				}
				now[k] = v
			}
			model{tree.View, now}.checkSeek(rt, k)
		}
		for _, x := range append(captured, model{tree.View, now}) {
			x.check(rt)
			checkShape(rt, x.view)
			reread(rt, x)
		}
	})
}

// checkShape verifies what the algorithms rely on: keys in order within the
// separators, sharing exact, sizes bounded.
func checkShape(t interface{ Fatalf(string, ...any) }, v View) {
	n := 0
	var visit func(x *node, low, high []byte)
	visit = func(x *node, low, high []byte) {
		if x.inner == nil {
			if len(x.page) == 0 {
				t.Fatalf("an empty page")
			}
			entries, prev := 0, []byte(nil)
			for e := (entry{}); e.end < len(x.page); entries++ {
				e = parse(x.page, e.end)
				key := append(append([]byte(nil), prev[:e.shared]...), x.page[e.suffix:e.value]...)
				if e.shared != common(prev, key) || entries > 0 && bytes.Compare(prev, key) >= 0 {
					t.Fatalf("key %q shares %d after %q", key, e.shared, prev)
				}
				if bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
					t.Fatalf("key %q outside %q to %q", key, low, high)
				}
				prev = key
			}
			// A page that is cut near its middle is left with half of what it held, half of
			// what came, and an entry: three of the largest, 1100 bytes and a key, at most.
			if n += entries; len(x.page) > 3*1150 && entries > 1 {
				t.Fatalf("a page of %d bytes and %d entries", len(x.page), entries)
			}
			return
		}
		if len(x.inner.kids) != len(x.inner.keys)+1 || len(x.inner.kids) > maxKids {
			t.Fatalf("%d children, %d separators", len(x.inner.kids), len(x.inner.keys))
		}
		for i, kid := range x.inner.kids {
			l, h := low, high
			if i > 0 {
				l = x.inner.keys[i-1]
			}
			if i < len(x.inner.keys) {
				h = x.inner.keys[i]
			}
			visit(kid, l, h)
		}
	}
	if v.root != nil {
		visit(v.root, nil, nil)
	}
	if n != v.n {
		t.Fatalf("%d entries are reachable, want %d", n, v.n)
	}
}

// reread writes a view, reads it back, and compares the content and the bytes
// of writing it again.
func reread(t interface{ Fatalf(string, ...any) }, x model) {
	var b bytes.Buffer
	if err := x.view.Write(&b); err != nil {
		t.Fatalf("write: %v", err)
	}
	image := bytes.Clone(b.Bytes())
	r := bufio.NewReader(strings.NewReader(b.String() + "behind"))
	again, err := Read(r, func(key, value []byte) error {
		if x.m[string(key)] != string(value) {
			return errors.New("check was called with another entry")
		}
		return nil
	})
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if rest, _ := r.ReadString(0); rest != "behind" {
		t.Fatalf("read left %q behind", rest)
	}
	model{again.View, x.m}.check(t)
	checkShape(t, again.View)
	b.Reset()
	if err := again.Write(&b); err != nil || !bytes.Equal(b.Bytes(), image) {
		t.Fatalf("equal maps wrote different bytes (%v)", err)
	}
	// A tree that was read is a tree as any: it can be changed all over.
	for k := range x.m {
		again.Set([]byte(k), []byte("other"))
		again.Set([]byte(k+"+"), nil)
	}
	checkShape(t, again.View)
	for k := range x.m {
		again.Delete([]byte(k))
		again.Delete([]byte(k + "+"))
	}
	if again.Len() != 0 || again.root != nil {
		t.Fatalf("%d entries are left", again.Len())
	}
}

// TestLarge crosses many levels in random and in rising order, with captures on
// the way, and empties the tree again.
func TestLarge(t *testing.T) {
	const seed = 7
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, order := range []string{"rising", "random"} {
		tree := &Tree{}
		keys := make([]string, 20_000)
		for i := range keys {
			keys[i] = fmt.Sprintf("/dir-%03d/file-%06d", i/100, i)
		}
		if order == "random" {
			rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		}
		want := map[string]string{}
		var half model
		for i, k := range keys {
			if i == len(keys)/2 {
				half = model{tree.Capture(), map[string]string{}}
				for k, v := range want {
					half.m[k] = v
				}
			}
			want[k] = fmt.Sprint(i)
			tree.Set([]byte(k), []byte(want[k]))
		}
		model{tree.View, want}.check(t)
		checkShape(t, tree.View)
		reread(t, model{tree.View, want})
		for i, k := range keys {
			tree.Delete([]byte(k))
			delete(want, k)
			if i%10_000 == 4_999 {
				model{tree.View, want}.check(t)
				checkShape(t, tree.View)
			}
		}
		if tree.root != nil {
			t.Errorf("%s: an empty tree has nodes", order)
		}
		half.check(t)
	}
}

// TestShrinks: pages that were emptied for the most part are joined.
func TestShrinks(t *testing.T) {
	tree := &Tree{}
	for i := range 50_000 {
		tree.Set(fmt.Appendf(nil, "%08d", i), []byte("value"))
	}
	for i := range 50_000 {
		if i%50 != 0 {
			tree.Delete(fmt.Appendf(nil, "%08d", i))
		}
	}
	leaves := 0
	var count func(*node)
	count = func(n *node) {
		if n.inner == nil {
			leaves++
			return
		}
		for _, k := range n.inner.kids {
			count(k)
		}
	}
	count(tree.root)
	if leaves > 100 { // 1000 entries of about 14 bytes are 14 full pages
		t.Errorf("1000 entries are left in %d pages", leaves)
	}
}

// FuzzRead: no bytes make Read panic, allocate without bound or return a tree
// that is not sound.
func FuzzRead(f *testing.F) {
	tree := &Tree{}
	for i := range 200 {
		tree.Set(fmt.Appendf(nil, "key-%d", i*7%200), fmt.Append(nil, i))
	}
	var b bytes.Buffer
	if err := tree.Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{2, 8, 0, 1, 0, 'a', 1, 1, 0, 'b', 0})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := map[string]string{}
		tree, err := Read(bufio.NewReader(bytes.NewReader(raw)), func(key, value []byte) error {
			got[string(key)] = string(value)
			return nil
		})
		if err != nil {
			return
		}
		model{tree.View, got}.check(t)
		checkShape(t, tree.View)
		reread(t, model{tree.View, got})
	})
}
