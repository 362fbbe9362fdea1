package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// daemonConfig is what a configuration file says of any daemon of the file system.
type daemonConfig struct {
	MetricsAddr string        `toml:"metrics_addr"`
	LogFormat   string        `toml:"log_format"`
	LogLevel    string        `toml:"log_level"`
	Serving     servingConfig `toml:"serving"`
}

// servingConfig bounds what strangers may ask of a port; see node.Serving.
type servingConfig struct {
	MessageBytes byteSize        `toml:"message_bytes"`
	Streams      uint32          `toml:"streams"`
	Connections  int             `toml:"connections"`
	Greeting     rundir.Duration `toml:"greeting"`
	PingEvery    rundir.Duration `toml:"ping_every"`
}

func (d *daemonConfig) register(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVar(&d.MetricsAddr, "metrics-addr", "", "host:port where HTTP serves /metrics for Prometheus (default: nowhere)")
	fs.StringVar(&d.LogFormat, "log-format", "text", "text or json")
	fs.StringVar(&d.LogLevel, "log-level", "info", "debug, info, warn or error")
	complete(c, "log-format", []string{"text", "json"})
	complete(c, "log-level", []string{"debug", "info", "warn", "error"})
}

// logger writes to w as the configuration says.
func (d *daemonConfig) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(d.LogLevel)); err != nil {
		return nil, fmt.Errorf("log_level is %q; it must be debug, info, warn or error", d.LogLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	switch d.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log_format is %q; it must be text or json", d.LogFormat)
}

func (d *daemonConfig) serving() (node.Serving, error) {
	s := node.Serving{
		MessageBytes: int(d.Serving.MessageBytes), Streams: d.Serving.Streams, Connections: d.Serving.Connections,
		Greeting: time.Duration(d.Serving.Greeting), PingEvery: time.Duration(d.Serving.PingEvery),
	}
	if err := s.Validate(); err != nil {
		return s, fmt.Errorf("[serving] %w", err)
	}
	return s, nil
}

// checks gathers every fault of a configuration, so that one look mends them all.
type checks []error

func (c *checks) want(ok bool, format string, args ...any) {
	if !ok {
		*c = append(*c, fmt.Errorf(format, args...))
	}
}

func (c *checks) add(err error) {
	if err != nil {
		*c = append(*c, err)
	}
}

func (c checks) err() error { return errors.Join(c...) }
