package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// LinkState names how a connection to the broker stands; one word that pages,
// metrics and logs can show.
type LinkState string

// The states.
const (
	LinkConnecting LinkState = "connecting"
	LinkConnected  LinkState = "connected"
	// LinkUnreachable: no connection could be made, or it broke.
	LinkUnreachable LinkState = "broker-unreachable"
	// LinkAuthFailed: the broker refuses user name, password or client id.
	LinkAuthFailed LinkState = "auth-failed"
	// LinkTLSFailed: the broker's certificate does not hold, or the broker does
	// not take ours.
	LinkTLSFailed LinkState = "tls-failed"
	// LinkDenied: the broker refuses a subscription, or drops what we publish.
	LinkDenied LinkState = "acl-denied"
	// LinkOverrun: more arrived than could be taken; the broker sends the
	// rest again after the reconnect.
	LinkOverrun LinkState = "inbox-full"
	// LinkGatewayConflict: another agent holds this gateway id.
	LinkGatewayConflict LinkState = "gateway-id-conflict"
)

// LinkStatus is the present state of one connection.
type LinkStatus struct {
	State LinkState
	// Since is when the state began.
	Since time.Time
	// Detail is the last error's sentence, or empty.
	Detail string
}

// pace is how fast a link tries again.
type pace struct {
	// first and growth are those of the back-off, with full jitter: the first
	// three delays stay below 250 ms, for a broker that restarts must not lose
	// our session meanwhile.
	first  time.Duration
	growth float64
	// absent is half of the longest delay while nobody listens: such a try costs
	// nobody anything, and a broker that comes back is to be used in seconds.
	absent time.Duration
	// broken is half of the longest delay when connections are made and fail.
	broken time.Duration
	// refused and refusedMost are the first and the longest delay, give or take
	// a half, after a refusal: an account may be locked by those who hammer.
	refused, refusedMost time.Duration
	// conflict is the delay, give or take a half, while another agent holds
	// our gateway id.
	conflict time.Duration
	// steady is how long a connection must have held for the next back-off to
	// start anew.
	steady time.Duration
}

func defaultPace() pace {
	return pace{
		first: 50 * time.Millisecond, growth: 1.5, absent: 2 * time.Second, broken: 30 * time.Second,
		refused: 30 * time.Second, refusedMost: 10 * time.Minute, conflict: 30 * time.Second, steady: 30 * time.Second,
	}
}

// link keeps one connection to the broker, with a fresh session for each.
type link struct {
	name    string
	profile profile
	log     *slog.Logger
	pace    pace

	mu     sync.Mutex
	status LinkStatus
}

// run connects, serves and connects again, until ctx ends. serve owns the
// session; it returns when the session is of no use any more.
func (l *link) run(ctx context.Context, serve func(context.Context, *session) error) {
	l.note(LinkConnecting, nil)
	delays := newDelays(l.pace)
	for ctx.Err() == nil {
		start := time.Now()
		err := l.once(ctx, serve)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) > l.pace.steady {
			delays.reset()
		}
		state := classify(err)
		l.note(state, err)
		sleep(ctx, delays.next(state, err))
	}
}

func (l *link) once(ctx context.Context, serve func(context.Context, *session) error) error {
	s, err := dial(ctx, l.profile)
	if err != nil {
		return err
	}
	err = serve(ctx, s)
	s.cut(err)
	return err
}

// delays are the back-offs of a link, one for each kind of failure.
type delays struct{ absent, broken, refused, conflict *backoff.ExponentialBackOff }

func newDelays(p pace) delays {
	return delays{
		absent:   newBackoff(p.first, p.absent, p.growth, 1),
		broken:   newBackoff(p.first, p.broken, p.growth, 1),
		refused:  newBackoff(p.refused, p.refusedMost, 2, 0.5),
		conflict: newBackoff(p.conflict, p.conflict, 1, 0.5),
	}
}

func newBackoff(first, most time.Duration, growth, jitter float64) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = first, most, growth, jitter
	b.Reset()
	return b
}

func (d delays) reset() {
	for _, b := range []*backoff.ExponentialBackOff{d.absent, d.broken, d.refused, d.conflict} {
		b.Reset()
	}
}

// next is how long to wait after a failure.
func (d delays) next(state LinkState, err error) time.Duration {
	switch {
	case state == LinkAuthFailed:
		return d.refused.NextBackOff()
	case state == LinkGatewayConflict:
		return d.conflict.NextBackOff()
	case nobodyThere(err):
		return d.absent.NextBackOff()
	}
	d.absent.Reset()
	return d.broken.NextBackOff()
}

// nobodyThere tells whether not even a connection could be made.
func nobodyThere(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// note keeps the state, and logs it when it is another one.
func (l *link) note(state LinkState, err error) {
	l.mu.Lock()
	before := l.status.State
	l.status.Detail = ""
	if err != nil {
		l.status.Detail = err.Error()
	}
	if state != before {
		l.status.State, l.status.Since = state, time.Now()
	}
	detail := l.status.Detail
	l.mu.Unlock()
	switch {
	case state == before:
	case state == LinkConnected:
		l.log.Info("connected to the broker", "connection", l.name)
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

// errConflict says that another agent publishes under our gateway id.
var errConflict = errors.New("another agent is online under this gateway id (set another gateway, or stop that one)")

// errOverrun says that the inbox was full when a message came that must not be
// lost.
var errOverrun = errors.New("the inbox is full")

// classify names what ended a session.
func classify(err error) LinkState {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised),
		errors.Is(err, packets.ErrorRefusedIDRejected):
		return LinkAuthFailed
	case errors.Is(err, errConflict):
		return LinkGatewayConflict
	case errors.Is(err, errDenied):
		return LinkDenied
	case errors.Is(err, errOverrun):
		return LinkOverrun
	case errors.As(err, &authority), errors.As(err, &name), errors.As(err, &invalid), errors.As(err, &verification),
		errors.As(err, &record), errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		return LinkTLSFailed // the last two are alerts of TLS
	}
	return LinkUnreachable
}
