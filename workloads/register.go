package workloads

import (
	"math/rand/v2"
	"strconv"
)

// registerKeys is the number of keys: few, so that clients meet, and enough that
// each key's history stays short.
const registerKeys = 5

// register is Jepsen's classic on a key-value store. The caller gives every value
// that it writes a name of its own; a compare-and-swap expects what the client
// saw last.
type register struct{ mix mix }

func newRegister(Config) Workload {
	return &register{mix: newMix(
		choice{45, one(Get, registerKey)},
		choice{25, one(Put, registerKey)},
		choice{25, one(Swap, registerKey)},
		choice{5, one(Remove, registerKey)},
	)}
}

// IsKV reports whether a workload runs on the key-value store instead of a GFS
// cell.
func IsKV(workload string) bool { return workload == "register" }

func (w *register) Load(*rand.Rand) []Op {
	var ops []Op
	for i := range registerKeys {
		ops = append(ops, Op{Kind: Put, Path: "r" + strconv.Itoa(i)})
	}
	return ops
}

func (w *register) Next(rng *rand.Rand, client int) Op { return w.mix.draw(rng, client) }

func registerKey(rng *rand.Rand) string { return "r" + strconv.Itoa(rng.IntN(registerKeys)) }
