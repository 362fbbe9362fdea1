package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"gfslab/client/file"
)

// dash stands for standard input or output.
const dash = "-"

func newFSPut(f *fsFlags) *cobra.Command {
	var o file.PutOptions
	var quiet bool
	c := fsCommand(f, &cobra.Command{
		Use: "put LOCAL... PATH", Short: "Copy local files into the cell (- is standard input)",
		Long: `Copy local files into the cell, each to PATH, or into it if it is a directory. The file
appears under its name when it is complete and every chunk was verified on its replicas.
A local file whose put was interrupted goes on where it was when the same put is made
again, unless the file has changed; standard input starts over. Of two puts to one path
at once the first one that is complete wins; the other one is refused, or, with -f,
takes its place.`,
		Example: "  gfslab fs put big.iso /data/\n  gfslab fs put -f a.txt /data/a      # in place of what is there\n  tar c . | gfslab fs put - /backup.tar",
		Args:    cobra.MinimumNArgs(2),
	}, func(s *fsSession, args []string) error {
		locals, target := args[:len(args)-1], args[len(args)-1]
		if err := absolute(nil, []string{target}); err != nil {
			return usage(err)
		}
		return each(locals, func(local string) error {
			to, err := s.Into(s.ctx, filepath.Base(local), target)
			switch {
			case err != nil:
				return err
			case len(locals) > 1 && to == target:
				return usage(fmt.Errorf("%s is not a directory: it cannot take %d files", target, len(locals)))
			case local == dash && to != target:
				return usage(fmt.Errorf("%s is a directory: standard input needs a name", target))
			}
			return s.put(local, file.Clean(to), o, quiet)
		})
	})
	c.Flags().BoolVarP(&o.Replace, "force", "f", false, "replace a file that exists, once the new one is complete")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "no progress")
	return c
}

func (s *fsSession) put(local, name string, o file.PutOptions, quiet bool) error {
	from, size := interruptible(s.ctx, s.c.InOrStdin()), int64(-1)
	if local != dash {
		in, err := os.Open(local)
		if err != nil {
			return err
		}
		defer in.Close()
		info, err := in.Stat()
		switch {
		case err != nil:
			return err
		case info.IsDir():
			return &exitError{exitNo, fmt.Errorf("%s: is a directory", local)}
		case info.Mode().IsRegular():
			size, from = info.Size(), in
			if o.Source, err = sourceOf(local, info); err != nil {
				return err
			}
		default:
			from = interruptible(s.ctx, in)
		}
	}
	p := newProgress(s.c.ErrOrStderr(), "put "+name, size, quiet)
	o.Progress = p.set
	t, err := s.Put(s.ctx, from, name, o)
	p.end()
	if err != nil {
		return err
	}
	return s.transferred(name, t, p)
}

// sourceOf tells a local file from others, and from itself when it has changed.
func sourceOf(local string, info os.FileInfo) (file.Source, error) {
	host, err := os.Hostname()
	if err != nil {
		return file.Source{}, err
	}
	local, err = filepath.Abs(local)
	return file.Source{Place: host + ":" + local, State: fmt.Sprintf("%d bytes, %d", info.Size(), info.ModTime().UnixNano())}, err
}

// transferred prints what a put or get has done.
func (s *fsSession) transferred(name string, t file.Transfer, p *progress) error {
	sum := hex.EncodeToString(t.SHA256[:])
	if s.flags.json {
		return printJSON(s.c.OutOrStdout(), map[string]any{"path": name, "bytes": t.Bytes, "resumed": t.Resumed, "sha256": sum})
	}
	resumed := ""
	if t.Resumed > 0 {
		resumed = fmt.Sprintf(", %s of it from before", iec(uint64(t.Resumed)))
	}
	took := time.Since(p.begun).Seconds()
	_, err := fmt.Fprintf(s.c.OutOrStdout(), "%s  %s\n%s%s in %.1fs, %s/s\n", sum, name, iec(uint64(t.Bytes)), resumed, took,
		iec(uint64(float64(t.Bytes-t.Resumed)/max(took, 1e-3))))
	return err
}

func newFSGet(f *fsFlags) *cobra.Command {
	var force, quiet bool
	c := fsCommand(f, &cobra.Command{
		Use: "get PATH... [LOCAL]", Short: "Copy files out of the cell (- is standard output)",
		Long: `Copy files out of the cell, to LOCAL, or into it if it is a directory (default: the same
name here). Checksums are verified on the way. Until it is complete a file is in
LOCAL.part, and the same get goes on there.`,
		Example: "  gfslab fs get /data/big.iso\n  gfslab fs get '/data/*.log' logs/\n  gfslab fs get /backup.tar - | tar x",
		Args:    cobra.MinimumNArgs(1),
	}, func(s *fsSession, args []string) error {
		local := "."
		if len(args) > 1 {
			local, args = args[len(args)-1], args[:len(args)-1]
		}
		if err := absolute(nil, args); err != nil {
			return usage(err)
		}
		paths, err := s.expand(args)
		if err != nil {
			return err
		}
		if local == dash {
			return s.cat(paths, file.ReadOptions{})
		}
		info, statErr := os.Stat(local)
		directory := statErr == nil && info.IsDir()
		if len(paths) > 1 && !directory {
			return usage(fmt.Errorf("%s is not a directory: it cannot take %d files", local, len(paths)))
		}
		return each(paths, func(name string) error {
			to := local
			if directory {
				to = filepath.Join(local, path.Base(name))
			}
			if _, err := os.Lstat(to); err == nil && !force {
				return &exitError{exitNo, fmt.Errorf("%s: it exists already (-f replaces it)", to)}
			}
			return s.get(name, to, quiet)
		})
	})
	c.Flags().BoolVarP(&force, "force", "f", false, "replace a local file that exists, once the new one is complete")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "no progress")
	return c
}

func (s *fsSession) get(name, local string, quiet bool) error {
	st, err := s.Stat(s.ctx, name, 0)
	if err != nil {
		return err
	}
	size := int64(0)
	for _, d := range st.Details {
		size += int64(d.Length)
	}
	p := newProgress(s.c.ErrOrStderr(), "get "+name, size, quiet)
	t, err := s.Get(s.ctx, name, local, p.set)
	p.end()
	if err != nil {
		if s.ctx.Err() != nil {
			err = errors.Join(err, fmt.Errorf("the same get goes on where this one stopped (%s)", local+file.PartSuffix))
		}
		return err
	}
	return s.transferred(local, t, p)
}

func newFSCat(f *fsFlags) *cobra.Command {
	var o file.ReadOptions
	c := fsCommand(f, &cobra.Command{
		Use: "cat PATH...", Short: "Print files",
		Long: `Print files: the bytes of what was put, and each record of what was appended once, as it
is (append it with its newline to read lines).`,
		Example: "  gfslab fs cat /data/logs/a\n  gfslab fs cat '/data/logs/*' | sort",
		Args:    cobra.MatchAll(cobra.MinimumNArgs(1), absolute),
	}, func(s *fsSession, args []string) error {
		paths, err := s.expand(args)
		return errors.Join(err, s.cat(paths, o))
	})
	c.Flags().BoolVar(&o.Duplicates, "duplicates", false, "also the copies that a retried append has left")
	return c
}

func (s *fsSession) cat(paths []string, o file.ReadOptions) error {
	w := s.c.OutOrStdout()
	return each(paths, func(name string) error {
		return s.Read(s.ctx, name, o, func(b file.Block) error {
			_, err := w.Write(b.Data)
			return err
		})
	})
}
