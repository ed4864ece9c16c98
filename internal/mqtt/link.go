package mqtt

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
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
	// LinkTLSExpired: a certificate is not valid yet or not any more, by the
	// gateway's clock.
	LinkTLSExpired LinkState = "tls-expired"
	// LinkStalled: the connection stands, and the broker does not answer on it.
	LinkStalled LinkState = "broker-stalled"
	// LinkClientConflict: another client uses our client id.
	LinkClientConflict LinkState = "client-id-conflict"
	// LinkDenied: the broker refuses a subscription, or drops what we publish.
	LinkDenied LinkState = "acl-denied"
	// LinkOverrun: more arrived than could be taken; the broker sends the
	// rest again after the reconnect.
	LinkOverrun LinkState = "inbox-full"
	// LinkGatewayConflict: another agent holds this gateway id.
	LinkGatewayConflict LinkState = "gateway-id-conflict"
	// LinkPaused: we do not want messages now, see Inbound.Pause.
	LinkPaused LinkState = "paused"
)

// LinkStatus is the present state of one connection.
type LinkStatus struct {
	State LinkState
	// Since is when the state began.
	Since time.Time
	// Detail is the last error's sentence, with what would be right, or empty.
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
	// our gateway id, and taken while another client holds our client id.
	conflict, taken time.Duration
	// steady is how long a connection must have held for the next back-off to
	// start anew.
	steady time.Duration
	// early is how soon after a connect a loss is early, and calm how long a
	// trial is at least, see conflict.go.
	early, calm time.Duration
}

func defaultPace() pace {
	return pace{
		first: 50 * time.Millisecond, growth: 1.5, absent: 2 * time.Second, broken: 30 * time.Second,
		refused: 30 * time.Second, refusedMost: 10 * time.Minute, conflict: 30 * time.Second, taken: 5 * time.Minute,
		steady: 30 * time.Second, early: 10 * time.Second, calm: time.Second,
	}
}

// link keeps one connection to the broker, with a fresh session for each.
type link struct {
	name    string
	profile profile
	log     *slog.Logger
	pace    pace
	rivals  rivals

	mu     sync.Mutex
	status LinkStatus
	// session is the present one, whose waiting stop ends. held is why there may
	// be none, and resumed is closed when there may again; nil: there may.
	session *session
	stop    context.CancelFunc
	held    error
	resumed chan struct{}
}

// run connects, serves and connects again, until ctx ends. serve owns the
// session; it returns when the session is of no use any more.
func (l *link) run(ctx context.Context, serve func(context.Context, *session) error) {
	l.note(LinkConnecting, nil)
	delays := newDelays(l.pace)
	for l.wanted(ctx) {
		held, err := l.once(ctx, serve)
		if ctx.Err() != nil {
			return
		}
		if held > l.pace.steady {
			delays.reset()
		}
		if errors.Is(err, errPaused) {
			continue
		}
		state := classify(err)
		l.note(state, err)
		sleep(ctx, delays.next(state, err))
	}
}

// once makes one connection and serves on it; how long it held is answered.
func (l *link) once(ctx context.Context, serve func(context.Context, *session) error) (held time.Duration, err error) {
	s := newSession()
	trying, leave := l.enter(ctx, s)
	defer leave()
	if s.isLost() {
		return 0, errPaused
	}
	t := l.trial(trying)
	if t != nil {
		defer t.end()
	}
	if err := s.connect(trying, l.profile); err != nil {
		l.rivals = rivals{} // an agent that takes over is let in
		return 0, l.why(err)
	}
	began := time.Now()
	if t != nil {
		if err = t.holds(trying, s); err == nil {
			t.end()
			t, l.rivals, began = nil, rivals{}, time.Now()
		}
	}
	if err == nil {
		err = serve(ctx, s)
	}
	held = time.Since(began)
	cause := err
	if s.isLost() {
		cause = s.cause
	}
	s.cut(err)
	return held, l.why(l.ended(trying, t, held, cause, err))
}

// delays are the back-offs of a link, one for each kind of failure.
type delays struct{ absent, broken, refused, conflict, taken *backoff.ExponentialBackOff }

func newDelays(p pace) delays {
	return delays{
		absent:   newBackoff(p.first, p.absent, p.growth, 1),
		broken:   newBackoff(p.first, p.broken, p.growth, 1),
		refused:  newBackoff(p.refused, p.refusedMost, 2, 0.5),
		conflict: newBackoff(p.conflict, p.conflict, 1, 0.5),
		taken:    newBackoff(p.taken, p.taken, 1, 0.5),
	}
}

func newBackoff(first, most time.Duration, growth, jitter float64) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = first, most, growth, jitter
	b.Reset()
	return b
}

func (d delays) reset() {
	for _, b := range []*backoff.ExponentialBackOff{d.absent, d.broken, d.refused, d.conflict, d.taken} {
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
	case state == LinkClientConflict:
		return d.taken.NextBackOff()
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
