package diagnose

import (
	"sync"
	"time"
)

const (
	// inboxSize is larger than any broker's window of unacknowledged messages
	// in use (Mosquitto 20, the embedded broker 1,024), so that a full inbox
	// means QoS 0 in excess, or a loop that stands still.
	inboxSize = 2048
	// laneSize is the room that is kept for critical faults and for requests.
	laneSize = 256
	// laneTurns is how many may go first before one of the others goes: a flood
	// of critical faults must not hold up all the rest for ever.
	laneTurns = 16
)

// inbox holds what waits to be decided, within bounds. Critical faults and
// requests have a lane of their own and go first; but nothing overtakes what
// waits of the same device. It is safe for concurrent use, and never blocks.
type inbox struct {
	mu     sync.Mutex
	normal queue
	first  queue
	// inRow is how many went first since one of the others went.
	inRow int
	// waiting is, by device, how many wait in the normal queue, and where the
	// newest of them stands.
	waiting map[string]waiting
	// ready has a token while there may be something to take.
	ready chan struct{}
	made  time.Time
}

type waiting struct {
	n      int
	newest uint64
}

// parcel is a delivery that waits; since is when it came, by the monotonic
// clock from when the inbox was made. It is the older of two that were merged.
type parcel struct {
	Delivery
	since time.Duration
}

func (p *parcel) device() string {
	if p.Observation == nil {
		return ""
	}
	return p.Observation.Device
}

// queue is a ring; head and tail count for ever.
type queue struct {
	ring       []parcel
	head, tail uint64
}

func (q *queue) size() int { return int(q.tail - q.head) }

func (q *queue) full() bool { return q.size() == len(q.ring) }

func (q *queue) at(n uint64) *parcel { return &q.ring[n%uint64(len(q.ring))] }

func (q *queue) push(p parcel) uint64 {
	*q.at(q.tail) = p
	q.tail++
	return q.tail - 1
}

func (q *queue) pop() parcel {
	p := *q.at(q.head)
	*q.at(q.head) = parcel{} // what it holds may be large
	q.head++
	return p
}

func newInbox() *inbox {
	return &inbox{
		normal: queue{ring: make([]parcel, inboxSize)}, first: queue{ring: make([]parcel, laneSize)},
		waiting: make(map[string]waiting), ready: make(chan struct{}, 1), made: time.Now(),
	}
}

// put takes a delivery in, alone or merged into one like it; false when there
// is no room.
func (b *inbox) put(d Delivery) bool {
	p := parcel{d, time.Since(b.made)}
	device := p.device()
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.waiting[device]
	switch {
	case (d.Request != nil || d.Critical && w.n == 0) && !b.first.full():
		b.first.push(p)
	case !b.normal.full():
		at := b.normal.push(p)
		if d.Observation != nil {
			b.waiting[device] = waiting{w.n + 1, at}
		}
	case d.Droppable && w.n > 0 && b.normal.at(w.newest).merge(&d):
		return true
	default:
		return false
	}
	select {
	case b.ready <- struct{}{}:
	default:
	}
	return true
}

// merge takes a later message of the same device into one that waits and says
// the same; false where it says something else, or must be acknowledged.
func (p *parcel) merge(later *Delivery) bool {
	o, l := p.Observation, later.Observation
	if !p.Droppable || o == nil || l == nil || o.Retained || l.Retained ||
		o.Source != l.Source || o.Says != l.Says || o.Key != l.Key || o.Says == SaysRemoved {
		return false
	}
	merged := *l
	merged.Repeats = o.Repeats + 1 + l.Repeats
	p.Observation = &merged
	return true
}

// take gives out the next; false when nothing waits.
func (b *inbox) take() (parcel, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first.size() > 0 && !b.otherNow() {
		b.inRow++
		return b.first.pop(), true
	}
	if b.normal.size() == 0 {
		return parcel{}, false
	}
	b.inRow = 0
	p := b.normal.pop()
	if p.Observation != nil {
		device := p.device()
		if w := b.waiting[device]; w.n > 1 {
			b.waiting[device] = waiting{w.n - 1, w.newest}
		} else {
			delete(b.waiting, device)
		}
	}
	return p, true
}

// otherNow tells that it is the turn of one from the normal queue, though others
// wait in the lane: unless its device is among them, which it would overtake.
// They come to an end, for while it waits no more of them enter the lane.
func (b *inbox) otherNow() bool {
	if b.inRow < laneTurns || b.normal.size() == 0 {
		return false
	}
	next := b.normal.at(b.normal.head)
	if next.Observation == nil {
		return true
	}
	for n := b.first.head; n != b.first.tail; n++ {
		if p := b.first.at(n); p.Observation != nil && p.device() == next.device() {
			return false
		}
	}
	return true
}

// waits tells whether there is something to take.
func (b *inbox) waits() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.first.size()+b.normal.size() > 0
}
