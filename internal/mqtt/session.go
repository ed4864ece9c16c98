package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

const (
	keepAlive      = 30 * time.Second
	pingTimeout    = 10 * time.Second
	connectTimeout = 10 * time.Second
	subackTimeout  = 10 * time.Second
	// subackFailure is the return code of a refused subscription (MQTT 3.1.1,
	// 3.9.3).
	subackFailure = 0x80
	// ackWindow is how many acknowledgements may wait for the connection: more
	// than any broker leaves unacknowledged.
	ackWindow = 4096
	// qos of everything that matters: at least once.
	qos = 1
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
}

// profile is what the two connections of the agent differ in.
type profile struct {
	server   Server
	clientID string
	// clean: the broker keeps nothing of us between connections.
	clean bool
	// manual: messages are acknowledged by the handler's own word.
	manual  bool
	handler func(*session, paho.Message)
	will    *will
	// skipped is told of packets that are too large.
	skipped func(tooLarge)
}

type will struct {
	topic   string
	payload []byte
}

// dial opens a session with a fresh client.
func dial(ctx context.Context, p profile) (*session, error) {
	s := &session{lost: make(chan struct{}), acks: make(chan paho.Message, ackWindow)}
	opts, err := s.options(p)
	if err != nil {
		return nil, err
	}
	go s.sendAcks()
	s.client = paho.NewClient(opts)
	token := s.client.Connect()
	if err := s.await(ctx, token, connectTimeout+time.Second); err != nil {
		s.close(err)
		return nil, fmt.Errorf("connect to %s: %w", p.server.URL.Host, err)
	}
	if connected, ok := token.(*paho.ConnectToken); ok {
		s.present = connected.SessionPresent()
	}
	return s, nil
}

// options are those that avoid the library's traps: no reconnect of its own
// (it completes tokens without an acknowledgement), no store, ordered
// handlers, acknowledgements by hand, and a handler set before the first
// message can come.
func (s *session) options(p profile) (*paho.ClientOptions, error) {
	o := paho.NewClientOptions().
		AddBroker(p.server.URL.String()).
		SetProtocolVersion(4).
		SetClientID(p.clientID).
		SetCleanSession(p.clean).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetAutoAckDisabled(p.manual).
		SetOrderMatters(true).
		SetStore(paho.NewMemoryStore()).
		SetKeepAlive(keepAlive).
		SetPingTimeout(pingTimeout).
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(writeTimeout).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { p.handler(s, m) }).
		SetConnectionLostHandler(func(_ paho.Client, err error) { s.end(err) }).
		SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) {
			conn, err := open(u, p.server.TLS)
			if err != nil {
				return nil, err
			}
			return newLimitConn(conn, p.skipped), nil
		})
	if p.will != nil {
		o.SetBinaryWill(p.will.topic, p.will.payload, qos, true)
	}
	if p.server.Username != "" {
		o.SetUsername(p.server.Username)
	}
	if p.server.Password != nil {
		secret, err := p.server.Password()
		if err != nil {
			return nil, fmt.Errorf("read the broker's password: %w", err)
		}
		o.SetPassword(secret)
	}
	return o, nil
}

// open makes the connection under the protocol.
func open(u *url.URL, cfg *tls.Config) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: connectTimeout}
	switch u.Scheme {
	case "mqtts":
		return tls.DialWithDialer(dialer, "tcp", u.Host, cfg)
	case "ws":
		return paho.NewWebsocket(u.String(), nil, connectTimeout, nil, nil)
	case "wss":
		return paho.NewWebsocket(u.String(), cfg, connectTimeout, nil, nil)
	}
	return dialer.Dial("tcp", u.Host)
}

// end marks the session as lost, once.
func (s *session) end(err error) {
	s.once.Do(func() {
		s.cause = err
		close(s.lost)
	})
}

// close ends the session without a farewell, so that the will is published.
func (s *session) close(err error) {
	s.end(err)
	s.client.Disconnect(0)
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
		case <-s.lost:
			return
		}
	}
}

// acknowledge lets the broker forget a message. It never blocks; where the
// connection is gone or stalled, the broker sends the message again.
func (s *session) acknowledge(m paho.Message) {
	if m.Qos() == 0 {
		return
	}
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
	return func() { s.acknowledge(m) }
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

// errDenied says that the broker does not let us subscribe.
var errDenied = errors.New("the broker refuses the subscription (check its access list)")

// subscribe subscribes to all filters at QoS 1, whatever the session kept.
func (s *session) subscribe(ctx context.Context, filters []string) error {
	wanted := make(map[string]byte, len(filters))
	for _, f := range filters {
		wanted[f] = qos
	}
	token := s.client.SubscribeMultiple(wanted, nil)
	if err := s.await(ctx, token, subackTimeout); err != nil {
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
	if err := s.await(ctx, s.client.Unsubscribe(filters...), subackTimeout); err != nil {
		return fmt.Errorf("unsubscribe from %d filters: %w", len(filters), err)
	}
	return nil
}
