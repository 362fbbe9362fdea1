package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"gfslab/client/file"
)

func newFSAppend(f *fsFlags) *cobra.Command {
	var local string
	var lines, verbose bool
	c := fsCommand(f, &cobra.Command{
		Use: "append PATH", Short: "Append records to a file, which is made if it is not there",
		Long: `Append standard input to a file as one record, or every line of it as one. A record is
whole and at one place on every replica once it is acknowledged, whoever else appends at
the same time; it has at most a quarter of a chunk. A failure on the way may leave copies
that cat leaves out.`,
		Example: "  echo hello | gfslab fs append /data/log\n  tail -f app.log | gfslab fs append --lines -v /data/log\n  gfslab fs append --file record.bin /data/log",
		Args:    cobra.MatchAll(cobra.ExactArgs(1), absolute),
	}, func(s *fsSession, args []string) error {
		in := s.c.InOrStdin()
		if local != "" && local != dash {
			opened, err := os.Open(local)
			if err != nil {
				return err
			}
			defer opened.Close()
			in = opened
		}
		a := &appending{fsSession: s, name: file.Clean(args[0]), verbose: verbose}
		begin := time.Now()
		err := a.all(interruptible(s.ctx, in), lines)
		fmt.Fprintf(s.c.ErrOrStderr(), "appended %d records (%s) to %s in %.1fs\n", a.records, iec(a.bytes), a.name, time.Since(begin).Seconds())
		if a.longest >= minPause {
			fmt.Fprintf(s.c.ErrOrStderr(), "longest pause %.1fs, while %s\n", a.longest.Seconds(), a.why)
		}
		return err
	})
	c.Flags().StringVar(&local, "file", "", "append this local file instead of standard input")
	c.Flags().BoolVar(&lines, "lines", false, "every line, with its newline, is a record")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "print where each record is")
	return c
}

// appending is one append command while it runs.
type appending struct {
	*fsSession
	name    string
	verbose bool
	records int
	bytes   uint64
	longest time.Duration
	why     string
}

// lineBuffer bounds what is read of standard input at a time.
const lineBuffer = 64 << 10

func (a *appending) all(in io.Reader, lines bool) error {
	if !lines {
		record, err := io.ReadAll(in)
		if err != nil {
			return fmt.Errorf("read the record: %w", err)
		}
		return a.one(record)
	}
	for r := bufio.NewReaderSize(in, lineBuffer); ; {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			if err := a.one(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if a.ctx.Err() != nil {
			return &exitError{exitInterrupted, errors.New("interrupted")}
		}
		if err != nil {
			return fmt.Errorf("read a line: %w", err)
		}
	}
}

// one appends a record, and tells of a pause when it is over.
func (a *appending) one(record []byte) error {
	r, err := a.Append(a.ctx, a.name, record)
	if d, why := a.LongestPause(); d >= minPause {
		fmt.Fprintf(a.c.ErrOrStderr(), "paused %.1fs while %s\n", d.Seconds(), why)
		if d > a.longest {
			a.longest, a.why = d, why
		}
	}
	if err != nil {
		return err
	}
	a.records++
	a.bytes += uint64(len(record))
	switch {
	case !a.verbose:
		return nil
	case a.flags.json:
		return printJSON(a.c.OutOrStdout(), map[string]any{
			"chunk": r.ChunkIndex, "handle": r.Handle, "offset": r.Offset, "version": r.Version, "bytes": len(record), "crc32c": r.CRC, "replicas": r.Replicas,
		})
	}
	_, err = fmt.Fprintf(a.c.OutOrStdout(), "chunk %d (handle %d) offset %d, %d bytes on %d replicas\n", r.ChunkIndex, r.Handle, r.Offset, len(record), len(r.Replicas))
	return err
}
