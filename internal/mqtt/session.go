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
	// qos of everything that matters: at least once.
	qos = 1
	// goodbye is how long an orderly end may take, in milliseconds.
	goodbye = 250
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
	// acks are the acknowledgements, in the order of the messages.
	acks *ackOrder
	// closing: what comes now is left to the next connection.
	closing atomic.Bool

	mu   sync.Mutex
	conn *limitConn // nil until there is one
}

func newSession() *session {
	return &session{lost: make(chan struct{}), acks: newAckOrder()}
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
	s.abort(err)
	if s.client != nil {
		s.client.Disconnect(0) // ends the library's goroutines
	}
}

// abort is cut for those who do not own the session: its owner cuts it then. The
// connection is closed below TLS, whose farewell may have to wait for room.
func (s *session) abort(err error) {
	s.end(err)
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		_ = under(conn.Conn).Close() // an error is the end of it as well
	}
}

// leave says farewell, so that the broker drops the will.
func (s *session) leave() {
	s.closing.Store(true)
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
		return fmt.Errorf("%w: it was asked %s ago", errSilent, limit)
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
func (s *session) subscribe(ctx context.Context, filters []string) error {
	if len(filters) == 0 {
		return nil
	}
	if err := fits(filters...); err != nil {
		return fmt.Errorf("subscribe to %d filters: %w", len(filters), err)
	}
	wanted := make(map[string]byte, len(filters))
	for _, f := range filters {
		wanted[f] = qos
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
	if err := fits(m.topic); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	_, err := s.call(ctx, pubackTimeout, func() paho.Token { return s.client.Publish(m.topic, qos, m.retained, m.payload) })
	if err != nil {
		return fmt.Errorf("publish on %s: %w", m.topic, err)
	}
	return nil
}
