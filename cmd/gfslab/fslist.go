package main

import (
	"fmt"
	"io"
	"path"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"gfslab/api"
	"gfslab/client/file"
)

func newFSLs(f *fsFlags) *cobra.Command {
	var long bool
	var o file.ListOptions
	c := fsCommand(f, &cobra.Command{
		Use: "ls [PATH...]", Short: "List directories",
		Long: `List directories (default /), names of directories with a trailing slash. Bytes are as the
chunkservers last reported them.`,
		Example: "  gfslab fs ls -l /data\n  gfslab fs ls '/data/**/*.log'\n  gfslab fs ls --deleted /data   # what rm has hidden, with the ids for undelete",
		Args:    absolute,
	}, func(s *fsSession, args []string) error {
		if len(args) == 0 {
			args = []string{"/"}
		}
		l := &lister{fsSession: s, long: long || o.Deleted, o: o, out: tabwriter.NewWriter(s.c.OutOrStdout(), 0, 8, 2, ' ', 0)}
		paths, err := s.expand(args)
		if err != nil {
			return err
		}
		l.several = len(paths) > 1
		err = each(paths, l.list)
		if f.json && err == nil {
			return printJSON(s.c.OutOrStdout(), l.rows)
		}
		if e := l.out.Flush(); err == nil {
			err = e
		}
		return err
	})
	c.Flags().BoolVarP(&long, "long", "l", false, "with id, chunks and bytes")
	c.Flags().BoolVarP(&o.Recursive, "recursive", "R", false, "all that is below")
	c.Flags().BoolVarP(&o.Deleted, "deleted", "d", false, "what is hidden, and until when it can be undeleted")
	return c
}

// lister prints entries as lines, or collects them.
type lister struct {
	*fsSession
	long, several bool
	o             file.ListOptions
	out           *tabwriter.Writer
	rows          []lsRow
}

