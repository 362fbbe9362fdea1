package partial

import (
	"math/rand/v2"
	"slices"
	"time"

	"gfslab/consensus"
)

// Trial is one run of a scenario in one mode.
type Trial struct {
	Seed uint64 `json:"seed"`
	// Void says why the trial proves nothing, empty if it is valid.
	Void   string           `json:"void,omitempty"`
	Leader consensus.NodeID `json:"leader"`
	Hub    consensus.NodeID `json:"hub"`
	LagMS  float64          `json:"lag_ms,omitempty"`
	// Last is each node's last index at the cut, by id.
	Last []uint64 `json:"last_at_cut"`
	// Recovered: a proposal made after the cut was applied, the first one FirstMS
	// after it, at node By.
	Recovered bool             `json:"recovered"`
	FirstMS   float64          `json:"first_commit_ms,omitempty"`
	By        consensus.NodeID `json:"by,omitempty"`
	// Within the window after the cut: proposals applied, the longest time without
	// one, and how often somebody became leader.
	Commits int     `json:"commits"`
	StallMS float64 `json:"longest_stall_ms"`
	Leads   int     `json:"became_leader"`
}

const (
	// window is how long every trial is watched after the cut, horizon how long one
	// that has not recovered.
	window  = 2 * time.Second
	horizon = 8 * time.Second
	// warmUp is the load before the first cut.
	warmUp = 300 * time.Millisecond
)

// Run plays one trial. It must be called in a bubble of virtual time. What is drawn
// from the seed is the same for every mode.
func Run(s Scenario, m Mode, seed uint64) (t Trial, err error) {
	rng := rand.New(rand.NewPCG(seed, 0x9a771a1))
	offset := 1 + rng.IntN(s.Nodes-1)
	lag := 40*time.Millisecond + time.Duration(rng.Int64N(int64(40*time.Millisecond)))
	phase := time.Duration(rng.Int64N(int64(30 * time.Millisecond))) // of a heartbeat interval
	t.Seed = seed
	w, err := open(m, s.Nodes, seed)
	if err != nil {
		_ = w.close() // the first error tells more
		return t, err
	}
	w.play(s, &t, offset, lag, phase)
	return t, w.close()
}

func (w *world) play(s Scenario, t *Trial, offset int, lag, phase time.Duration) {
	if !await(10*time.Second, func() bool { return w.leader() != 0 && w.count() > 0 }) {
		t.Void = "no leader before the cut"
		return
	}
	rest(warmUp + phase)
	t.Leader = w.leader()
	if t.Leader == 0 {
		t.Void = "the lead moved before the cut"
		return
	}
	r := w.assign(t.Leader, offset)
	t.Hub = r.hub
	if s.Lag {
		t.LagMS = ms(lag)
		w.cut(r.leader, r.hub)
		rest(lag)
	}
	if s.Still {
		w.paused.Store(true)
		if !await(time.Second, func() bool { return level(w.last()) }) {
			t.Void = "the logs did not become equal"
			return
		}
	}
	led := w.leads0()
	t.Last = w.last()
	began := time.Now()
	for i, a := range w.members {
		for _, b := range w.members[:i] {
			if !s.keeps(r, a.id, b.id) {
				w.cut(a.id, b.id)
			}
		}
	}
	w.paused.Store(false)
	switch {
	case w.members[r.leader-1].replica.Status().Role != consensus.Leader:
		t.Void = "the lead moved before the cut"
	case s.Lag && !lags(t.Last, r):
		t.Void = "the hub did not lag"
	case s.Still && !level(t.Last):
		t.Void = "the logs were not equal"
	default:
		w.watch(t, began, led)
	}
}

// assign gives the roles: the hub stands offset behind the leader.
func (w *world) assign(leader consensus.NodeID, offset int) (r roles) {
	at := func(k int) consensus.NodeID {
		return consensus.NodeID((int(leader)-1+k)%len(w.members) + 1)
	}
	r.leader, r.hub = leader, at(offset)
	var rest []consensus.NodeID
	for k := 1; k < len(w.members); k++ {
		if k != offset {
			rest = append(rest, at(k))
		}
	}
	if len(rest) >= 2 {
		r.pair = [2]consensus.NodeID{rest[0], rest[1]}
	}
	return r
}

// cut severs the link between two nodes, both ways.
func (w *world) cut(a, b consensus.NodeID) {
	w.fabric.Cut(w.members[a-1].name, w.members[b-1].name)
	w.fabric.Cut(w.members[b-1].name, w.members[a-1].name)
}

// lags reports whether every node that is not cut off has more than the hub.
func lags(last []uint64, r roles) bool {
	for i, l := range last {
		if id := consensus.NodeID(i + 1); id != r.hub && l <= last[r.hub-1] {
			return false
		}
	}
	return true
}

func level(last []uint64) bool { return slices.Min(last) == slices.Max(last) }

// watch fills in what happens after the cut.
func (w *world) watch(t *Trial, began time.Time, led int) {
	rest(window)
	if first, _ := w.since(began); first == nil {
		await(horizon-window, func() bool { first, _ := w.since(began); return first != nil })
	}
	ended := time.Now()
	first, commits := w.since(began)
	if first != nil {
		t.Recovered, t.FirstMS, t.By = true, ms(first.ended.Sub(began)), first.by
	}
	t.Commits, t.Leads = len(commits), w.leads0()-led
	before := began
	for _, c := range commits {
		t.StallMS, before = max(t.StallMS, ms(c.ended.Sub(before))), c.ended
	}
	t.StallMS = max(t.StallMS, ms(ended.Sub(before)))
}

// since returns the first commit of a proposal made at or after that moment, and all
// of them by their end.
func (w *world) since(began time.Time) (*commit, []commit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var after []commit
	for _, c := range w.commits {
		if !c.began.Before(began) {
			after = append(after, c)
		}
	}
	slices.SortFunc(after, func(a, b commit) int { return a.ended.Compare(b.ended) })
	if len(after) == 0 {
		return nil, nil
	}
	return &after[0], after
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.commits)
}

func (w *world) leads0() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.leads)
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }
