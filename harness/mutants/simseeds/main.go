// Command simseeds simulates whole clusters of both cores on seeds 1 to N until
// one fails, and prints what it found as JSON. It is built from patched sources
// by package mutants, and is of no use by itself.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"gfslab/harness/sim"
)

// finding has the fields of mutants.Finding.
type finding struct {
	Seeds   int
	Failed  bool
	Seed    uint64
	Monitor string
	Detail  string
}

func main() {
	n := 0
	if len(os.Args) == 2 {
		n, _ = strconv.Atoi(os.Args[1]) // 0 if it is no number
	}
	if n < 1 {
		fmt.Fprintln(os.Stderr, "usage: simseeds N")
		os.Exit(64)
	}
	if err := json.NewEncoder(os.Stdout).Encode(search(n)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(70)
	}
}

func search(n int) finding {
	for seed := 1; seed <= n; seed++ {
		for _, b := range sim.Backends() {
			if r := sim.Run(b, uint64(seed), sim.Options{}); r.Failed() {
				return finding{Seeds: seed, Failed: true, Seed: r.Seed, Monitor: r.Kind(), Detail: r.String()}
			}
		}
	}
	return finding{Seeds: n}
}
