package mqtt

import (
	"bytes"
	"sync"
	"time"
)

// echoes are messages that we published on a topic we are subscribed to: they
// must come back. A broker whose access list forbids one acknowledges it all
// the same, and drops it.
type echoes struct {
	mu      sync.Mutex
	session *session
	// awaited are those that did not come back yet: the newest of each topic.
	awaited map[string]*echo
}

type echo struct {
	body []byte
	// acked is when the broker acknowledged it; zero: not yet.
	acked time.Time
}

// open begins to listen for a session, and ends it with nil.
func (e *echoes) open(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.session, e.awaited = s, make(map[string]*echo)
}

// expect says that a message is about to be published; what it answers is to be
// called when it is acknowledged.
func (e *echoes) expect(m message) (acked func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	one := &echo{body: bytes.Clone(m.payload)}
	e.awaited[m.topic] = one
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		one.acked = time.Now()
	}
}

// take tells whether a message is one that was awaited.
func (e *echoes) take(s *session, topic string, body []byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	one := e.awaited[topic]
	if e.session != s || one == nil || !bytes.Equal(one.body, body) {
		return false
	}
	delete(e.awaited, topic)
	return true
}

// waits tells whether a topic's echo did not come back, and since when the
// broker has its message; zero: it does not.
func (e *echoes) waits(topic string) (waits bool, since time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	one := e.awaited[topic]
	if one == nil {
		return false, time.Time{}
	}
	return true, one.acked
}
