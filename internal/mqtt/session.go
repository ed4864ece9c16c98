package mqtt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

const (
	subackTimeout = 10 * time.Second
	// subackFailure is the return code of a refused subscription (MQTT 3.1.1,
	// 3.9.3).
	subackFailure = 0x80
	// ackWindow is how many acknowledgements may wait for the connection: more
	// than any broker leaves unacknowledged.
	ackWindow = 4096
	// qos of everything that matters: at least once.
	qos = 1
	// goodbye is how long an orderly end may take, in milliseconds.
	goodbye = 250
	// ackGrace is how long an orderly end waits for acknowledgements that are
	// on their way.
	ackGrace = 250 * time.Millisecond
	// lostSoon is how long after its tokens the library tells of a loss.
	lostSoon = 100 * time.Millisecond
)

// session is one connection to the broker. A paho client is used once: what
// it keeps over a reconnect completes tokens that nobody acknowledged.
type session struct {
	client paho.Client
	// present: the broker kept the session of an earlier connection.
	present bool
	// lost is closed when the connection is gone; cause says why.
	lost  chan struct{}
	once  sync.Once
	cause error
	// acks carries acknowledgements to the connection, in order: the client
	// library may block on one, and those who decide on them must not.
	acks chan paho.Message
	// unsent counts those that the library has not taken yet, and undecided the
	// messages that were delivered and are not acknowledged.
	unsent, undecided atomic.Int64
	// closing: what comes now is left to the next connection.
	closing atomic.Bool

	mu   sync.Mutex
	conn *limitConn // nil until there is one
}

func newSession() *session {
	return &session{lost: make(chan struct{}), acks: make(chan paho.Message, ackWindow)}
}

// end marks the session as lost, once.
func (s *session) end(err error) {
	s.once.Do(func() {
		s.cause = err
		close(s.lost)
	})
}

// cut ends the session without a farewell, so that the will is published. It
// does nothing to a session that left already, and does not wait.
func (s *session) cut(err error) {
	s.end(err)
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		_ = conn.Conn.Close() // an error is the end of it as well
	}
	s.client.Disconnect(0) // ends the library's goroutines
}

// leave says farewell, so that the broker drops the will.
func (s *session) leave() {
	s.client.Disconnect(goodbye)
	s.end(errEnded)
}

// isLost tells whether the session ended.
func (s *session) isLost() bool {
	select {
	case <-s.lost:
		return true
	default:
		return false
	}
}

// lostError is what ended the session, as an error.
func (s *session) lostError() error {
	return fmt.Errorf("the connection was lost: %w", s.cause)
}

// sendAcks sends acknowledgements until the session is lost.
func (s *session) sendAcks() {
	for {
		select {
		case m := <-s.acks:
			m.Ack()
			s.unsent.Add(-1)
		case <-s.lost:
			return
		}
	}
}

// flushAcks takes no more messages, and waits for a moment until those that
// were delivered are decided and their acknowledgements on their way: what
// these are lost for comes again.
func (s *session) flushAcks() {
	s.closing.Store(true)
	until := time.Now().Add(ackGrace)
	for s.undecided.Load()+s.unsent.Load() > 0 && !s.isLost() && time.Now().Before(until) {
		time.Sleep(time.Millisecond)
	}
}

// acknowledge lets the broker forget a message. It never blocks; where the
// connection is gone or stalled, the broker sends the message again.
func (s *session) acknowledge(m paho.Message) {
	if m.Qos() == 0 {
		return
	}
	s.unsent.Add(1)
	select {
	case s.acks <- m:
	default:
		s.end(errStalled)
	}
}

// acknowledgement is acknowledge as a function to be called later, or nil.
func (s *session) acknowledgement(m paho.Message) func() {
	if m.Qos() == 0 {
		return nil
	}
	s.undecided.Add(1)
	return func() {
		s.acknowledge(m)
		s.undecided.Add(-1)
	}
}

// errStalled says that acknowledgements do not get through.
var errStalled = errors.New("the broker takes no acknowledgements")

// await waits for a token, but never longer than for the connection, ctx, or
// limit: tokens of a lost connection may stay open for ever.
func (s *session) await(ctx context.Context, token paho.Token, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-s.lost:
		return s.lostError()
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("no answer in %s", limit)
	}
}

// call asks the library for something and waits for the token. The library
// may block where the connection was lost a moment ago, for as long as a write
// may take; we do not.
func (s *session) call(ctx context.Context, limit time.Duration, ask func() paho.Token) (paho.Token, error) {
	tokens := make(chan paho.Token, 1)
	go func() { tokens <- ask() }()
	select {
	case token := <-tokens:
		err := s.await(ctx, token, limit)
		if token.Error() != nil {
			err = s.because(err)
		}
		return token, err
	case <-s.lost:
		return nil, s.lostError()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// because is why the library gave a token up: where the connection was lost,
// which it tells a moment later, that is the better sentence.
func (s *session) because(err error) error {
	timer := time.NewTimer(lostSoon)
	defer timer.Stop()
	select {
	case <-s.lost:
		return s.lostError()
	case <-timer.C:
		return err
	}
}

// errDenied says that the broker does not let us do what we must.
var errDenied = errors.New("the broker refuses it (check its access list)")

// subscribe subscribes to all filters, whatever the session kept. One call at
// a time.
func (s *session) subscribe(ctx context.Context, filters []string, quality byte) error {
	if len(filters) == 0 {
		return nil
	}
	wanted := make(map[string]byte, len(filters))
	for _, f := range filters {
		wanted[f] = quality
	}
	s.conn.subacks.Store(int32(len(filters)))
	token, err := s.call(ctx, subackTimeout, func() paho.Token { return s.client.SubscribeMultiple(wanted, nil) })
	if err != nil {
		return fmt.Errorf("subscribe to %d filters: %w", len(filters), err)
	}
	granted, ok := token.(*paho.SubscribeToken)
	if !ok {
		return nil
	}
	for filter, code := range granted.Result() {
		if code == subackFailure {
			return fmt.Errorf("subscribe to %s: %w", filter, errDenied)
		}
	}
	return nil
}

func (s *session) unsubscribe(ctx context.Context, filters []string) error {
	if len(filters) == 0 {
		return nil
	}
	_, err := s.call(ctx, subackTimeout, func() paho.Token { return s.client.Unsubscribe(filters...) })
	if err != nil {
		return fmt.Errorf("unsubscribe from %d filters: %w", len(filters), err)
	}
	return nil
}

// publish sends one message and waits for its acknowledgement.
func (s *session) publish(ctx context.Context, m message) error {
	_, err := s.call(ctx, pubackTimeout, func() paho.Token { return s.client.Publish(m.topic, qos, m.retained, m.payload) })
	if err != nil {
		return fmt.Errorf("publish on %s: %w", m.topic, err)
	}
	return nil
}
