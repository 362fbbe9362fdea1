// Command seeds runs the simulator of the Paxos core on seeds 1 to N until one
// fails, and prints what it found as JSON. It is built from patched sources by
// package mutants, and is of no use by itself.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"gfslab/paxos/paxostest"
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
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: seeds N")
		os.Exit(64)
	}
	n, err := strconv.Atoi(os.Args[1])
	if err != nil || n < 1 {
		fmt.Fprintf(os.Stderr, "seeds: %q is not a number of seeds\n", os.Args[1])
		os.Exit(64)
	}
	if err := json.NewEncoder(os.Stdout).Encode(search(n)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(70)
	}
}

func search(n int) finding {
	for seed := 1; seed <= n; seed++ {
		r := paxostest.Run(uint64(seed), paxostest.Options{})
		f := finding{Seeds: seed, Failed: true, Seed: r.Seed}
		switch {
		case r.Violation != nil:
			f.Monitor, f.Detail = r.Violation.Monitor, r.Violation.Error()
			return f
		case r.Stall != "":
			f.Monitor, f.Detail = "stall", r.Stall
			return f
		}
	}
	return finding{Seeds: n}
}
