package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gfslab/client"
	"gfslab/client/admin"
	"gfslab/client/file"
)

// fsFlags are what every `gfslab fs` command takes.
type fsFlags struct {
	masters []string
	timeout time.Duration
	shadow  bool
	json    bool
}

// mastersVariable names the masters where --masters does not.
const mastersVariable = "GFSLAB_MASTERS"

func (f *fsFlags) register(c *cobra.Command) {
	masters := cmp.Or(os.Getenv(mastersVariable), "127.0.0.1:7501,127.0.0.1:7502,127.0.0.1:7503")
	flags := c.PersistentFlags()
	flags.StringSliceVar(&f.masters, "masters", strings.Split(masters, ","), "addresses of some masters (environment: "+mastersVariable+")")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long one operation may take; it is tried again until then")
	flags.BoolVar(&f.shadow, "shadow", false, "look up at any master what it has applied, and print how far behind it is")
	flags.BoolVar(&f.json, "json", false, "print JSON")
}

func newFS() *cobra.Command {
	var f fsFlags
	c := &cobra.Command{
		Use:   "fs",
		Short: "Use the file system of a cell: ls, put, get, append, snapshot and more",
		Long: `Use the file system of a cell that gfslab up, or gfslab master and gfslab chunkserver,
run. Paths are absolute; those that are read may hold patterns (quote them): * ? [a-z]
{a,b}, and ** for any directories.

What is on its way when a master or a chunkserver dies goes on by itself; for how long
it paused is printed if it was above half a second.

Exit codes: 0 done, 1 refused (no such file, it exists already, ...), 2 it is not known
whether it was done, 64 usage, 70 the cell does not answer, 130 interrupted.`,
		Example: `  gfslab up &                                  # a cell on this machine
  gfslab fs mkdir -p /data/logs
  gfslab fs put big.iso /data/                 # again after Ctrl-C: it goes on
  gfslab fs ls -l /data
  echo hello | gfslab fs append /data/logs/a
  gfslab fs snapshot /data /data-yesterday
  gfslab fs rm -r /data && gfslab fs undelete /data
  gfslab fs get /data/big.iso copy.iso
  gfslab fs health`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f.register(c)
	c.AddCommand(newFSLs(&f), newFSStat(&f), newFSTree(&f), newFSDu(&f), newFSMkdir(&f), newFSRm(&f), newFSUndelete(&f), newFSMv(&f),
		newFSSnapshot(&f), newFSChattr(&f), newFSPut(&f), newFSGet(&f), newFSCat(&f), newFSAppend(&f), newFSHealth(&f), newFSDf(&f))
	return c
}

// fsSession is one command's view of the cell.
type fsSession struct {
	*file.FS
	ctx   context.Context
	c     *cobra.Command
	flags *fsFlags
	end   func()
}

func (f *fsFlags) connect(c *cobra.Command) (*fsSession, error) {
	for _, m := range f.masters {
		if m == "" || strings.ContainsAny(m, " /") {
			return nil, usage(fmt.Errorf("--masters: %q is not an address; want host:port", m))
		}
	}
	if f.timeout <= 0 {
		return nil, usage(fmt.Errorf("--timeout %v: it must be positive", f.timeout))
	}
	conns := client.NewConns(nil, 0)
	s := &fsSession{ctx: c.Context(), c: c, flags: f, end: func() { conns.Close() }}
	if err := s.open(conns); err != nil {
		conns.Close()
		return nil, err
	}
	return s, nil
}

func (s *fsSession) open(conns *client.Conns) error {
	a, err := admin.New(conns, s.flags.masters)
	if err != nil {
		return usage(err)
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.flags.timeout)
	defer cancel()
	masters, err := a.Nodes(ctx)
	if err != nil {
		return fmt.Errorf("%w\n`gfslab up` runs a cell; --masters says where one is", err)
	}
	s.FS, err = file.New(file.Options{
		Shadow: s.flags.shadow,
		Client: client.Options{
			Name: uniqueName(), Masters: masters, Conns: conns, Seed: rand.Uint64(), OpTimeout: s.flags.timeout,
			// A chunkserver that is up answers well within these; one that was
			// killed refuses at once.
			AttemptTimeout: 2 * time.Second, LeaseTimeout: 10 * time.Second, DataTimeout: 3 * time.Second,
			BackoffMin: 10 * time.Millisecond, BackoffMax: time.Second,
		},
	})
	return err
}

// fsCommand makes a command that works on a cell.
func fsCommand(f *fsFlags, c *cobra.Command, do func(s *fsSession, args []string) error) *cobra.Command {
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.connect(c)
		if err != nil {
			return err
		}
		defer s.end()
		err = do(s, args)
		s.printPause()
		s.printLag()
		return fsError(err)
	}
	return c
}

// minPause is the shortest pause that a user is told of.
const minPause = 500 * time.Millisecond

// printPause tells of the longest time that an operation lost by what failed.
func (s *fsSession) printPause() {
	if d, why := s.LongestPause(); d >= minPause {
		fmt.Fprintf(s.c.ErrOrStderr(), "paused %.1fs while %s\n", d.Seconds(), why)
	}
}

// printLag tells how old a shadow's answer may be.
func (s *fsSession) printLag() {
	if at := s.ShadowAt(); s.flags.shadow && at != nil {
		fmt.Fprintf(s.c.ErrOrStderr(), "shadow: as of log index %d, %d entries behind, %v since it heard of the leader\n",
			at.Index, at.Behind, time.Duration(at.LagNs).Round(time.Millisecond))
	}
}

// each does something for every argument, and goes on after one that fails.
func each(args []string, do func(string) error) error {
	var errs []error
	for _, a := range args {
		if err := do(a); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// expand turns the arguments' patterns into paths.
func (s *fsSession) expand(args []string) (paths []string, err error) {
	for _, a := range args {
		found, e := s.Glob(s.ctx, file.Clean(a))
		paths = append(paths, found...)
		err = errors.Join(err, e)
	}
	return paths, err
}

// eachPath does something for every path that the arguments stand for.
func (s *fsSession) eachPath(args []string, do func(string) error) error {
	paths, err := s.expand(args)
	return errors.Join(err, each(paths, do))
}

// fsError gives an error its exit code: that of the worst in it.
func fsError(err error) error {
	if err == nil {
		return nil
	}
	var coded *exitError
	if errors.As(err, &coded) {
		return err
	}
	code := exitNo
	var walk func(error)
	walk = func(err error) {
		if both, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range both.Unwrap() {
				walk(e)
			}
			return
		}
		var e *file.Error
		switch {
		case errors.As(err, &e) && e.Outcome == client.OK:
		case errors.As(err, &e) && e.Outcome == client.Unknown:
			code = max(code, exitUnknown)
		default:
			code = exitInfrastructure
		}
	}
	walk(err)
	return &exitError{code, err}
}

// absolute refuses what is not a path in the cell.
func absolute(_ *cobra.Command, args []string) error {
	for _, a := range args {
		if !strings.HasPrefix(a, "/") {
			return fmt.Errorf("%q: paths in the cell begin with a slash", a)
		}
	}
	return nil
}
