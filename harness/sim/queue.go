package sim

// kind says what an event is.
type kind uint8

const (
	evFault   kind = iota + 1 // a nominal tick: faults are drawn
	evTick                    // a node's own tick
	evFrame                   // a frame arrives
	evTurn                    // a node's loop looks at what has come in
	evWrote                   // a disk has finished a write
	evApply                   // a state machine gets to work
	evFile                    // a job with a snapshot's file is done
	evSave                    // a snapshot is written, or durable
	evRequest                 // a client's request arrives at a node
	evReply                   // an answer arrives at a client
	evClient                  // a client acts: starts an operation, or loses patience
)

// event is something that happens at a moment. Of two at the same moment the one
// that was scheduled first comes first.
type event struct {
	at   int64
	kind kind
	node int32  // index of the node, where there is one
	from int32  // of the sender, or the index of the client
	life uint32 // of the node, or the client's generation; stale events are void
	data []byte
	call *call
}

// queue is a heap of events. The heap itself holds no pointers, so that the
// garbage collector has no part in moving them about.
type queue struct {
	heap  []slot
	seq   uint32
	slab  []event
	spare []uint32 // free places in slab
}

type slot struct {
	at    int64
	seq   uint32
	place uint32
}

// fan is how many events of the heap follow one: four of them are a cache line.
const fan = 4

func (a slot) before(b slot) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

func (q *queue) push(e event) {
	var place uint32
	if n := len(q.spare); n > 0 {
		place, q.spare = q.spare[n-1], q.spare[:n-1]
		q.slab[place] = e
	} else {
		place = uint32(len(q.slab))
		q.slab = append(q.slab, e)
	}
	q.seq++
	s := slot{e.at, q.seq, place}
	i := len(q.heap)
	q.heap = append(q.heap, s)
	for i > 0 {
		up := (i - 1) / fan
		if !s.before(q.heap[up]) {
			break
		}
		q.heap[i] = q.heap[up]
		i = up
	}
	q.heap[i] = s
}

func (q *queue) pop() event {
	top := q.heap[0]
	last := len(q.heap) - 1
	s, heap := q.heap[last], q.heap[:last]
	q.heap = heap
	for i := 0; last > 0; {
		first := fan*i + 1
		if first >= last {
			heap[i] = s
			break
		}
		low, least := first, heap[first]
		for j, x := range heap[first+1 : min(first+fan, last)] {
			if x.before(least) {
				low, least = first+1+j, x
			}
		}
		if !least.before(s) {
			heap[i] = s
			break
		}
		heap[i] = least
		i = low
	}
	e := q.slab[top.place]
	q.slab[top.place] = event{}
	q.spare = append(q.spare, top.place)
	return e
}
