package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Results of clock.
const (
	clockInStep = "in-step"
	clockSkewed = "skewed"
)

// maxClockSkew is how far this machine's clock may be off. It is far above what
// the measurement errs by (an HTTP Date is good to a second, a round trip takes
// at most MaxProbe), and far below what makes services refuse: signed requests
// are commonly held to 5 to 15 minutes.
const maxClockSkew = 60 * time.Second

// maxTimeServers are asked in one check; the second where the first is silent
// or says that this clock is wrong.
const maxTimeServers = 2

// KernelSynced tells whether something keeps this machine's clock in step, as
// far as its kernel says; false where that cannot be asked.
func KernelSynced() bool {
	synced, ok := kernelSynced()
	return ok && synced
}

// reading is what one source says of this machine's clock.
type reading struct {
	source string
	// off is this clock minus the source's; it is exact to within.
	off, within time.Duration
}

func (r reading) skewed() bool { return r.off.Abs() > maxClockSkew }

func (r reading) String() string {
	side := "ahead of"
	if r.off < 0 {
		side = "behind"
	}
	return fmt.Sprintf("%s %s %s, ±%s", rounded(r.off.Abs()), side, r.source, rounded(r.within))
}

// rounded leaves out what nobody wants to read.
func rounded(d time.Duration) time.Duration {
	switch {
	case d >= time.Hour:
		return d.Round(time.Minute)
	case d >= time.Minute:
		return d.Round(time.Second)
	}
	return d.Round(100 * time.Millisecond)
}

// clock compares this machine's clock with that of time servers, or of the
// cloud (the Date of an HTTP answer, RFC 9110, 6.6.1), and asks the kernel
// whether something keeps it in step. The target is a server to compare with:
// a web server, or a time server where it has port 123.
//
// What is compared is the clock of this gateway: a device's is not seen.
func (s Site) clock(ctx context.Context, t Target) Answer {
	const this = "gateway"
	if now := s.Now(); now.Before(s.Built) {
		return found(Clock, this, clockSkewed, fmt.Sprintf("%s, which is before this program was built", now.UTC().Format(time.DateTime)), clockInStep)
	}
	ask, err := s.clockSources(t)
	if err != nil {
		return cannotTell(Clock, this, err.Error(), clockInStep)
	}
	var wrong *reading
	var silent []string
	for _, source := range ask {
		r, err := source(ctx)
		switch {
		case err != nil:
			silent = append(silent, err.Error())
		case wrong != nil && !r.skewed():
			// One of the sources is wrong itself, and nobody knows which.
			return cannotTell(Clock, this, fmt.Sprintf("%s, but %s", wrong, r), clockInStep)
		case r.skewed() && wrong == nil:
			wrong = &r
		case !r.skewed():
			return found(Clock, this, clockInStep, r.String()+", "+s.kernelSays(), clockInStep)
		}
	}
	if wrong != nil {
		return found(Clock, this, clockSkewed, wrong.String()+", "+s.kernelSays(), clockInStep)
	}
	// Nobody to compare with: the kernel is left. It calls itself unsynchronised
	// when nothing has set it for hours (adjtimex(2), STA_UNSYNC).
	said := strings.Join(append(silent, s.kernelSays()), "; ")
	if synced, ok := s.Synced(); ok && synced && t.Address == "" {
		return found(Clock, this, clockInStep, said, clockInStep)
	}
	return cannotTell(Clock, this, said, clockInStep)
}

func (s Site) kernelSays() string {
	synced, ok := s.Synced()
	switch {
	case !ok:
		return "kernel does not tell"
	case synced:
		return "kernel synchronised"
	}
	return "kernel not synchronised"
}

// clockSource asks one source.
type clockSource func(ctx context.Context) (reading, error)

// clockSources lists whom to ask, in order; the error is for a target that may
// not be aimed at.
func (s Site) clockSources(t Target) ([]clockSource, error) {
	if t.Address != "" {
		if err := s.Targets.Permit(withPort(t.Address, "443")); err != nil {
			return nil, err
		}
		if _, port := splitAddress(t.Address); port == "123" {
			return []clockSource{s.timeServer(t.Address)}, nil
		}
		return []clockSource{s.webClock(t.Address)}, nil
	}
	var list []clockSource
	for _, server := range s.TimeServers[:min(len(s.TimeServers), maxTimeServers)] {
		list = append(list, s.timeServer(server))
	}
	if len(s.CloudHosts) > 0 && !s.LANOnly {
		list = append(list, s.webClock(s.CloudHosts[0]))
	}
	return list, nil
}

// clockCost is how many checks of the budget a clock check is.
func (s Site) clockCost(t Target) int {
	const web = 2 // a connection with TLS, and perhaps one without
	if t.Address != "" {
		return web
	}
	n := min(len(s.TimeServers), maxTimeServers)
	if len(s.CloudHosts) > 0 && !s.LANOnly {
		n += web
	}
	return max(1, n)
}

// webClock reads the Date of a web server. A clock that is far off makes good
// certificates look bad, just when it matters: then the answer without TLS must
// do, which may be forged, but tells nothing to whoever forges it.
func (s Site) webClock(address string) clockSource {
	return func(ctx context.Context) (reading, error) {
		host, port := splitAddress(address)
		secure := "https://" + withPort(address, "443") + "/"
		plainly := "http://" + net.JoinHostPort(host, "80") + "/"
		if port == "80" {
			return s.dateOf(ctx, plainly, host)
		}
		r, err := s.dateOf(ctx, secure, host)
		if err == nil || !errors.Is(err, errNoConnection) {
			return r, err
		}
		if again, plainErr := s.dateOf(ctx, plainly, host); plainErr == nil {
			return again, nil
		}
		return r, err
	}
}

// dateOf compares with the Date of one answer. It was written somewhere between
// the request and the answer, and the rest of its second is cut off.
func (s Site) dateOf(ctx context.Context, address, host string) (reading, error) {
	reply, err := s.get(ctx, http.MethodHead, address)
	if err != nil {
		_, why := requestFailure(err)
		return reading{}, &sourceError{host, why, err}
	}
	date, err := http.ParseTime(reply.header.Get("Date"))
	if age := reply.header.Get("Age"); err != nil || age != "" && age != "0" {
		return reading{}, &sourceError{host, "no Date of now in its answer", err}
	}
	half := reply.received.Sub(reply.sent) / 2
	return reading{
		source: host,
		off:    reply.sent.Add(half).Sub(date.Add(time.Second / 2)),
		within: half + time.Second/2,
	}, nil
}

// sourceError is a source that said nothing of use.
type sourceError struct {
	source, why string
	err         error
}

func (e *sourceError) Error() string { return e.source + ": " + e.why }

func (e *sourceError) Unwrap() error { return e.err }
