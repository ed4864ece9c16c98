package fakenet

import (
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// Handshake is how a TLS server shakes hands.
type Handshake string

// The ways. All but the last five present a certificate.
const (
	Valid         Handshake = "valid"          // 30 days left
	Expired       Handshake = "expired"        // 10 days ago
	NotYetValid   Handshake = "not-yet-valid"  // in 10 days
	Untrusted     Handshake = "untrusted"      // by an authority that nobody knows
	WrongName     Handshake = "wrong-name"     // for other.example
	ResetAtOnce   Handshake = "reset"          // reset in the handshake
	CutAtOnce     Handshake = "cut"            // closed in the handshake
	Mute          Handshake = "mute"           // accepts and says nothing
	PlainText     Handshake = "plain"          // answers in plain text
	RefusesClient Handshake = "refuses-client" // an alert: no version in common
)

// TLSServer shakes hands and says no more.
type TLSServer struct {
	// Addr is IP:PORT.
	Addr     string
	listener net.Listener
	conns    conns
}

// StartTLS listens on addr, as Loopback, with a certificate of ca for hosts.
func StartTLS(addr string, way Handshake, ca *CA, hosts ...string) (*TLSServer, error) {
	config, err := way.config(ca, hosts)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &TLSServer{Addr: l.Addr().String(), listener: l}
	s.conns.serve(l, func(conn net.Conn) { way.shake(conn, config) })
	return s, nil
}

// Close ends it.
func (s *TLSServer) Close() {
	_ = s.listener.Close()
	s.conns.close()
}

// config is the server's side for the ways with a certificate.
func (w Handshake) config(ca *CA, hosts []string) (*tls.Config, error) {
	const day = 24 * time.Hour
	now := time.Now()
	from, until := now.Add(-10*day), now.Add(30*day+time.Hour)
	switch w {
	case Expired:
		from, until = now.Add(-100*day), now.Add(-10*day-time.Hour)
	case NotYetValid:
		from, until = now.Add(10*day+time.Hour), now.Add(100*day)
	case WrongName:
		hosts = []string{"other.example"}
	case Untrusted:
		var err error
		if ca, err = NewCA("nobody's authority"); err != nil {
			return nil, err
		}
	}
	cert, err := ca.Issue(from, until, hosts...)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if w == RefusesClient {
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	}
	return config, nil
}

func (w Handshake) shake(conn net.Conn, config *tls.Config) {
	buf := make([]byte, 1)
	switch w {
	case ResetAtOnce, CutAtOnce:
		if _, err := conn.Read(buf); err == nil && w == ResetAtOnce {
			reset(conn)
		}
	case Mute:
		hold(conn)
	case PlainText:
		if _, err := conn.Read(buf); err == nil {
			_, _ = conn.Write([]byte("HTTP/1.0 200 OK\r\n\r\nplease sign in\n"))
			hold(conn)
		}
	default:
		server := tls.Server(conn, config)
		if err := server.Handshake(); err == nil {
			hold(server)
		}
	}
}
