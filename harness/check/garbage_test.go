package check

import (
	"context"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"gfslab/results/rundir"
)

// TestGarbage changes random fields of right runs. Whatever a sealed directory
// says, the judge must come to a verdict: it must not break, and not hang.
// GFSLAB_GARBAGE is the number of runs to spoil.
func TestGarbage(t *testing.T) {
	rounds := 60
	if n, err := strconv.Atoi(os.Getenv("GFSLAB_GARBAGE")); err == nil {
		rounds = n
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	verdicts := map[string]int{}
	for i := range rounds {
		run := newCellScript(t).run
		if i%4 < 3 {
			run = simulate(t, []string{"create", "append", "lease-churn"}[i%4], uint64(i%5+1), 6, 400)
		}
		for range 1 + rng.IntN(4) {
			spoil(rng, run)
		}
		run.Manifest.Plan.CheckTimeout = rundir.Duration(2 * time.Second)
		began := time.Now()
		verdicts[Run(context.Background(), run).Verdict]++
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("seed %d round %d took %v", seed, i, took)
		}
	}
	t.Logf("verdicts %v", verdicts)
	if verdicts[rundir.Invalid] < rounds/4 {
		t.Errorf("seed %d: of %d spoilt runs few are invalid: %v", seed, rounds, verdicts)
	}
}

// spoil changes one field of one record.
func spoil(rng *rand.Rand, run *rundir.Run) {
	node := []string{"m1", "m2", "m3", "cs1", "cs2", "cs3"}[rng.IntN(6)]
	var record reflect.Value
	switch {
	case rng.IntN(2) == 0:
		op := &run.Ops[rng.IntN(len(run.Ops))]
		if record = reflect.ValueOf(op).Elem(); op.Reply != nil && rng.IntN(2) == 0 {
			record = reflect.ValueOf(op.Reply).Elem()
		}
	case len(run.Applied[node]) > 0:
		i, everywhere := rng.IntN(len(run.Applied["m1"])), rng.IntN(2) == 0
		record = reflect.ValueOf(&run.Applied[node][i]).Elem()
		if everywhere {
			k := rng.IntN(record.NumField())
			change(rng, record.Field(k))
			for other := range run.Applied {
				f := reflect.ValueOf(&run.Applied[other][min(i, len(run.Applied[other])-1)]).Elem().Field(k)
				f.Set(record.Field(k))
			}
			return
		}
	case len(run.Leases[node]) > 0 && rng.IntN(2) == 0:
		record = reflect.ValueOf(&run.Leases[node][rng.IntN(len(run.Leases[node]))]).Elem()
	case len(run.Chunks[node]) > 0:
		record = reflect.ValueOf(&run.Chunks[node][rng.IntN(len(run.Chunks[node]))]).Elem()
	default:
		return
	}
	change(rng, record.Field(rng.IntN(record.NumField())))
}

func change(rng *rand.Rand, f reflect.Value) {
	numbers := []int64{0, 1, -1, 7, 1 << 20, 1 << 40, -1 << 62, 1<<63 - 1}
	n := numbers[rng.IntN(len(numbers))]
	switch f.Kind() {
	case reflect.Int, reflect.Int64:
		f.SetInt(n)
	case reflect.Uint32, reflect.Uint64:
		f.SetUint(uint64(n))
	case reflect.Bool:
		f.SetBool(!f.Bool())
	case reflect.String:
		words := []string{"", "/", "/p0", "/p0/../x", "m1", "cs1", "OK", "NO_CHUNK", "NOT_FOUND", "unknown", "ok", "fail", "delete", "rename", "list", "append", "claim", "write", "read-bytes", "read-records", "snapshot", "undelete", "block"}
		f.SetString(words[rng.IntN(len(words))])
	case reflect.Pointer:
		f.SetZero()
	case reflect.Slice:
		if f.Len() == 0 || rng.IntN(3) == 0 {
			f.SetZero()
			return
		}
		if b, is := f.Interface().([]byte); is {
			b = slices.Clone(b)
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			f.SetBytes(b)
			return
		}
		f.Set(f.Slice(0, f.Len()/2))
	}
}
