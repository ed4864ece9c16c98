package probe

import (
	"context"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/fakenet"
)

func newCA(t *testing.T) *fakenet.CA {
	t.Helper()
	ca, err := fakenet.NewCA("fake authority")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestTLS(t *testing.T) {
	ca := newCA(t)
	for _, c := range []struct {
		way    fakenet.Handshake
		result string
		seen   string
	}{
		{fakenet.Valid, "ok", "(ok, 30 days left) == ok"},
		{fakenet.Expired, "expired", "10 days ago) == ok"},
		{fakenet.NotYetValid, "not-yet-valid", "in 10 days) == ok"},
		{fakenet.Untrusted, "unknown-authority", "30 days left) == ok"},
		{fakenet.WrongName, "wrong-name", `the certificate is for "other.example") == ok`},
		{fakenet.ResetAtOnce, "reset", "connection cut"},
		{fakenet.CutAtOnce, "reset", "connection cut"},
		{fakenet.RefusesClient, "reset", "protocol version not supported"},
		{fakenet.Mute, "timeout", "connected, but no handshake"},
		{fakenet.PlainText, "not-tls", "no TLS"},
	} {
		t.Run(string(c.way), func(t *testing.T) {
			t.Parallel()
			server, err := fakenet.StartTLS(fakenet.Loopback, c.way, ca, "127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			site := Site{CloudHosts: []string{server.Addr}, Roots: ca.Pool(), Timeout: 500 * time.Millisecond}
			got := site.Probes()[TLS](t.Context(), Target{})
			if got.Result != c.result || !strings.Contains(got.Observed, c.seen) || got.Target != server.Addr {
				t.Errorf("got %+v, want %q with %q", got, c.result, c.seen)
			}
			if Good(TLS, got.Result) != (c.way == fakenet.Valid) {
				t.Errorf("%q is taken for good: %v", got.Result, Good(TLS, got.Result))
			}
		})
	}
}

// TestTLSClock: the same certificate by other clocks.
func TestTLSClock(t *testing.T) {
	ca := newCA(t)
	server, err := fakenet.StartTLS(fakenet.Loopback, fakenet.Valid, ca, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for years, want := range map[int]string{0: "ok", -1: "not-yet-valid", 1: "expired"} {
		site := Site{CloudHosts: []string{server.Addr}, Roots: ca.Pool(), Timeout: time.Second, Now: func() time.Time { return time.Now().AddDate(years, 0, 0) }}
		if got := site.Probes()[TLS](t.Context(), Target{}); got.Result != want {
			t.Errorf("%d years off: %+v, want %q", years, got, want)
		}
	}
}

// TestTLSSystemRoots: without other roots the system's are trusted, which do
// not know the fake authority.
func TestTLSSystemRoots(t *testing.T) {
	server, err := fakenet.StartTLS(fakenet.Loopback, fakenet.Valid, newCA(t), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	site := Site{CloudHosts: []string{server.Addr}, Timeout: time.Second}
	if got := site.Probes()[TLS](t.Context(), Target{}); got.Result != "unknown-authority" {
		t.Errorf("got %+v, want unknown-authority", got)
	}
}

// TestTLSNoConnection: what fails below TLS is not TLS' to say.
func TestTLSNoConnection(t *testing.T) {
	for name, address := range map[string]string{"refused": refused(t), "timeout": blackHole(t)} {
		site := Site{CloudHosts: []string{address}, Timeout: shortTry}
		got := site.Probes()[TLS](t.Context(), Target{})
		if got.Verdict != diagnose.Inconclusive || !strings.Contains(got.Observed, "no connection: "+name) {
			t.Errorf("%s: %+v, want that it cannot be told", name, got)
		}
	}
	mute, err := fakenet.StartTLS(fakenet.Loopback, fakenet.Mute, newCA(t), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	site := Site{CloudHosts: []string{mute.Addr}}
	if got := site.Probes()[TLS](ctx, Target{}); got.Verdict != diagnose.Inconclusive {
		t.Errorf("stopped: %+v", got)
	}
}

func TestNamesOf(t *testing.T) {
	long := strings.Repeat("x", 200)
	got := namesOf(&x509.Certificate{DNSNames: []string{"a\x1b[31m", long, "c", "d"}})
	if strings.ContainsRune(got, '\x1b') || len(got) > 300 || !strings.HasSuffix(got, " and others") {
		t.Errorf("got %q", got)
	}
	if got := namesOf(&x509.Certificate{}); got != "no name at all" {
		t.Errorf("got %q", got)
	}
	for d, want := range map[time.Duration]string{time.Hour: "less than a day", 25 * time.Hour: "1 day", 49 * time.Hour: "2 days"} {
		if got := days(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}
