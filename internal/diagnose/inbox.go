package diagnose

import "sync"

const (
	// inboxSize is larger than any broker's window of unacknowledged messages
	// in use (Mosquitto 20, the embedded broker 1,024), so that a full inbox
	// means QoS 0 in excess, or a loop that stands still.
	inboxSize = 2048
	// lane is the room that is kept for critical faults and for requests.
	laneSize = 256
)

// inbox holds what waits to be decided, within bounds. Critical faults and
// requests have a lane of their own and go first; but nothing overtakes what
// waits of the same device. It is safe for concurrent use, and never blocks.
type inbox struct {
	mu     sync.Mutex
	normal queue
	first  queue
	// waiting is, by device, how many wait in the normal queue, and where the
	// newest of them stands.
	waiting map[string]waiting
	// ready has a token while there may be something to take.
	ready chan struct{}
}

type waiting struct {
	n      int
	newest uint64
}

// queue is a ring; head and tail count for ever.
type queue struct {
	ring       []Delivery
	head, tail uint64
}

func (q *queue) size() int { return int(q.tail - q.head) }

func (q *queue) full() bool { return q.size() == len(q.ring) }

func (q *queue) at(n uint64) *Delivery { return &q.ring[n%uint64(len(q.ring))] }

func (q *queue) push(d Delivery) uint64 {
	*q.at(q.tail) = d
	q.tail++
	return q.tail - 1
}

func (q *queue) pop() Delivery {
	d := *q.at(q.head)
	*q.at(q.head) = Delivery{} // what it holds may be large
	q.head++
	return d
}

func newInbox() *inbox {
	return &inbox{
		normal: queue{ring: make([]Delivery, inboxSize)}, first: queue{ring: make([]Delivery, laneSize)},
		waiting: make(map[string]waiting), ready: make(chan struct{}, 1),
	}
}

// put takes a delivery in, alone or merged into one like it; false when there
// is no room.
func (b *inbox) put(d Delivery) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	device := ""
	if d.Observation != nil {
		device = d.Observation.Device
	}
	w := b.waiting[device]
	switch {
	case (d.Critical || d.Request != nil) && w.n == 0 && !b.first.full():
		b.first.push(d)
	case !b.normal.full():
		at := b.normal.push(d)
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
func (d *Delivery) merge(later *Delivery) bool {
	o, l := d.Observation, later.Observation
	if !d.Droppable || o == nil || l == nil || o.Retained || l.Retained ||
		o.Source != l.Source || o.Says != l.Says || o.Key != l.Key || o.Says == SaysRemoved {
		return false
	}
	merged := *l
	merged.Repeats = o.Repeats + 1 + l.Repeats
	d.Observation = &merged
	return true
}

// take gives out the next; false when nothing waits.
func (b *inbox) take() (Delivery, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first.size() > 0 {
		return b.first.pop(), true
	}
	if b.normal.size() == 0 {
		return Delivery{}, false
	}
	d := b.normal.pop()
	if d.Observation != nil {
		device := d.Observation.Device
		if w := b.waiting[device]; w.n > 1 {
			b.waiting[device] = waiting{w.n - 1, w.newest}
		} else {
			delete(b.waiting, device)
		}
	}
	return d, true
}

// waits tells whether there is something to take.
func (b *inbox) waits() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.first.size()+b.normal.size() > 0
}
