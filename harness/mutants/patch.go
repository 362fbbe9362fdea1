package mutants

import (
	"errors"
	"fmt"
	"strings"
)

// apply applies a unified diff to files, which maps slash paths to contents. It
// changes files only if every hunk applies. Hunks are found by their text, not
// by their line numbers, and must match exactly and at one place only: a patch
// that went stale is an error, never a guess.
func apply(files map[string]string, patch string) error {
	path := ""
	changed := map[string]string{}
	var hunk *hunk
	count := 0
	flush := func() error {
		if hunk == nil {
			return nil
		}
		h := hunk
		hunk = nil
		count++
		next, err := h.replace(changed[path])
		if err != nil {
			return fmt.Errorf("%s: hunk %d: %w", path, count, err)
		}
		changed[path] = next
		return nil
	}
	for _, line := range strings.SplitAfter(patch, "\n") {
		switch {
		case strings.HasPrefix(line, "--- "):
			if err := flush(); err != nil {
				return err
			}
		case strings.HasPrefix(line, "+++ "):
			path = strings.TrimPrefix(strings.Fields(line)[1], "b/")
			if _, ok := files[path]; !ok {
				return fmt.Errorf("%s: there is no such file", path)
			}
			if _, ok := changed[path]; !ok {
				changed[path] = files[path]
			}
		case strings.HasPrefix(line, "@@"):
			if err := flush(); err != nil {
				return err
			}
			if path == "" {
				return errors.New("a hunk precedes the name of its file")
			}
			hunk = newHunk()
		case hunk != nil && line != "":
			if err := hunk.add(line); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if count == 0 {
		return errors.New("the patch has no hunk")
	}
	for p, text := range changed {
		files[p] = text
	}
	return nil
}

// hunk is one change: old text and what replaces it.
type hunk struct{ old, new strings.Builder }

func newHunk() *hunk { return new(hunk) }

func (h *hunk) add(line string) error {
	switch line[0] {
	case ' ':
		h.old.WriteString(line[1:])
		h.new.WriteString(line[1:])
	case '-':
		h.old.WriteString(line[1:])
	case '+':
		h.new.WriteString(line[1:])
	case '\n':
		h.old.WriteString(line)
		h.new.WriteString(line)
	default:
		return fmt.Errorf("not a line of a unified diff: %q", line)
	}
	return nil
}

func (h *hunk) replace(text string) (string, error) {
	old := h.old.String()
	switch n := strings.Count(text, old); {
	case old == "":
		return "", errors.New("it has no context")
	case n == 0:
		return "", fmt.Errorf("the text is not there any more:\n%s", old)
	case n > 1:
		return "", fmt.Errorf("the text is there %d times:\n%s", n, old)
	case old == h.new.String():
		return "", errors.New("it changes nothing")
	}
	return strings.Replace(text, old, h.new.String(), 1), nil
}
