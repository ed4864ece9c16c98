package mqtt

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"fieldmedic/test/mosquitto"
)

// TestBackoffIsNotResetByShortConnections: a broker that lets us in and closes
// at once is asked less and less often.
func TestBackoffIsNotResetByShortConnections(t *testing.T) {
	p := startPuppet(t, func(c *puppetConn, f frame) bool {
		c.answer(f)
		time.Sleep(time.Millisecond)
		_ = c.Close()
		return true
	})
	l, _ := p.link()
	l.pace.first, l.pace.growth, l.pace.calm, l.pace.early = 5*time.Millisecond, 2, time.Millisecond, 20*time.Millisecond
	l.pace.steady = time.Hour
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	l.run(ctx, func(_ context.Context, s *session) error {
		<-s.lost
		return s.lostError()
	})
	// 5 ms, doubled each time, half of it in the mean: nine or ten tries fill two
	// seconds; with one probe or two for each, and luck.
	if n := p.connections(); n < 4 || n > 60 {
		t.Errorf("%d connections in two seconds", n)
	}
}

// TestSteadyIsCountedFromTheConnect: a dial that takes long does not make a
// short connection a steady one.
func TestSteadyIsCountedFromTheConnect(t *testing.T) {
	p := startPuppet(t, func(_ *puppetConn, f frame) bool {
		if f.first>>4 == 1 {
			time.Sleep(300 * time.Millisecond) // the dial
		}
		return false
	})
	l, _ := p.link()
	held, err := l.once(context.Background(), func(context.Context, *session) error { return errDenied })
	if held > 200*time.Millisecond || err == nil {
		t.Errorf("held %s, %v", held, err)
	}
}

// TestStatesSayWhatIsRight: each state's sentence says it, and the state is
// logged once.
func TestStatesSayWhatIsRight(t *testing.T) {
	for _, c := range []struct {
		state LinkState
		err   error
		says  string
	}{
		{LinkUnreachable, refusedDial(), "mqtt.broker"},
		{LinkDenied, fmt.Errorf("subscribe to x: %w", errDenied), "check its access list"},
		{LinkOverrun, errOverrun, "nothing is lost"},
		{LinkStalled, fmt.Errorf("lost: %w", errSilent), "must run"},
		{LinkClientConflict, fmt.Errorf("%w: EOF", errRival), "mqtt.client_id"},
		{LinkGatewayConflict, errConflict, "set another gateway"},
	} {
		log := &logged{}
		l := &link{name: "test", log: slog.New(log)}
		for range 3 {
			l.note(classify(c.err), c.err)
		}
		s := l.state()
		if s.State != c.state || !strings.Contains(s.Detail, c.says) {
			t.Errorf("%v: state %s says %q", c.err, s.State, s.Detail)
		}
		if n := log.count(string(c.state), c.says); n != 1 || s.Since.IsZero() {
			t.Errorf("%v: logged %d times, since %s", c.err, n, s.Since)
		}
	}
}

// TestLiveTLSExpired: the broker's certificate, or ours, does not hold at this
// time.
func TestLiveTLSExpired(t *testing.T) {
	ca := newAuthority(t, "ours")
	now := time.Now()
	expired := func(what string, l *live, parts ...string) {
		t.Helper()
		eventually(t, what, func() bool { return l.in.State().State == LinkTLSExpired && l.out.State().State == LinkTLSExpired })
		for _, part := range append(parts, "clock", "renew") {
			if d := l.in.State().Detail; !strings.Contains(d, part) {
				t.Errorf("%s: %q does not say %q", what, d, part)
			}
		}
	}
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02") }
	certFile, keyFile := ca.issue("127.0.0.1", now.Add(-time.Hour))
	b, address := startTLS(t, ca, certFile, keyFile)
	expired("a certificate that has ended", connectTLS(t, b, address, ca.file, "", ""), "broker's", day(now.Add(-time.Hour)), day(now.Add(-24*time.Hour)))

	certFile, keyFile = ca.issue("127.0.0.1", now.Add(time.Hour))
	b, address = startTLS(t, ca, certFile, keyFile)
	l := newLive(t, b)
	l.change = func(l *live) {
		u := brokerURL(t, "mqtts://"+address)
		cfg, err := TLSFiles(u.Hostname(), ca.file, "", "")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Time = func() time.Time { return time.Date(1970, 1, 1, 0, 5, 0, 0, time.UTC) }
		l.opts.Server = Server{URL: u, TLS: cfg}
		l.inOpts.Server = l.opts.Server
	}
	l.run(statusSource(t))
	expired("a clock that stands at 1970", l, "broker's", "1970-01-01", day(now.Add(time.Hour)))

	b, address = startTLS(t, ca, certFile, keyFile, "require_certificate true", "use_identity_as_username true")
	mine, mineKey := ca.issue("agent", now.Add(-time.Minute))
	expired("our own certificate", connectTLS(t, b, address, ca.file, mine, mineKey), "mqtt.cert_file")
}

// TestLiveAuthNamed: a refusal is named, and says what to look at.
func TestLiveAuthNamed(t *testing.T) {
	l := startLive(t, mosquitto.Options{Users: map[string]string{"somebody": "else"}})
	l.run(statusSource(t))
	eventually(t, "it is named", func() bool {
		s := l.in.State()
		return s.State == LinkAuthFailed && strings.Contains(s.Detail, "mqtt.username")
	})
}
