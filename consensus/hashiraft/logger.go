package hashiraft

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// newLogger passes the library's log on to l. While closing is true all of it
// is of level debug: the library reports its own end as a row of errors.
func newLogger(l *slog.Logger, closing func() bool) hclog.Logger {
	// Level Off silences the logger's own output; its sinks decide for themselves.
	h := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Off, Output: io.Discard})
	h.RegisterSink(&sinkTo{l, closing})
	return h
}

type sinkTo struct {
	l       *slog.Logger
	closing func() bool
}

// Accept implements hclog.SinkAdapter.
func (s *sinkTo) Accept(name string, level hclog.Level, msg string, args ...any) {
	at := slog.LevelDebug
	switch level {
	case hclog.Info:
		at = slog.LevelInfo
	case hclog.Warn:
		at = slog.LevelWarn
	case hclog.Error:
		at = slog.LevelError
	}
	if s.closing() {
		at = slog.LevelDebug
	}
	ctx := context.Background()
	if !s.l.Enabled(ctx, at) {
		return
	}
	attrs := make([]any, 0, len(args)+2)
	attrs = append(attrs, "logger", name)
	for _, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			a = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		attrs = append(attrs, a)
	}
	s.l.Log(ctx, at, msg, attrs...)
}
