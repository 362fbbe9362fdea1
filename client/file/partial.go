package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"gfslab/api"
	"gfslab/client"
)

// Source says where a put's bytes come from, so that the same put made again finds
// its partial file, and one of other bytes does not.
type Source struct {
	// Place is the same for the same input, say host and absolute path; empty if the
	// input cannot be had again. State is another one when the input's bytes are.
	Place, State string
}

// A partial file's name is that of the file between a dot and another one, as much of
// it as there is room for, and fingerprints of the source's place and state.
const (
	partialSuffix = ".put~"
	placeBytes    = 4
	stateBytes    = 8
	partialHex    = 2 * (placeBytes + stateBytes)
	nameBytes     = 255 // the most that a name may have
)

// Partial is where the file at a path is put together, beside it: sources share one
// only if they are the same. Whoever writes to another put's partial file may write
// to a file that has got its name already.
func Partial(name string, s Source) string {
	return superseded(name, s) + fingerprint(stateBytes, name, s.Place, s.State) + partialSuffix
}

// superseded is how the partial files of a source begin, whatever its state.
func superseded(name string, s Source) string {
	base := path.Base(name)
	if room := nameBytes - len("..") - partialHex - len(partialSuffix); len(base) > room {
		for !utf8.RuneStart(base[room]) && room > 0 {
			room--
		}
		base = base[:room]
	}
	return path.Join(path.Dir(name), "."+base+"."+fingerprint(placeBytes, name, s.Place))
}

func fingerprint(n int, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p) // a hash takes all
	}
	return hex.EncodeToString(h.Sum(nil)[:n])
}

// once is a source that no other put has: client names are unique over all time.
func (f *FS) once() Source {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.puts++
	return Source{State: fmt.Sprintf("%s %d", f.o.Client.Name, f.puts)}
}

// removeSuperseded removes what was put of the source when it was another one: nobody
// would ever go on with it.
func (p *putting) removeSuperseded(ctx context.Context) error {
	if !p.again() {
		return nil
	}
	dir, prefix := path.Split(superseded(p.name, p.o.Source))
	var old []string
	_, err := p.f.List(ctx, path.Clean(dir), ListOptions{Prefix: prefix}, func(e *api.Entry) error {
		if !e.Directory && len(e.Name) == len(path.Base(p.partial)) && strings.HasSuffix(e.Name, partialSuffix) {
			old = append(old, dir+e.Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range old {
		if err := p.f.removeNow(ctx, name); err != nil && !Refused(err, api.Code_NOT_FOUND) {
			return err
		}
	}
	return nil
}

// again reports whether a later put can go on where this one stops.
func (p *putting) again() bool { return p.o.Source.Place != "" }

// discardTime bounds the removal of a partial file after the caller's context ended.
const discardTime = 2 * time.Second

// discard removes a partial file that no put will go on with. What comes of that
// changes nothing for the caller, whose put has failed.
func (p *putting) discard(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTime)
	defer cancel()
	_ = p.f.removeNow(ctx, p.partial)
}

// ours reports whether the partial file is the one that was begun with.
func (p *putting) ours(ctx context.Context) (bool, error) {
	st, err := p.f.Stat(ctx, p.partial, 0)
	if Refused(err, api.Code_NOT_FOUND) {
		return false, nil
	}
	return err == nil && st.Id == p.id, err
}

// lost is err, or, if that came of another put, what happened.
func (p *putting) lost(ctx context.Context, err error) error {
	// After a rename that may have been done the partial file is gone by our own hand.
	if e := (*Error)(nil); ctx.Err() != nil || p.named || errors.As(err, &e) && e.Outcome == client.Unknown {
		return err
	}
	if Refused(err, api.Code_EXISTS) && !p.o.Replace {
		if p.again() {
			return declined(p.name, fmt.Sprintf("somebody else has put it meanwhile; put -f replaces it, this one is in %s", p.partial))
		}
		return declined(p.name, "somebody else has put it meanwhile; put -f replaces it")
	}
	if ours, unknown := p.ours(ctx); p.id != 0 && unknown == nil && !ours {
		return p.gone()
	}
	return err
}

func (p *putting) gone() error {
	return declined(p.name, fmt.Sprintf("somebody else has put it from the same source meanwhile, or removed %s", p.partial))
}
