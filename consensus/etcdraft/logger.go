package etcdraft

import (
	"context"
	"fmt"
	"log/slog"

	"gfslab/consensus"
)

// logger is the library's logger over slog. Its chatter about elections is at
// debug level: the engine reports elections as events.
type logger struct {
	out  *slog.Logger
	node consensus.NodeID
}

func (l logger) say(level slog.Level, text func() string) {
	if l.out.Enabled(context.Background(), level) {
		l.out.Log(context.Background(), level, text(), "node", uint64(l.node))
	}
}

func (l logger) line(level slog.Level, v []any) {
	l.say(level, func() string { return fmt.Sprint(v...) })
}

func (l logger) format(level slog.Level, format string, v []any) {
	l.say(level, func() string { return fmt.Sprintf(format, v...) })
}

func (l logger) Debug(v ...any)                   { l.line(slog.LevelDebug, v) }
func (l logger) Debugf(format string, v ...any)   { l.format(slog.LevelDebug, format, v) }
func (l logger) Info(v ...any)                    { l.line(slog.LevelDebug, v) }
func (l logger) Infof(format string, v ...any)    { l.format(slog.LevelDebug, format, v) }
func (l logger) Warning(v ...any)                 { l.line(slog.LevelWarn, v) }
func (l logger) Warningf(format string, v ...any) { l.format(slog.LevelWarn, format, v) }
func (l logger) Error(v ...any)                   { l.line(slog.LevelError, v) }
func (l logger) Errorf(format string, v ...any)   { l.format(slog.LevelError, format, v) }

// Fatal and Panic mean a broken invariant: going on would risk the data.
func (l logger) Fatal(v ...any)                 { panic(fmt.Sprint(v...)) }
func (l logger) Fatalf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
func (l logger) Panic(v ...any)                 { panic(fmt.Sprint(v...)) }
func (l logger) Panicf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
