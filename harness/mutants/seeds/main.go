// Command seeds runs the simulator of the Paxos core on seeds 1 to N until one
// fails, or explores a world until something is violated, and prints what it
// found as JSON; the path to a violation goes to standard error. It is built from patched sources by
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
	States  uint64
	Depth   int
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "explore" {
		f, err := explore(os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, "seeds:", err)
			os.Exit(64)
		}
		answer(f)
		return
	}
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: seeds N | seeds explore WORLD")
		os.Exit(64)
	}
	n, err := strconv.Atoi(os.Args[1])
	if err != nil || n < 1 {
		fmt.Fprintf(os.Stderr, "seeds: %q is not a number of seeds\n", os.Args[1])
		os.Exit(64)
	}
	answer(search(n))
}

func answer(f finding) {
	if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
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

func explore(name string) (finding, error) {
	w, ok := paxostest.WorldNamed(name)
	if !ok {
		return finding{}, fmt.Errorf("no world is called %q", name)
	}
	e := paxostest.Explore(w)
	f := finding{States: e.States}
	if c := e.Counterexample; c != nil {
		f.Failed, f.Monitor, f.Detail, f.Depth = true, c.Monitor, c.Detail, c.Depth()
		for _, line := range c.Trace {
			fmt.Fprintln(os.Stderr, line)
		}
	} else if !e.Complete {
		return f, fmt.Errorf("the world %s is too large: %d states", name, e.States)
	}
	return f, nil
}