// lsRow is an entry in JSON.
type lsRow struct {
	Path      string     `json:"path"`
	ID        uint64     `json:"id"`
	Directory bool       `json:"directory"`
	Chunks    uint32     `json:"chunks"`
	Bytes     uint64     `json:"bytes"`
	Deleted   *time.Time `json:"deleted,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
}

func (l *lister) list(name string) error {
	if l.several && !l.flags.json {
		if st, err := l.Stat(l.ctx, name, 0); err == nil && st.Directory {
			fmt.Fprintf(l.out, "%s:\n", name)
		}
	}
	_, err := l.List(l.ctx, name, l.o, func(e *api.Entry) error {
		l.print(name, e)
		return nil
	})
	if !file.Refused(err, api.Code_NOT_DIRECTORY) {
		return err
	}
	st, err := l.Stat(l.ctx, name, 0)
	if err != nil {
		return err
	}
	e := &api.Entry{Name: name, Id: st.Id, Chunks: uint32(len(st.Chunks))}
	for _, d := range st.Details {
		e.Bytes += d.Length
	}
	l.print("", e)
	return nil
}

func (l *lister) print(dir string, e *api.Entry) {
	if l.flags.json {
		row := lsRow{Path: path.Join(dir, e.Name), ID: e.Id, Directory: e.Directory, Chunks: e.Chunks, Bytes: e.Bytes}
		if l.o.Deleted {
			deleted, expires := time.Unix(0, e.DeletedNs).UTC(), time.Unix(0, e.ExpiresNs).UTC()
			row.Deleted, row.Expires = &deleted, &expires
		}
		l.rows = append(l.rows, row)
		return
	}
	if !l.long {
		fmt.Fprintln(l.out, e.Name)
		return
	}
	if e.Directory {
		fmt.Fprintf(l.out, "%d\t\t\t", e.Id)
	} else {
		fmt.Fprintf(l.out, "%d\t%s\t%s\t", e.Id, count(uint64(e.Chunks), "chunk"), iec(e.Bytes))
	}
	if l.o.Deleted {
		fmt.Fprintf(l.out, "deleted %s\tuntil %s\t", moment(e.DeletedNs), moment(e.ExpiresNs))
	}
	fmt.Fprintln(l.out, e.Name)
}

func moment(ns int64) string { return time.Unix(0, ns).Local().Format("2006-01-02 15:04:05") }

// count is a number of things.
func count(n uint64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// iec is a number of bytes for people.
func iec(n uint64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v /= 1 << 10; v < 1<<10 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

// printMessage prints a reply in JSON.
func printMessage(w io.Writer, m proto.Message) error {
	b, err := protojson.MarshalOptions{Multiline: true, Indent: "  ", UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n", b)
	}
	return err
}

func newFSDu(f *fsFlags) *cobra.Command {
	return fsCommand(f, &cobra.Command{
		Use: "du [PATH...]", Short: "Count what is below paths",
		Long: "Count files, directories, chunks and bytes below paths (default /). Bytes are as the\nchunkservers last reported them, of one replica.",
		Args: absolute,
	}, func(s *fsSession, args []string) error {
		if len(args) == 0 {
			args = []string{"/"}
		}
		out := tabwriter.NewWriter(s.c.OutOrStdout(), 0, 8, 2, ' ', 0)
		err := s.eachPath(args, func(name string) error {
			u, err := s.Usage(s.ctx, name)
			if err != nil {
				return err
			}
			if f.json {
				return printMessage(s.c.OutOrStdout(), u)
			}
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", iec(u.Bytes), count(u.Chunks, "chunk"), count(u.Files, "file"), countDirectories(u.Directories), name)
			if u.HiddenFiles > 0 {
				fmt.Fprintf(out, "hidden\t%s\t%s\t\t%s\n", count(u.HiddenChunks, "chunk"), count(u.HiddenFiles, "file"), name)
			}
			return nil
		})
		if e := out.Flush(); err == nil {
			err = e
		}
		return err
	})
}

func newFSTree(f *fsFlags) *cobra.Command {
	return fsCommand(f, &cobra.Command{
		Use: "tree [PATH]", Short: "Draw all that is below a directory", Args: cobra.MatchAll(cobra.MaximumNArgs(1), absolute),
	}, func(s *fsSession, args []string) error {
		root := "/"
		if len(args) == 1 {
			root = file.Clean(args[0])
		}
		var names []string
		if _, err := s.List(s.ctx, root, file.ListOptions{Recursive: true}, func(e *api.Entry) error {
			names = append(names, e.Name)
			return nil
		}); err != nil {
			return err
		}
		if f.json {
			return printJSON(s.c.OutOrStdout(), names)
		}
		w := s.c.OutOrStdout()
		fmt.Fprintln(w, root)
		drawTree(w, names)
		files, directories := uint64(0), uint64(0)
		for _, n := range names {
			if strings.HasSuffix(n, "/") {
				directories++
			} else {
				files++
			}
		}
		fmt.Fprintf(w, "\n%s, %s\n", countDirectories(directories), count(files, "file"))
		return nil
	})
}

func countDirectories(n uint64) string {
	if n == 1 {
		return "1 directory"
	}
	return fmt.Sprintf("%d directories", n)
}

// drawTree prints relative paths, which come in the order of a walk, as a tree.
func drawTree(w io.Writer, names []string) {
	var draw func(names []string, indent, below string)
	draw = func(names []string, indent, below string) {
		for len(names) > 0 {
			name := names[0]
			n := 1
			if strings.HasSuffix(name, "/") {
				for n < len(names) && strings.HasPrefix(names[n], name) {
					n++
				}
			}
			branch, deeper := "├── ", "│   "
			if n == len(names) {
				branch, deeper = "└── ", "    "
			}
			fmt.Fprintf(w, "%s%s%s\n", indent, branch, strings.TrimPrefix(name, below))
			draw(names[1:n], indent+deeper, name)
			names = names[n:]
		}
	}
	draw(names, "", "")
}
