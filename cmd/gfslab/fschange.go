package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/spf13/cobra"

	"gfslab/api"
	"gfslab/client/file"
)

func newFSMkdir(f *fsFlags) *cobra.Command {
	var parents bool
	c := fsCommand(f, &cobra.Command{
		Use: "mkdir PATH...", Short: "Make directories", Example: "  gfslab fs mkdir -p /data/2026/logs",
		Args: cobra.MatchAll(cobra.MinimumNArgs(1), absolute),
	}, func(s *fsSession, args []string) error {
		return each(args, func(name string) error { return s.Mkdir(s.ctx, file.Clean(name), parents) })
	})
	c.Flags().BoolVarP(&parents, "parents", "p", false, "also what is missing above; no error if it is there")
	return c
}

func newFSRm(f *fsFlags) *cobra.Command {
	var recursive bool
	var now uint64
	c := fsCommand(f, &cobra.Command{
		Use: "rm PATH...", Short: "Delete files and directories; undelete brings them back for a while",
		Long: `Delete files and directories: they are hidden, a whole tree at once, and removed for good
when their retention is over (72 h, or what chattr has set). The ids are printed.`,
		Example: "  gfslab fs rm '/data/*.tmp'\n  gfslab fs rm -r /data/old\n  gfslab fs ls --deleted /data\n  gfslab fs rm --now 17 /data/old     # for good",
		Args:    cobra.MatchAll(cobra.MinimumNArgs(1), absolute),
	}, func(s *fsSession, args []string) error {
		if now != 0 {
			if len(args) > 1 {
				return usage(errors.New("--now takes one path: an id is of one entry"))
			}
			return s.RemoveNow(s.ctx, file.Clean(args[0]), now)
		}
		return s.eachPath(args, func(name string) error {
			id, err := s.Remove(s.ctx, name, recursive)
			if err == nil {
				fmt.Fprintf(s.c.OutOrStdout(), "%s: hidden under id %d\n", name, id)
			} else if file.Refused(err, api.Code_NOT_EMPTY) {
				err = fmt.Errorf("%w (rm -r deletes all that is in it)", err)
			}
			return err
		})
	})
	c.Flags().BoolVarP(&recursive, "recursive", "r", false, "directories with all that is below them")
	c.Flags().Uint64Var(&now, "now", 0, "remove for good what is hidden under the path by this id")
	return c
}

func newFSUndelete(f *fsFlags) *cobra.Command {
	var id uint64
	c := fsCommand(f, &cobra.Command{
		Use: "undelete PATH...", Short: "Bring back what rm has hidden", Example: "  gfslab fs undelete /data\n  gfslab fs undelete /data/a --id 17",
		Args: cobra.MatchAll(cobra.MinimumNArgs(1), absolute),
	}, func(s *fsSession, args []string) error {
		if id != 0 && len(args) > 1 {
			return usage(errors.New("--id takes one path: an id is of one entry"))
		}
		return each(args, func(name string) error { return s.Undelete(s.ctx, file.Clean(name), id) })
	})
	c.Flags().Uint64Var(&id, "id", 0, "the entry with this id (default: what was hidden last; see ls --deleted)")
	return c
}

func newFSMv(f *fsFlags) *cobra.Command {
	return fsCommand(f, &cobra.Command{
		Use: "mv FROM... TO", Short: "Move files and directories", Example: "  gfslab fs mv /data/a /data/b\n  gfslab fs mv '/data/*.log' /logs/",
		Args: cobra.MatchAll(cobra.MinimumNArgs(2), absolute),
	}, func(s *fsSession, args []string) error {
		from, err := s.expand(args[:len(args)-1])
		if err != nil {
			return err
		}
		return s.moveInto(from, args[len(args)-1], func(ctx context.Context, from, to string) error { return s.Rename(ctx, from, to) })
	})
}

func newFSSnapshot(f *fsFlags) *cobra.Command {
	return fsCommand(f, &cobra.Command{
		Use: "snapshot FROM TO", Short: "Copy a file or a tree at one moment, sharing its data until either is written to",
		Example: "  gfslab fs snapshot /data /data-yesterday", Args: cobra.MatchAll(cobra.ExactArgs(2), absolute),
	}, func(s *fsSession, args []string) error {
		return s.moveInto([]string{file.Clean(args[0])}, args[1], s.Snapshot)
	})
}

// moveInto does something from each path to the target, or, if that is a
// directory, to the same name in it.
func (s *fsSession) moveInto(from []string, target string, do func(ctx context.Context, from, to string) error) error {
	return each(from, func(name string) error {
		to, err := s.Into(s.ctx, path.Base(name), target)
		if err != nil {
			return err
		}
		if len(from) > 1 && to == target {
			return usage(fmt.Errorf("%s is not a directory: it cannot take %d paths", target, len(from)))
		}
		return do(s.ctx, name, file.Clean(to))
	})
}

func newFSChattr(f *fsFlags) *cobra.Command {
	var retention time.Duration
	var replicas uint32
	var maxFiles, maxChunks uint64
	var clear []string
	c := &cobra.Command{
		Use: "chattr PATH...", Short: "Set retention, replicas and quotas",
		Long: `Set attributes of files and directories. Retention and replicas hold for all below until
something nearer sets them; a quota bounds what is below a directory, what is deleted and
not yet removed included.`,
		Example: "  gfslab fs chattr --retention 1h /tmp\n  gfslab fs chattr --replicas 2 --max-files 100000 /scratch\n  gfslab fs chattr --clear max_files /scratch",
		Args:    cobra.MatchAll(cobra.MinimumNArgs(1), absolute),
	}
	fsCommand(f, c, func(s *fsSession, args []string) error {
		var set api.Attributes
		flags := c.Flags()
		if flags.Changed("retention") {
			if retention < 0 {
				return usage(fmt.Errorf("--retention %v: it must not be negative", retention))
			}
			ns := int64(retention)
			set.RetentionNs = &ns
		}
		if flags.Changed("replicas") {
			set.Replicas = &replicas
		}
		if flags.Changed("max-files") {
			set.MaxFiles = &maxFiles
		}
		if flags.Changed("max-chunks") {
			set.MaxChunks = &maxChunks
		}
		if len(clear) == 0 && set.RetentionNs == nil && set.Replicas == nil && set.MaxFiles == nil && set.MaxChunks == nil {
			return usage(errors.New("nothing to set or clear; see --help"))
		}
		return s.eachPath(args, func(name string) error { return s.SetAttributes(s.ctx, name, &set, clear) })
	})
	c.Flags().DurationVar(&retention, "retention", 72*time.Hour, "how long what is deleted can be brought back; 0s: not at all")
	c.Flags().Uint32Var(&replicas, "replicas", 0, "goal for the replicas of chunks")
	c.Flags().Uint64Var(&maxFiles, "max-files", 0, "quota of files and directories")
	c.Flags().Uint64Var(&maxChunks, "max-chunks", 0, "quota of chunks")
	c.Flags().StringSliceVar(&clear, "clear", nil, "attributes to take away: retention, replicas, max_files, max_chunks")
	return c
}
