package paxostest

import "gfslab/paxos"

// faults draws the faults of one tick. Toward the end of a run those that the
// options ask for and that did not happen yet are forced. Past the end, while
// proposals are still missing, the world becomes friendlier.
func (w *world) faults(opt Options) {
	if past := w.now - opt.Ticks; past > 0 && past%100 == 0 {
		w.swarm.ease()
	}
	late := w.now > opt.Ticks/2 && w.now%50 == 0
	if w.chance(w.swarm.crash) || late && w.report.Crashes < opt.Crashes {
		w.crash()
	}
	if w.chance(w.swarm.cut) || late && w.report.Partitions < opt.Partitions {
		w.cut()
	}
	if w.chance(w.swarm.heal) && w.now >= w.siegeEnd {
		w.healLinks()
	}
	w.attackLease()
	for _, p := range w.peers {
		if !p.up && !p.gone && w.chance(w.swarm.restart) {
			w.start(p)
		}
	}
	if w.chance(w.swarm.campaign) {
		if p := w.peers[w.rng.IntN(len(w.peers))]; p.up {
			p.node.Campaign()
			p.drain()
		}
	}
}

// siege is how a leader with a lease is attacked.
type siege uint8

const (
	// restarted: nobody hears the leader or is heard by it; the others restart.
	restarted siege = iota
	// slowed: answers to the leader take long; then nobody hears it any more.
	slowed
	// deafened: it does not hear that another leads.
	deafened
)

// attackLease besieges a leader now and then, while the others do what they can to
// elect another.
func (w *world) attackLease() {
	if w.now < w.siegeEnd {
		if w.siege == slowed && w.now == w.siegeCut {
			w.isolate(w.besieged, true, false)
		}
		p := w.peers[w.rng.IntN(len(w.peers))]
		if p.up && p.id != w.besieged {
			p.node.Campaign()
			p.drain()
		}
		return
	}
	if !w.chance(w.swarm.siege) {
		return
	}
	for _, p := range w.peers {
		if p.up && p.node.Status().Role == paxos.Leader {
			w.besiege(p, siege(w.rng.IntN(2)))
			return
		}
	}
}

func (w *world) besiege(p *peer, how siege) {
	election := w.swarm.config.ElectionTicks
	w.siege, w.besieged, w.siegeCut, w.siegeEnd = how, p.id, w.now+election/2, w.now+election+w.swarm.delay
	w.report.Sieges++
	switch how {
	case restarted:
		w.isolate(p.id, true, true)
		for _, other := range w.peers {
			if other != p && other.up {
				w.harvest(other)
				other.crash(len(other.writes))
				w.start(other)
			}
		}
	case slowed:
		w.siegeEnd += 2 * election
	case deafened:
		w.isolate(p.id, false, true)
	}
}

// shielded reports whether the siege keeps m from the leader: of those who slow its
// answers it hears nothing else once it is cut off.
func (w *world) shielded(m paxos.Message) bool {
	return w.siege == slowed && w.now >= w.siegeCut && w.now < w.siegeEnd && m.To == w.besieged && m.Kind != paxos.MsgHeartbeatReply
}

// isolate cuts what a node sends, what it would hear, or both.
func (w *world) isolate(id paxos.NodeID, out, in bool) {
	for _, other := range w.peers {
		if other.id != id {
			w.cutLink[id-1][other.id-1] = w.cutLink[id-1][other.id-1] || out
			w.cutLink[other.id-1][id-1] = w.cutLink[other.id-1][id-1] || in
		}
	}
}

// victim is a node to hurt: often one that leads.
func (w *world) victim() *peer {
	if w.swarm.followLeader {
		for _, p := range w.peers {
			if p.up && p.node.Status().Role == paxos.Leader {
				return p
			}
		}
	}
	return w.peers[w.rng.IntN(len(w.peers))]
}

// crash takes a node down; of its unfinished writes a prefix survives.
func (w *world) crash() {
	p := w.victim()
	if !p.up {
		return
	}
	survive := 0
	for survive < len(p.writes) && w.chance(w.swarm.survive) {
		survive++
	}
	w.note(uint64(p.id), uint64(survive))
	w.harvest(p)
	p.crash(survive)
	w.report.Crashes++
}

// cut severs links: one node from all, two sides, or single links.
func (w *world) cut() {
	w.report.Partitions++
	side := make([]bool, len(w.peers))
	switch w.rng.IntN(3) {
	case 0:
		side[w.victim().id-1] = true
	case 1:
		for i := range side {
			side[i] = w.rng.IntN(2) == 0
		}
	case 2:
		a, b := w.rng.IntN(len(side)), w.rng.IntN(len(side))
		if w.cutLink[a][b] = a != b; !w.swarm.oneWay {
			w.cutLink[b][a] = a != b
		}
		return
	}
	outward := w.rng.IntN(2) == 0
	for a := range side {
		for b := range side {
			if side[a] != side[b] && (!w.swarm.oneWay || side[a] == outward) {
				w.cutLink[a][b] = true
			}
		}
	}
}

func (w *world) healLinks() {
	for _, row := range w.cutLink {
		clear(row)
	}
}

// harvest adds a node's counters to the report before they are lost.
func (w *world) harvest(p *peer) {
	c := p.node.Status().Counters
	w.report.Elections += c.Elections
	w.report.LeaderChanges += c.LeaderChanges
	w.report.GapsFilled += c.GapsFilled
	w.report.ValuesAdopted += c.ValuesAdopted
	w.report.CatchUps += c.CatchUps
	w.report.Rejections += c.Rejections
	w.report.Installs += c.Installs
	w.report.LeaseReads += c.LeaseReads
}
