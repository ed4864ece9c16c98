package mqtt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"fieldmedic/internal/diagnose"
)

// maxResponses may wait for the connection; more are dropped, for their askers
// gave up long ago.
const maxResponses = 1000

// maxCopies is how many waiting snapshots are held; of further ones only the
// device is, and the store is asked when it is sent. A site of 10,000 devices
// that break at once would hold tens of megabytes otherwise.
const maxCopies = 512

// waiting is what waits to be published, but for events, which the log holds.
type waiting struct {
	mu sync.Mutex
	// session that snapshots are kept for. While there is none they are not,
	// for the store is read at the next.
	session *session
	// usurped: another agent came up under our gateway id.
	usurped bool
	queue   []*outgoing
	latest  map[diagnose.DeviceID]*outgoing
	// byID: the store can be asked for a snapshot. copies are those in the
	// queue that are held.
	byID   bool
	copies int
	// responses stay until they are acknowledged; the first sent of them are on
	// their way.
	responses []message
	sent      int
	info      []byte
	infoSent  bool
}

// outgoing is a snapshot that waits, or a topic to be emptied.
type outgoing struct {
	snapshot diagnose.Snapshot
	empty    bool
	// bare: of the snapshot there is only the device.
	bare bool
}

// Publish takes over what the loop made durable. It does not block.
func (p *Publisher) Publish(pub diagnose.Publication) {
	p.waiting.add(pub)
	p.nudge()
}

func (w *waiting) add(pub diagnose.Publication) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session == nil {
		return
	}
	for i := range pub.Snapshots {
		// What is removed now the store does not have any more, and of the site
		// it has no word while it fails.
		device := pub.Snapshots[i].Device
		w.enqueue(pub.Snapshots[i], device == "" || slices.Contains(pub.Removed, string(device)))
	}
	for _, id := range pub.Removed {
		w.queue = append(w.queue, &outgoing{snapshot: diagnose.Snapshot{Device: diagnose.DeviceID(id)}, empty: true})
		delete(w.latest, diagnose.DeviceID(id)) // what comes now is another device's
	}
}

// enqueue lets a snapshot take the place of an older one that still waits.
func (w *waiting) enqueue(s diagnose.Snapshot, hold bool) {
	o := w.latest[s.Device]
	if o == nil {
		o = &outgoing{bare: true}
		w.latest[s.Device] = o
		w.queue = append(w.queue, o)
	}
	switch {
	case !o.bare: // it has a place among those that are held
	case hold || !w.byID || w.copies < maxCopies:
		w.copies++
		o.bare = false
	default:
		s = diagnose.Snapshot{Device: s.Device}
	}
	o.snapshot = s
}

// dequeue takes up to n of the oldest.
func (w *waiting) dequeue(n int) []*outgoing {
	w.mu.Lock()
	defer w.mu.Unlock()
	n = min(n, len(w.queue))
	taken := slices.Clone(w.queue[:n])
	clear(w.queue[:n]) // the array stays in use: under load the queue is never empty
	if w.queue = w.queue[n:]; len(w.queue) == 0 {
		w.queue = nil // let go of the array
	}
	for _, o := range taken {
		w.count(o, -1)
		if w.latest[o.snapshot.Device] == o {
			delete(w.latest, o.snapshot.Device)
		}
	}
	return taken
}

func (w *waiting) count(o *outgoing, n int) {
	if !o.bare && !o.empty {
		w.copies += n
	}
}

// putBack returns what was taken and not sent to the front.
func (w *waiting) putBack(rest []*outgoing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range rest {
		w.count(o, 1)
	}
	w.queue = append(rest, w.queue...)
}

func (w *waiting) more() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue) > 0
}

// open begins to keep snapshots for a session, and ends it with nil. What a
// session before left over is sent again, or found out by comparing. A session
// that compares again goes on with what waits.
func (w *waiting) open(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.infoSent = 0, false
	if s != nil && s == w.session {
		return
	}
	w.session, w.usurped = s, false
	w.queue, w.copies = nil, 0
	clear(w.latest)
}

// usurp notes that another agent came up while s stands.
func (w *waiting) usurp(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.usurped = w.usurped || s == w.session
}

// rival is errConflict when another agent came up, or nil.
func (w *waiting) rival() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.usurped {
		return errConflict
	}
	return nil
}

// Respond publishes the answer to a request. It does not block.
func (p *Publisher) Respond(verb diagnose.Verb, r diagnose.Response) {
	body, err := json.Marshal(r)
	if err != nil {
		p.opts.Log.Error("encode a response", "verb", verb, "err", err)
		return
	}
	p.waiting.respond(message{topic: p.root + "response/" + EscapeID(string(verb)), payload: body})
	p.nudge()
}

func (w *waiting) respond(m message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.responses) < maxResponses {
		w.responses = append(w.responses, m)
	}
}

// response is the next response to send; false: none waits.
func (w *waiting) response() (message, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent == len(w.responses) {
		return message{}, false
	}
	w.sent++
	return w.responses[w.sent-1], true
}

// unsent takes back that the last response was sent.
func (w *waiting) unsent() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent--
}

// responded forgets the oldest response, which was acknowledged.
func (w *waiting) responded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.responses = w.responses[1:]
	w.sent--
}

// SetInfo gives the retained topic `info` its content. It does not block.
func (p *Publisher) SetInfo(info any) error {
	body, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("encode info: %w", err)
	}
	p.waiting.setInfo(body)
	p.nudge()
	return nil
}

func (w *waiting) setInfo(body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !bytes.Equal(w.info, body) {
		w.info, w.infoSent = body, false
	}
}

// takeInfo is info when it is to be sent, or nil.
func (w *waiting) takeInfo() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.infoSent {
		return nil
	}
	w.infoSent = true
	return w.info
}

// infoStands notes whether info stands at the broker already.
func (w *waiting) infoStands(same func([]byte) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.infoSent = w.info != nil && same(w.info)
}

// nudge wakes the session.
func (p *Publisher) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
