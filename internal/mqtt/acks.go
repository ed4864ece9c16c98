package mqtt

import (
	"errors"
	"sync"
	"time"
)

const (
	// ackWindow is how many messages may be without an acknowledgement: a broker
	// has no more packet identifiers (MQTT 3.1.1, 2.3.1).
	ackWindow = 65535
	// ackGrace is how long an orderly end waits for acknowledgements that are
	// on their way.
	ackGrace = 250 * time.Millisecond
)

// errWindow says that a broker sends what MQTT does not let it send.
var errWindow = errors.New("the broker sends more messages than there are packet identifiers")

// ackOrder lets acknowledgements leave in the order of the messages (MQTT
// 3.1.1, 4.6: [MQTT-4.6.0-2]), whatever order they are decided in. One of a
// message that is decided waits for those before it.
type ackOrder struct {
	mu sync.Mutex
	// waiting are the messages that were handed over and not acknowledged.
	waiting []*ticket
	// released counts those that were acknowledged. past are packets that were
	// read past.
	released int64
	past     []pastPacket
	// leaving is how many acknowledgements are being written.
	leaving int
	// ready wakes the one who writes.
	ready chan struct{}
}

// ticket is a message's place in the order.
type ticket struct {
	qos     byte
	id      uint16
	decided bool
}

// pastPacket is one that was read past before it was handed over: it stands
// behind the first so many messages.
type pastPacket struct {
	after int64
	ticket
}

func newAckOrder() *ackOrder { return &ackOrder{ready: make(chan struct{}, 1)} }

// take gives a message its place; nil: there is none left.
func (o *ackOrder) take(qos byte, id uint16) *ticket {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) >= ackWindow {
		return nil
	}
	t := &ticket{qos: qos, id: id}
	o.waiting = append(o.waiting, t)
	return t
}

// decide says that a message may be acknowledged.
func (o *ackOrder) decide(t *ticket) {
	o.mu.Lock()
	t.decided = true
	o.mu.Unlock()
	o.wake()
}

// pass gives a packet a place that was read past, behind the first so many
// messages; some of them may not have been handed over yet.
func (o *ackOrder) pass(after int64, qos byte, id uint16) {
	o.mu.Lock()
	o.past = append(o.past, pastPacket{after, ticket{qos: qos, id: id, decided: true}})
	o.mu.Unlock()
	o.wake()
}

func (o *ackOrder) wake() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// atOnce is how many acknowledgements are written together.
const atOnce = 256

// release takes out the acknowledgements that may leave now, in order, behind
// buffer. They count as open until written.
func (o *ackOrder) release(buffer []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.leaving = 0; o.leaving < atOnce; o.leaving++ {
		switch {
		case len(o.past) > 0 && o.past[0].after <= o.released:
			buffer = o.past[0].append(buffer)
			o.past = o.past[1:]
		case len(o.waiting) > 0 && o.waiting[0].decided:
			buffer = o.waiting[0].append(buffer)
			o.waiting = o.waiting[1:]
			o.released++
		default:
			return buffer
		}
	}
	return buffer
}

// written says that what was released is out.
func (o *ackOrder) written() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.leaving = 0
}

// open is how many messages are without an acknowledgement.
func (o *ackOrder) open() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting) + len(o.past) + o.leaving
}

// append adds the acknowledgement: PUBACK, or the PUBREC that begins the one of
// QoS 2 (MQTT 3.1.1, 3.4 and 3.5).
func (t *ticket) append(b []byte) []byte {
	first := byte(puback)
	if t.qos == 2 {
		first = pubrec
	}
	return append(b, first, 2, byte(t.id>>8), byte(t.id))
}

// sendAcks writes acknowledgements until the session is lost.
func (s *session) sendAcks() {
	var buffer []byte
	for !s.isLost() {
		if buffer = s.acks.release(buffer[:0]); len(buffer) > 0 {
			if _, err := s.conn.Write(buffer); err != nil {
				s.end(err)
				return
			}
			s.acks.written()
			continue
		}
		select {
		case <-s.acks.ready:
		case <-s.lost:
		}
	}
}

// flushAcks takes no more messages, and waits for a moment until those that
// were delivered are decided and their acknowledgements are out: what these
// are lost for comes again.
func (s *session) flushAcks() {
	s.closing.Store(true)
	until := time.Now().Add(ackGrace)
	for s.acks.open() > 0 && !s.isLost() && time.Now().Before(until) {
		time.Sleep(time.Millisecond)
	}
}

// acknowledge lets the broker forget a message. It never blocks; where the
// connection is gone or stalled, the broker sends the message again.
func (s *session) acknowledge(m inboundMessage) {
	if ack := s.acknowledgement(m); ack != nil {
		ack()
	}
}

// acknowledgement is acknowledge as a function to be called later, or nil. The
// message takes its place in the order now. After the session was lost the
// function does nothing: the next copy has another one.
func (s *session) acknowledgement(m inboundMessage) func() {
	if m.Qos() == 0 {
		return nil
	}
	t := s.acks.take(m.Qos(), m.MessageID())
	if t == nil {
		s.end(errWindow)
		return func() {}
	}
	return func() { s.acks.decide(t) }
}

// inboundMessage is what an acknowledgement needs of a message.
type inboundMessage interface {
	Qos() byte
	MessageID() uint16
}
