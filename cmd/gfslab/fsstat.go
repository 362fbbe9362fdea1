package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gfslab/api"
	"gfslab/client"
)

func newFSStat(f *fsFlags) *cobra.Command {
	var id uint64
	var locations bool
	c := fsCommand(f, &cobra.Command{
		Use: "stat PATH...", Short: "Describe files and directories, their attributes and chunks",
		Example: "  gfslab fs stat /data/a --locations\n  gfslab fs stat /data/a --id 17   # what is hidden under the path",
		Args:    cobra.MatchAll(cobra.MinimumNArgs(1), absolute),
	}, func(s *fsSession, args []string) error {
		return s.eachPath(args, func(name string) error {
			st, err := s.Stat(s.ctx, name, id)
			if err != nil {
				return err
			}
			if f.json {
				return printMessage(s.c.OutOrStdout(), st)
			}
			return s.describe(name, id, st, locations)
		})
	})
	c.Flags().Uint64Var(&id, "id", 0, "describe what is hidden under the path by this id (see ls --deleted)")
	c.Flags().BoolVar(&locations, "locations", false, "say where the chunks' replicas are")
	return c
}

func (s *fsSession) describe(name string, id uint64, st *api.StatReply, locations bool) error {
	w := tabwriter.NewWriter(s.c.OutOrStdout(), 0, 8, 2, ' ', 0)
	kind := "file"
	if st.Directory {
		kind = "directory"
	}
	fmt.Fprintf(w, "path\t%s\ntype\t%s\nid\t%d\n", name, kind, st.Id)
	describeAttributes(w, st)
	if !st.Directory {
		if id == 0 {
			size, err := s.Size(s.ctx, name, st)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "bytes\t%d (%s)\n", size, iec(size))
		}
		fmt.Fprintf(w, "chunks\t%d\n", len(st.Chunks))
	}
	for i, d := range st.Details {
		fmt.Fprintf(w, "  %d\thandle %d, %s, %s", i, d.Handle, strings.ToLower(d.Kind.String()), iec(d.Length))
		if d.Sealed {
			fmt.Fprint(w, ", sealed")
		}
		if d.Refs > 1 {
			fmt.Fprintf(w, ", shared by %d files", d.Refs)
		}
		if locations {
			fmt.Fprint(w, ", "+s.locate(name, uint32(i), id))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// locate says where a chunk's replicas are.
func (s *fsSession) locate(name string, index uint32, id uint64) string {
	var o []client.CallOption
	if id != 0 {
		o = append(o, client.WithDeleted(id))
	}
	r := s.Client().FindLocation(s.ctx, name, index, o...)
	switch {
	case r.Outcome != client.OK:
		return r.Err.Error()
	case r.Reply.Code != api.Code_OK:
		return r.Reply.Code.String()
	case r.Reply.Version == 0:
		return "nothing written"
	}
	text := fmt.Sprintf("version %d at %s", r.Reply.Version, strings.Join(r.Reply.Replicas, " "))
	if r.Reply.Primary != "" {
		text += ", primary " + r.Reply.Primary
	}
	return text
}

func describeAttributes(w io.Writer, st *api.StatReply) {
	own, all := st.GetOwn(), st.GetEffective()
	from := func(set bool) string {
		if set {
			return ""
		}
		return " (inherited)"
	}
	if all != nil && all.RetentionNs != nil {
		fmt.Fprintf(w, "retention\t%v%s\n", time.Duration(*all.RetentionNs), from(own != nil && own.RetentionNs != nil))
	}
	if all != nil && all.Replicas != nil {
		fmt.Fprintf(w, "replicas\t%d%s\n", *all.Replicas, from(own != nil && own.Replicas != nil))
	}
	if own != nil && own.MaxFiles != nil {
		fmt.Fprintf(w, "quota\t%d of %d files\n", st.QuotaFiles, *own.MaxFiles)
	}
	if own != nil && own.MaxChunks != nil {
		fmt.Fprintf(w, "quota\t%d of %d chunks\n", st.QuotaChunks, *own.MaxChunks)
	}
}

func newFSHealth(f *fsFlags) *cobra.Command {
	return fsCommand(f, &cobra.Command{
		Use: "health", Short: "Tell how chunkservers and replication are, as the leading master knows it",
		Long: "Tell how chunkservers and replication are, as the leading master knows it.\nExit code 1: some chunk has fewer replicas than it should.",
		Args: cobra.NoArgs,
	}, func(s *fsSession, _ []string) error {
		h, leader, err := s.Client().LeaderHealth(s.ctx)
		if err != nil {
			return err
		}
		w := s.c.OutOrStdout()
		if f.json {
			err = printMessage(w, h)
		} else {
			fmt.Fprintf(w, "master %s leads\n", client.NodeName(leader))
			if err = printServers(w, h); err == nil {
				printReplication(w, h)
			}
		}
		if err == nil && h.Under > 0 {
			err = &exitError{exitNo, fmt.Errorf("%d of %d chunks are below their goal, %d of them without a live replica", h.Under, h.Chunks, h.Without)}
		}
		return err
	})
}

func printReplication(w io.Writer, h *api.HealthReply) {
	if h.WarmingUp {
		fmt.Fprintln(w, "warming up: too few chunkservers have reported to judge replication")
	}
	fmt.Fprintf(w, "%d chunks, %d below their goal, %d without a live replica\n", h.Chunks, h.Under, h.Without)
	fmt.Fprintf(w, "clones: %d waiting, %d under way, %d made (%s) since this master leads\n", h.Queued, h.Running, h.ClonedChunks, iec(h.ClonedBytes))
	fmt.Fprintf(w, "replicas removed: %d, found corrupt: %d\n", h.RemovedReplicas, h.CorruptReplicas)
}

func printServers(out io.Writer, h *api.HealthReply) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "chunkserver\taddress\track\tstate\tchunks\tused\tcapacity\tuse")
	for _, c := range h.Chunkservers {
		state := "alive"
		if !c.Alive {
			state = fmt.Sprintf("silent for %v", time.Duration(c.SilentNs).Round(100*time.Millisecond))
		}
		capacity, use := "-", "-"
		if c.CapacityBytes > 0 {
			capacity, use = iec(c.CapacityBytes), fmt.Sprintf("%.0f %%", 100*float64(c.UsedBytes)/float64(c.CapacityBytes))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", c.Name, c.Address, c.Rack, state, c.Chunks, iec(c.UsedBytes), capacity, use)
	}
	return w.Flush()
}

func newFSDf(f *fsFlags) *cobra.Command {
	return fsCommand(f, &cobra.Command{
		Use: "df", Short: "Tell how full the chunkservers are", Args: cobra.NoArgs,
	}, func(s *fsSession, _ []string) error {
		h, _, err := s.Client().LeaderHealth(s.ctx)
		switch {
		case err != nil:
			return err
		case f.json:
			return printMessage(s.c.OutOrStdout(), h)
		}
		return printServers(s.c.OutOrStdout(), h)
	})
}
