package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/client/admin"
)

func newCluster() *cobra.Command {
	c := &cobra.Command{
		Use:   "cluster",
		Short: "Look at a cluster and change its members, leader and snapshots",
		Long: `Look at a cluster and change it. Name some replicas with --endpoints; the others
are found, redirects followed, and a change is waited for.

Exit codes: 0 done, 1 refused as senseless (surely not done), 64 usage,
70 not done or not known to be done in time, 130 interrupted.`,
		Example: `  gfslab cluster status --endpoints 127.0.0.1:7401
  gfslab kv serve --id 4 --join --peers 1=127.0.0.1:7401,4=127.0.0.1:7404 --data /tmp/kv/node4 &
  gfslab cluster replace 1 4=127.0.0.1:7404`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var f endpointFlags
	f.register(c)
	c.AddCommand(
		clusterCommand(&f, &cobra.Command{Use: "status", Short: "Show every replica", Args: cobra.NoArgs}, clusterStatus),
		newClusterAdd(&f),
		clusterCommand(&f, &cobra.Command{
			Use: "remove ID", Short: "Remove a member; a leader hands its lead over first", Args: cobra.ExactArgs(1),
		}, clusterRemove),
		clusterCommand(&f, &cobra.Command{
			Use: "replace ID NEW=HOST:PORT", Short: "Add a started node, let it catch up, then remove another",
			Example: "  gfslab cluster replace 1 4=127.0.0.1:7404", Args: cobra.ExactArgs(2),
		}, clusterReplace),
		clusterCommand(&f, &cobra.Command{
			Use: "transfer [ID]", Short: "Hand the lead to a voter, or to the best one", Args: cobra.MaximumNArgs(1),
		}, clusterTransfer),
		clusterCommand(&f, &cobra.Command{
			Use: "snapshot [ID]", Short: "Make a replica, or the leader, write a snapshot and compact its log", Args: cobra.MaximumNArgs(1),
		}, clusterSnapshot),
	)
	return c
}

// clusterCommand gives a command its connections and its exit codes.
func clusterCommand(f *endpointFlags, c *cobra.Command, run func(*cobra.Command, *endpointFlags, *session, []string) error) *cobra.Command {
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.connect(c)
		if err != nil {
			return err
		}
		defer s.end()
		err = run(c, f, s, args)
		if errors.Is(err, admin.ErrRefused) {
			return &exitError{exitNo, err}
		}
		return err
	}
	return c
}

func newClusterAdd(f *endpointFlags) *cobra.Command {
	var learner bool
	c := clusterCommand(f, &cobra.Command{
		Use: "add ID=HOST:PORT", Short: "Add a started node: as a learner first, as a voter once it has caught up",
		Example: "  gfslab cluster add 4=127.0.0.1:7404\n  gfslab cluster add --learner 5=127.0.0.1:7405", Args: cobra.ExactArgs(1),
	}, func(c *cobra.Command, f *endpointFlags, s *session, args []string) error {
		m, err := parseMember(args[0])
		if err != nil {
			return usage(err)
		}
		got, err := s.admin.Add(s.ctx, m, learner, progressTo(c))
		return printMembers(c, f, got, err)
	})
	c.Flags().BoolVar(&learner, "learner", false, "let it stay a learner, which does not vote")
	return c
}

func parseMember(arg string) (*api.Member, error) {
	id, addr, ok := strings.Cut(arg, "=")
	n, err := strconv.ParseUint(id, 10, 64)
	if _, _, bad := net.SplitHostPort(addr); !ok || err != nil || n == 0 || bad != nil {
		return nil, fmt.Errorf("%q: want id=host:port", arg)
	}
	return &api.Member{Id: n, Address: addr}, nil
}

func parseID(args []string, at int) (uint64, error) {
	if len(args) <= at {
		return 0, nil
	}
	n, err := strconv.ParseUint(args[at], 10, 64)
	if err != nil || n == 0 {
		return 0, usage(fmt.Errorf("%q is not a node's id", args[at]))
	}
	return n, nil
}

// progressTo prints what happens meanwhile.
func progressTo(c *cobra.Command) func(string) {
	return func(line string) { fmt.Fprintln(c.ErrOrStderr(), line) }
}

func clusterRemove(c *cobra.Command, f *endpointFlags, s *session, args []string) error {
	id, err := parseID(args, 0)
	if err != nil {
		return err
	}
	got, err := s.admin.Remove(s.ctx, id, progressTo(c))
	return printMembers(c, f, got, err)
}

