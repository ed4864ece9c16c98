package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// note keeps the state, and logs it when it is another one. While the link is
// held it stays paused.
func (l *link) note(state LinkState, err error) {
	l.mu.Lock()
	if l.held != nil {
		state, err = LinkPaused, l.held
	}
	before := l.status.State
	l.status.Detail = sentence(state, err)
	if state != before {
		l.status.State, l.status.Since = state, time.Now()
	}
	detail := l.status.Detail
	l.mu.Unlock()
	switch {
	case state == before:
	case state == LinkConnected:
		l.log.Info("connected to the broker", "connection", l.name)
	case state == LinkPaused:
		l.log.Warn("the connection is closed until messages can be kept again", "connection", l.name, "state", state, "err", detail)
	case state != LinkConnecting:
		l.log.Warn("the broker cannot be used", "connection", l.name, "state", state, "err", detail)
	}
}

func (l *link) state() LinkStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status.State == "" {
		return LinkStatus{State: LinkConnecting} // it has not begun
	}
	return l.status
}

// errPaused ends the session of a link that is held.
var errPaused = errors.New("paused")

// hold closes the connection without a farewell, and keeps the link from making
// another. It does not wait.
func (l *link) hold(reason error) {
	if reason == nil {
		reason = errPaused
	}
	l.mu.Lock()
	if l.held == nil {
		l.resumed = make(chan struct{})
	}
	l.held = reason
	s, stop := l.session, l.stop
	l.mu.Unlock()
	if s != nil {
		s.abort(errPaused)
		stop()
	}
	l.note(LinkPaused, reason)
}

// letGo lets a link connect again that was held.
func (l *link) letGo() {
	l.mu.Lock()
	held := l.held != nil
	if held {
		l.held = nil
		close(l.resumed)
	}
	l.mu.Unlock()
	if held {
		l.note(LinkConnecting, nil)
	}
}

// wanted waits while the link is held; false: ctx ended.
func (l *link) wanted(ctx context.Context) bool {
	for ctx.Err() == nil {
		l.mu.Lock()
		held, resumed := l.held, l.resumed
		l.mu.Unlock()
		if held == nil {
			return true
		}
		select {
		case <-resumed:
		case <-ctx.Done():
		}
	}
	return false
}

// enter makes a session the present one, so that hold finds it. The context
// ends with it; leave is called when the session is done with.
func (l *link) enter(ctx context.Context, s *session) (trying context.Context, leave func()) {
	trying, stop := context.WithCancel(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.stop = s, stop
	if l.held != nil { // a moment ago
		s.abort(errPaused)
		stop()
	}
	return trying, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.session, l.stop = nil, nil
		stop()
	}
}

// why is the error, or that the link is held.
func (l *link) why(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		return errPaused
	}
	return err
}

// errConflict says that another agent publishes under our gateway id.
var errConflict = errors.New("another agent is online under this gateway id (set another gateway, or stop that one)")

// errOverrun says that the inbox was full when a message came that must not be
// lost.
var errOverrun = errors.New("the inbox is full")

// classify names what ended a session.
func classify(err error) LinkState {
	switch {
	case errors.Is(err, errPaused):
		return LinkPaused
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised),
		errors.Is(err, packets.ErrorRefusedIDRejected):
		return LinkAuthFailed
	case errors.Is(err, errRival):
		return LinkClientConflict
	case errors.Is(err, errConflict):
		return LinkGatewayConflict
	case errors.Is(err, errDenied):
		return LinkDenied
	case errors.Is(err, errOverrun):
		return LinkOverrun
	case errors.Is(err, errExpired):
		return LinkTLSExpired
	case tlsFailure(err) != tlsFine:
		return LinkTLSFailed
	case nobodyThere(err):
		return LinkUnreachable
	case stalled(err):
		return LinkStalled
	}
	return LinkUnreachable
}

// stalled tells whether a connection that was made gave no more sign of life.
func stalled(err error) bool {
	return errors.Is(err, errSilent) ||
		errors.Is(err, os.ErrDeadlineExceeded) || // a write, or the answer to CONNECT
		errors.Is(err, syscall.ETIMEDOUT) || // TCP_USER_TIMEOUT
		err != nil && strings.Contains(err.Error(), "pingresp not received") // the client library's own watch
}

// tlsKind is what is wrong with TLS.
type tlsKind int

const (
	tlsFine tlsKind = iota
	tlsAuthority
	tlsName
	tlsNone
	tlsOther
)

func tlsFailure(err error) tlsKind {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &authority):
		return tlsAuthority
	case errors.As(err, &name):
		return tlsName
	case errors.As(err, &record):
		return tlsNone
	case errors.As(err, &invalid), errors.As(err, &verification),
		errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"): // alerts of TLS
		return tlsOther
	}
	return tlsFine
}

// sentence is what an error says, with what would be right where the error does
// not say it itself.
func sentence(state LinkState, err error) string {
	if err == nil {
		return ""
	}
	right := ""
	switch state {
	case LinkAuthFailed:
		right = "the broker must know mqtt.username with this password, and let it use this client id"
	case LinkStalled:
		right = "the broker's process must run and have time to answer; then look at the network to it"
	case LinkOverrun:
		right = "nothing is lost, the broker sends it again; fewer messages, or a quicker gateway"
	case LinkTLSFailed:
		right = map[tlsKind]string{
			tlsAuthority: "mqtt.ca_file must hold the authority that signed the broker's certificate",
			tlsName:      "the host of mqtt.broker must be a name in the broker's certificate",
			tlsNone:      "the broker must speak TLS on this port; mqtts:// and wss:// want it, mqtt:// and ws:// do not",
			tlsOther:     "check mqtt.ca_file, and mqtt.cert_file and mqtt.key_file where the broker wants a certificate",
		}[tlsFailure(err)]
	case LinkUnreachable:
		switch {
		case nobodyThere(err):
			right = "mqtt.broker must name a broker that runs and can be reached from here"
		case errors.Is(err, io.EOF):
			right = "the broker closed it: its log says why"
		}
	}
	if right == "" {
		return err.Error()
	}
	return fmt.Sprintf("%s (%s)", err, right)
}
