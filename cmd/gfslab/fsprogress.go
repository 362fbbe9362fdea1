package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressEvery is the pause between lines where no bar can be drawn.
const progressEvery = 2 * time.Second

// progress shows how far a copy is: a bar on a terminal, else a line now and then.
type progress struct {
	w     io.Writer
	what  string
	size  int64 // -1: unknown
	bar   *progressbar.ProgressBar
	quiet bool

	begun, printed time.Time
	first, done    int64 // first: what was there from before
	started        bool
}

func newProgress(w io.Writer, what string, size int64, quiet bool) *progress {
	now := time.Now()
	p := &progress{w: w, what: what, size: size, quiet: quiet, begun: now, printed: now}
	if f, ok := w.(*os.File); ok && !quiet && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions64(size,
			progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(true),
			progressbar.OptionShowTotalBytes(true), progressbar.OptionUseIECUnits(true), progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish())
	}
	return p
}

// set is a file.Progress.
func (p *progress) set(done int64) {
	if !p.started {
		p.started, p.first = true, done
	}
	p.done = done
	if p.bar != nil {
		// A file that grows while it is read passes the size that was known.
		if p.size >= 0 && done > p.size {
			p.size = done
			p.bar.ChangeMax64(done)
		}
		_ = p.bar.Set64(done) // it fails only beyond the size
		return
	}
	if now := time.Now(); !p.quiet && now.Sub(p.printed) >= progressEvery {
		p.printed = now
		fmt.Fprintln(p.w, p.line(now))
	}
}

func (p *progress) line(now time.Time) string {
	rate := iec(uint64(float64(p.done-p.first) / max(now.Sub(p.begun).Seconds(), 1e-3)))
	if p.size <= 0 {
		return fmt.Sprintf("%s: %s, %s/s", p.what, iec(uint64(p.done)), rate)
	}
	return fmt.Sprintf("%s: %s of %s (%d %%), %s/s", p.what, iec(uint64(p.done)), iec(uint64(p.size)), 100*p.done/p.size, rate)
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// interruptible is a reader whose Read ends with the context: one of a terminal or
// a pipe may last for ever. What it was reading then is lost.
func interruptible(ctx context.Context, r io.Reader) io.Reader { return &waitingReader{ctx: ctx, r: r} }

type waitingReader struct {
	ctx context.Context
	r   io.Reader
	own []byte // a read that was left alone goes on to write to it
}

type readEnd struct {
	n   int
	err error
}

// Read implements io.Reader.
func (w *waitingReader) Read(b []byte) (int, error) {
	if len(w.own) < len(b) {
		w.own = make([]byte, len(b))
	}
	own, done := w.own[:len(b)], make(chan readEnd, 1)
	go func() {
		n, err := w.r.Read(own)
		done <- readEnd{n, err}
	}()
	select {
	case end := <-done:
		return copy(b, own[:end.n]), end.err
	case <-w.ctx.Done():
		w.own = nil
		return 0, w.ctx.Err()
	}
}
