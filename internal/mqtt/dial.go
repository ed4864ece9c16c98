package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

const (
	keepAlive      = 30 * time.Second
	pingTimeout    = 10 * time.Second
	connectTimeout = 10 * time.Second
)

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

// dial opens a session with a fresh client. Where that fails, nothing is left
// open.
func dial(ctx context.Context, p profile) (*session, error) {
	s := newSession()
	opts, err := s.options(ctx, p)
	if err != nil {
		return nil, err
	}
	s.client = paho.NewClient(opts)
	go s.sendAcks()
	token := s.client.Connect()
	if err := s.await(ctx, token, 2*connectTimeout); err != nil {
		s.cut(err)
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
func (s *session) options(ctx context.Context, p profile) (*paho.ClientOptions, error) {
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
			conn, err := open(ctx, u, p.server.TLS)
			if err != nil {
				return nil, err
			}
			return s.adopt(newLimitConn(conn, p.skipped))
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

// open makes the connection under the protocol. The end of ctx ends it, but
// for a web socket, whose handshake ends by its own timeout.
func open(ctx context.Context, u *url.URL, cfg *tls.Config) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: connectTimeout}
	switch u.Scheme {
	case "mqtts":
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		return (&tls.Dialer{NetDialer: dialer, Config: cfg}).DialContext(ctx, "tcp", u.Host)
	case "ws":
		return paho.NewWebsocket(u.String(), nil, connectTimeout, nil, nil)
	case "wss":
		return paho.NewWebsocket(u.String(), cfg, connectTimeout, nil, nil)
	}
	return dialer.DialContext(ctx, "tcp", u.Host)
}

// errEnded says that a connection came up that nobody waits for any more.
var errEnded = errors.New("the session has ended")

// adopt makes a connection the session's own, so that it can be cut.
func (s *session) adopt(conn *limitConn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isLost() {
		_ = conn.Close() // nobody will speak on it
		return nil, errEnded
	}
	s.conn = conn
	return conn, nil
}
