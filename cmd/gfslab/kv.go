package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"gfslab/api"
	"gfslab/client/admin"
	"gfslab/client/call"
	kvclient "gfslab/kv/client"
)

// The exit code of a key-value operation whose answer is no: there is no such
// key, or the comparison failed.
const exitNo = 1

// endpointFlags are what every command that talks to a cluster takes.
type endpointFlags struct {
	endpoints []string
	timeout   time.Duration
	json      bool
}

func (f *endpointFlags) register(c *cobra.Command) {
	c.PersistentFlags().StringSliceVar(&f.endpoints, "endpoints", []string{"127.0.0.1:7401", "127.0.0.1:7402", "127.0.0.1:7403"}, "addresses of some replicas")
	c.PersistentFlags().DurationVar(&f.timeout, "timeout", 10*time.Second, "how long to try")
	c.PersistentFlags().BoolVar(&f.json, "json", false, "print JSON")
}

// session is a command's connections and its deadline.
type session struct {
	ctx   context.Context
	conns *call.Conns
	admin *admin.Admin
	end   func()
}

func (f *endpointFlags) connect(c *cobra.Command) (*session, error) {
	conns := call.NewConns(nil, 0)
	a, err := admin.New(conns, f.endpoints)
	if err != nil {
		return nil, usage(err)
	}
	ctx, cancel := context.WithTimeout(c.Context(), f.timeout)
	return &session{ctx, conns, a, func() {
		cancel()
		conns.Close()
	}}, nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func newKV() *cobra.Command {
	c := &cobra.Command{
		Use:   "kv",
		Short: "Run and use a replicated key-value store on any backend",
		Example: `  gfslab kv up --data /tmp/kv                          # three nodes on this machine
  gfslab kv put color green
  gfslab kv get color
  gfslab kv cas color green blue
  gfslab kv bench --clients 64 --seconds 5 --read-ratio 0.5
  gfslab cluster status`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newKVServe(), newKVUp(), newKVPut(), newKVGet(), newKVDelete(), newKVCAS(), newKVBench())
	return c
}

// kvOperation makes a command that performs one operation and prints its reply.
func kvOperation(c *cobra.Command, do func(ctx context.Context, kv *kvclient.Client, args []string) (kvclient.Result, error)) *cobra.Command {
	var f endpointFlags
	f.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := f.connect(c)
		if err != nil {
			return err
		}
		defer s.end()
		nodes, err := s.admin.Nodes(s.ctx)
		if err != nil {
			return err
		}
		kv, err := kvclient.New(kvclient.Options{Name: uniqueName(), Options: call.Options{Nodes: nodes, Conns: s.conns, OpTimeout: f.timeout}})
		if err != nil {
			return err
		}
		r, err := do(s.ctx, kv, args)
		if err != nil {
			return err
		}
		return printKV(c, f.json, r)
	}
	return c
}

// uniqueName names a client as no other was ever named.
func uniqueName() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return "cli-" + hex.EncodeToString(b[:])
}

func printKV(c *cobra.Command, asJSON bool, r kvclient.Result) error {
	switch r.Outcome {
	case call.Fail:
		return &exitError{exitInfrastructure, fmt.Errorf("not done: %w", r.Err)}
	case call.Unknown:
		return &exitError{exitUnknown, fmt.Errorf("it may have been done, or may yet: %w", r.Err)}
	}
	reply, w := r.Reply, c.OutOrStdout()
	if asJSON {
		if err := printJSON(w, map[string]any{
			"code": reply.Code.String(), "value": string(reply.Value), "revision": reply.Revision,
			"index": reply.At.GetIndex(), "term": reply.At.GetTerm(), "node": r.Node,
		}); err != nil {
			return err
		}
	}
	switch reply.Code {
	case api.KVCode_KV_OK:
		if !asJSON && c.Name() == "get" {
			fmt.Fprintf(w, "%s\n", reply.Value)
		} else if !asJSON {
			fmt.Fprintf(w, "ok (revision %d)\n", reply.Revision)
		}
		return nil
	case api.KVCode_KV_NOT_FOUND:
		return &exitError{exitNo, errors.New("there is no such key")}
	case api.KVCode_KV_CONFLICT:
		return &exitError{exitNo, fmt.Errorf("the key has another value (revision %d); nothing was changed", reply.Revision)}
	}
	return &exitError{exitInfrastructure, fmt.Errorf("the store answers %v", reply.Code)}
}

func newKVPut() *cobra.Command {
	return kvOperation(&cobra.Command{
		Use: "put KEY VALUE", Short: "Set a key", Example: "  gfslab kv put color green", Args: cobra.ExactArgs(2),
	}, func(ctx context.Context, kv *kvclient.Client, args []string) (kvclient.Result, error) {
		return kv.Put(ctx, args[0], []byte(args[1])), nil
	})
}

func newKVGet() *cobra.Command {
	var stale uint64
	c := kvOperation(&cobra.Command{
		Use: "get KEY", Short: "Read a key", Example: "  gfslab kv get color\n  gfslab kv get color --stale-from 3", Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, kv *kvclient.Client, args []string) (kvclient.Result, error) {
		if stale != 0 {
			return kv.GetStale(ctx, args[0], stale), nil
		}
		return kv.Get(ctx, args[0]), nil
	})
	c.Flags().Uint64Var(&stale, "stale-from", 0, "read what this node has applied, leader or not")
	return c
}

func newKVDelete() *cobra.Command {
	return kvOperation(&cobra.Command{
		Use: "delete KEY", Short: "Remove a key", Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, kv *kvclient.Client, args []string) (kvclient.Result, error) {
		return kv.Delete(ctx, args[0]), nil
	})
}

func newKVCAS() *cobra.Command {
	var create bool
	return func() *cobra.Command {
		c := kvOperation(&cobra.Command{
			Use: "cas KEY EXPECTED VALUE | cas --create KEY VALUE", Short: "Set a key if it has the expected value",
			Long:    "Set a key if it has the expected value, or, with --create, if there is none.\nExit code 1: it has another, and nothing was changed.",
			Example: "  gfslab kv cas color green blue\n  gfslab kv cas --create lock me",
			Args:    cobra.RangeArgs(2, 3),
		}, func(ctx context.Context, kv *kvclient.Client, args []string) (kvclient.Result, error) {
			switch {
			case create && len(args) == 2:
				return kv.CreateKey(ctx, args[0], []byte(args[1])), nil
			case !create && len(args) == 3:
				return kv.CompareAndSwap(ctx, args[0], []byte(args[1]), []byte(args[2])), nil
			}
			return kvclient.Result{}, usage(errors.New("give KEY EXPECTED VALUE, or --create KEY VALUE"))
		})
		c.Flags().BoolVar(&create, "create", false, "expect no such key")
		return c
	}()
}
