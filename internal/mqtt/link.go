package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
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
	// LinkTLSFailed: the broker's certificate does not hold.
	LinkTLSFailed LinkState = "tls-failed"
	// LinkDenied: the broker refuses a subscription.
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

const (
	// Back-off with full jitter: the first three delays stay below 250 ms, for
	// a broker that restarts must not lose our session meanwhile; the longest
	// is a minute.
	firstDelay  = 50 * time.Millisecond
	delayGrowth = 1.5
	halfOfMax   = 30 * time.Second
	// Refusals are not hammered at: an account may be locked by it.
	refusedFirst = 30 * time.Second
	refusedMax   = 10 * time.Minute
	// steady is how long a connection must have held for the next back-off to
	// start anew.
	steady = 30 * time.Second
)

// link keeps one connection to the broker, with a fresh session for each.
type link struct {
	name    string
	profile profile
	log     *slog.Logger

	mu     sync.Mutex
	status LinkStatus
}

// run connects, serves and connects again, until ctx ends. serve owns the
// session; it returns when the session is of no use any more.
func (l *link) run(ctx context.Context, serve func(context.Context, *session) error) {
	l.note(LinkConnecting, nil)
	net := l.delays(firstDelay, halfOfMax, delayGrowth)
	refused := l.delays(refusedFirst, refusedMax, 2)
	for ctx.Err() == nil {
		start := time.Now()
		err := l.once(ctx, serve)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) > steady {
			net.Reset()
			refused.Reset()
		}
		state := classify(err)
		l.note(state, err)
		delay := net.NextBackOff()
		if state == LinkAuthFailed || state == LinkGatewayConflict {
			delay = refused.NextBackOff()
		}
		sleep(ctx, delay)
	}
}

func (l *link) once(ctx context.Context, serve func(context.Context, *session) error) error {
	s, err := dial(ctx, l.profile)
	if err != nil {
		return err
	}
	err = serve(ctx, s)
	s.close(err)
	return err
}

func (l *link) delays(first, most time.Duration, growth float64) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = first, most, growth, 1
	b.Reset()
	return b
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
		errors.As(err, &record):
		return LinkTLSFailed
	}
	return LinkUnreachable
}
