package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"gfslab/harness/partial"
)

func newPartial() *cobra.Command {
	var (
		spec partial.Spec
		out  string
	)
	c := &cobra.Command{
		Use:   "partial",
		Short: "Cut the network in part, in every backend and mode, and print who goes on",
		Long: `Cut the network in part, in virtual time: the three scenarios of the Omni-Paxos
paper beside a positive and a negative control, for every backend, PreVote and
CheckQuorum as far as it has them, and the switches of our own core.

It fails (exit code 1) only where a mode breaks its own rules: where they let a
connected node lead and it does not commit within four election timeouts, or where
somebody commits without a quorum. Which mode goes on otherwise is the finding.`,
		Example: "  gfslab partial --out results/runs/partial\n  gfslab partial --scenarios constrained-election --modes 'etcdraft pv+cq','multipaxos raft pv+cq' --trials 5",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := spec.Plan(); err != nil {
				return usage(err)
			}
			if out == "" {
				out = filepath.Join("results", "runs", time.Now().Format("20060102-150405")+"-partial-connectivity")
			}
			if _, err := os.Stat(out); err == nil {
				return usage(fmt.Errorf("%s exists already: choose another --out", out))
			}
			r, err := partial.RunMatrix(c.Context(), spec, c.ErrOrStderr())
			if err != nil {
				return err
			}
			r.Version = version()
			return writePartial(c, r, out)
		},
	}
	var scenarios, modes []string
	for _, s := range partial.Scenarios() {
		scenarios = append(scenarios, s.Name)
	}
	for _, m := range partial.Modes() {
		modes = append(modes, m.String())
	}
	fs := c.Flags()
	fs.StringSliceVar(&spec.Scenarios, "scenarios", nil, "scenarios (default all)")
	fs.StringSliceVar(&spec.Modes, "modes", nil, "modes (default all)")
	fs.IntVar(&spec.Trials, "trials", 20, "trials a cell")
	fs.Uint64Var(&spec.Seed, "seed", 1, "first seed; trial k has the same seed in every cell")
	fs.StringVar(&out, "out", "", "where result.json and tables.md go, must not exist (default results/runs/<time>-partial-connectivity)")
	complete(c, "scenarios", scenarios)
	complete(c, "modes", modes)
	return c
}

func writePartial(c *cobra.Command, r partial.Result, dir string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := r.Markdown()
	for name, content := range map[string][]byte{"result.json": data, "tables.md": []byte(text)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	fmt.Fprint(c.OutOrStdout(), text)
	fmt.Fprintf(c.OutOrStdout(), "\n%.0f s; %s\n", r.WallSeconds, filepath.Join(dir, "result.json"))
	if breaches := r.Breaches(); len(breaches) > 0 {
		return &exitError{exitInvalid, fmt.Errorf("%d breaches of conformance, the first: %s", len(breaches), breaches[0])}
	}
	return nil
}
