package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	// keepAlive is what the broker goes by: it gives us up after one and a half
	// times as long. We are quicker, see patience.
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
	// patience is defaultPatience, but for tests.
	patience patience
}

type will struct {
	topic   string
	payload []byte
}

// dial opens a session with a fresh client. Where that fails, nothing is left
// open.
func dial(ctx context.Context, p profile) (*session, error) {
	s := newSession()
	if err := s.connect(ctx, p); err != nil {
		return nil, err
	}
	return s, nil
}

// connect opens a session that is new.
func (s *session) connect(ctx context.Context, p profile) error {
	if p.patience == (patience{}) {
		p.patience = defaultPatience()
	}
	opts, err := s.options(ctx, p)
	if err != nil {
		return err
	}
	s.client = paho.NewClient(opts)
	go s.sendAcks()
	token := s.client.Connect()
	if err := s.await(ctx, token, 2*connectTimeout); err != nil {
		s.cut(err)
		return fmt.Errorf("connect to %s: %w", p.server.URL.Host, expiry(err, p.server.TLS))
	}
	if connected, ok := token.(*paho.ConnectToken); ok {
		s.present = connected.SessionPresent()
	}
	go s.watch(p.patience)
	return nil
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
		SetAutoAckDisabled(true).
		SetOrderMatters(true).
		SetStore(noStore{}).
		SetKeepAlive(keepAlive).
		SetPingTimeout(pingTimeout).
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(writeTimeout).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			p.handler(s, m)
			if !p.manual {
				s.acknowledge(m)
			}
		}).
		SetConnectionLostHandler(func(_ paho.Client, err error) { s.end(err) }).
		SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) {
			conn, err := open(ctx, u, p.server.TLS)
			if err != nil {
				return nil, err
			}
			limited := newLimitConn(conn, p.skipped)
			limited.writeLimit = p.patience.write
			return s.adopt(limited)
		})
	texts := []string{p.clientID, p.server.Username}
	if p.will != nil {
		texts = append(texts, p.will.topic, string(p.will.payload))
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
		texts = append(texts, secret)
		o.SetPassword(secret)
	}
	return o, fits(texts...)
}

// maxString is the longest text that MQTT can say (3.1.1, 1.5.3), in bytes.
const maxString = math.MaxUint16

// errTooLong says that a text is longer than that: the client library would
// send the start of it, which is another text.
var errTooLong = errors.New("a text is too long for MQTT")

func fits(texts ...string) error {
	for _, s := range texts {
		if len(s) > maxString {
			return fmt.Errorf("%w: %d bytes (%d at most: client id, user name, password, topic)", errTooLong, len(s), maxString)
		}
	}
	return nil
}

// open makes the connection under the protocol. The end of ctx ends it, but
// for a web socket, whose handshake ends by its own timeout.
func open(ctx context.Context, u *url.URL, cfg *tls.Config) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: connectTimeout, Control: setUserTimeout}
	switch u.Scheme {
	case "ws", "wss":
		if u.Scheme == "ws" {
			cfg = nil
		}
		conn, err := paho.NewWebsocket(u.String(), cfg, connectTimeout, nil, nil)
		if err != nil {
			return nil, err
		}
		if raw := rawConn(conn); raw != nil {
			_ = setUserTimeout("", "", raw) // a help only: the session watches it
		}
		return conn, nil
	}
	conn, err := dialer.DialContext(ctx, "tcp", u.Host)
	if err != nil || u.Scheme != "mqtts" {
		return conn, err
	}
	// In two steps, so that a broker that hangs in the handshake is told from one
	// that nobody reaches.
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	}
	secured := tls.Client(conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // it was never used
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: no TLS handshake in %s", errSilent, connectTimeout)
		}
		return nil, err
	}
	return secured, nil
}

// errEnded says that a connection came up that nobody waits for any more.
var errEnded = errors.New("the session has ended")

// adopt makes a connection the session's own, so that it can be cut.
func (s *session) adopt(conn *limitConn) (net.Conn, error) {
	conn.behind = s.acks.pass
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isLost() {
		_ = conn.Close() // nobody will speak on it
		return nil, errEnded
	}
	s.conn = conn
	return conn, nil
}

// noStore keeps nothing, in the place of the library's store: what it held would
// be sent again by a client that connects again, and ours never does. The
// outbox and the broker's session are what outlives a connection.
type noStore struct{}

// Open does nothing.
func (noStore) Open() {}

// Put does nothing.
func (noStore) Put(string, packets.ControlPacket) {}

// Get finds nothing.
func (noStore) Get(string) packets.ControlPacket { return nil }

// All is nothing.
func (noStore) All() []string { return nil }

// Del does nothing.
func (noStore) Del(string) {}

// Close does nothing.
func (noStore) Close() {}

// Reset does nothing.
func (noStore) Reset() {}