func clusterReplace(c *cobra.Command, f *endpointFlags, s *session, args []string) error {
	old, err := parseID(args, 0)
	if err != nil {
		return err
	}
	m, err := parseMember(args[1])
	if err != nil {
		return usage(err)
	}
	got, err := s.admin.Replace(s.ctx, old, m, progressTo(c))
	return printMembers(c, f, got, err)
}

func clusterTransfer(c *cobra.Command, f *endpointFlags, s *session, args []string) error {
	to, err := parseID(args, 0)
	if err != nil {
		return err
	}
	leader, err := s.admin.Transfer(s.ctx, to)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(c.OutOrStdout(), map[string]uint64{"leader": leader})
	}
	fmt.Fprintf(c.OutOrStdout(), "node %d leads\n", leader)
	return nil
}

func clusterSnapshot(c *cobra.Command, f *endpointFlags, s *session, args []string) error {
	id, err := parseID(args, 0)
	if err != nil {
		return err
	}
	at, reply, err := s.admin.Snapshot(s.ctx, id)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(c.OutOrStdout(), map[string]any{"node": at, "index": reply.Index, "term": reply.Term, "bytes": reply.Bytes})
	}
	fmt.Fprintf(c.OutOrStdout(), "node %d has a snapshot through index %d, %d bytes\n", at, reply.Index, reply.Bytes)
	return nil
}

func printMembers(c *cobra.Command, f *endpointFlags, m *api.MembersReply, err error) error {
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(c.OutOrStdout(), m)
	}
	fmt.Fprintf(c.OutOrStdout(), "configuration %d: voters %s", m.Index, names(m.Voters))
	if len(m.Learners) > 0 {
		fmt.Fprintf(c.OutOrStdout(), ", learners %s", names(m.Learners))
	}
	fmt.Fprintln(c.OutOrStdout())
	return nil
}

func names(members []*api.Member) string {
	var out []string
	for _, m := range members {
		out = append(out, fmt.Sprintf("%d=%s", m.Id, m.Address))
	}
	return strings.Join(out, " ")
}

// clusterStatus shows every replica that can be found. It fails if none answers.
func clusterStatus(c *cobra.Command, f *endpointFlags, s *session, _ []string) error {
	nodes := s.admin.Describe(s.ctx)
	answered := 0
	for _, n := range nodes {
		if n.Err == nil {
			answered++
		}
	}
	if f.json {
		if err := printJSON(c.OutOrStdout(), statusJSON(nodes)); err != nil {
			return err
		}
	} else {
		printStatus(c, nodes)
	}
	if answered == 0 {
		return errors.New("no endpoint answers")
	}
	return nil
}

func statusJSON(nodes []admin.Node) []map[string]any {
	var out []map[string]any
	for _, n := range nodes {
		row := map[string]any{"address": n.Address}
		if n.Err != nil {
			row["error"] = status.Convert(n.Err).Message()
		} else {
			row["status"] = n.DescribeReply
		}
		out = append(out, row)
	}
	return out
}

func printStatus(c *cobra.Command, nodes []admin.Node) {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"node", "address", "member", "role", "term", "leader", "committed", "applied", "snapshot", "first", "state"})
	var newest *api.MembersReply
	for _, n := range nodes {
		if m := n.GetMembers(); m != nil && (newest == nil || m.Index > newest.Index) {
			newest = m
		}
	}
	for _, n := range nodes {
		if n.Err != nil {
			t.AppendRow(table.Row{"?", n.Address, "", "no answer: " + status.Convert(n.Err).Message()})
			continue
		}
		hash := n.StateHash
		if len(hash) > 8 {
			hash = hash[:8]
		}
		t.AppendRow(table.Row{n.Node, n.Address, membership(newest, n.Node), n.Role, n.Term, n.Leader, n.Committed, n.Applied, n.Snapshot, n.First, hash})
	}
	w := c.OutOrStdout()
	for _, n := range nodes {
		if n.Err == nil {
			fmt.Fprintf(w, "cluster %s, backend %s\n", n.Cluster, n.Backend)
			break
		}
	}
	fmt.Fprintln(w, t.Render())
	if newest != nil {
		_ = printMembers(c, &endpointFlags{}, newest, nil) // text has no error
	}
}

// membership is a node's part in a configuration.
func membership(m *api.MembersReply, id uint64) string {
	for part, list := range map[string][]*api.Member{"voter": m.GetVoters(), "learner": m.GetLearners(), "leaving": m.GetOutgoing()} {
		for _, x := range list {
			if x.Id == id {
				return part
			}
		}
	}
	return ""
}
