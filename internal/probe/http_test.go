package probe

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/fakenet"
)

func startWeb(t *testing.T, page fakenet.Page, off time.Duration, cert *tls.Certificate) *fakenet.Web {
	t.Helper()
	w, err := fakenet.StartWeb(fakenet.Loopback, page, off, cert)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func certificate(t *testing.T, ca *fakenet.CA, from, until time.Duration) *tls.Certificate {
	t.Helper()
	now := time.Now()
	cert, err := ca.Issue(now.Add(from), now.Add(until), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return &cert
}

func TestHTTP(t *testing.T) {
	for _, c := range []struct {
		page   fakenet.Page
		result string // "": it cannot be told
		seen   string
	}{
		{fakenet.JSONPage, "ok", "(200 JSON) == ok"},
		{fakenet.JSONRefusal, "ok", "(401 JSON) == ok"},
		{fakenet.NoPage, "ok", "(204 without a body) == ok"},
		{fakenet.HTMLPage, "ok", "(200 HTML) == ok"},
		{fakenet.HTMLError, "html", "(403 HTML) == ok"},
		{fakenet.HTMLUntyped, "html", "(404 HTML) == ok"},
		{fakenet.GatewayError, "server-error", "(504 HTML) == ok"},
		{fakenet.ServerError, "server-error", "(500 JSON) == ok"},
		{fakenet.EndlessPage, "ok", "(200 JSON) == ok"},
		{fakenet.LeadsOn, "ok", "(200 JSON) == ok"},
		{fakenet.LeadsInCircle, "ok", "(302 HTML) == ok"},
		{fakenet.SlowPage, "timeout", "connected, but no answer"},
		{fakenet.LeadsAway, "", "redirected to another host"},
		{fakenet.ResetPage, "", "no answer that can be read"},
		{fakenet.NoHTTP, "", "no answer that can be read"},
	} {
		t.Run(string(c.page), func(t *testing.T) {
			t.Parallel()
			web := startWeb(t, c.page, 0, nil)
			site := Site{Targets: AnyTarget(), Timeout: 300 * time.Millisecond}
			got := site.Probes()[HTTP](t.Context(), Target{Address: "http://" + web.Addr + "/"})
			wanted := diagnose.EvidenceVerdict("")
			if c.result == "" {
				wanted = diagnose.Inconclusive
			}
			if got.Result != c.result || got.Verdict != wanted || !strings.Contains(got.Observed, c.seen) {
				t.Errorf("got %+v, want %q with %q", got, c.result, c.seen)
			}
			if most := int64(maxRedirects + 2); web.Requests() > most {
				t.Errorf("%d requests, more than %d", web.Requests(), most)
			}
		})
	}
}

func TestHTTPS(t *testing.T) {
	const day = 24 * time.Hour
	ca := newCA(t)
	good := startWeb(t, fakenet.JSONPage, 0, certificate(t, ca, -day, day))
	site := Site{CloudHosts: []string{good.Addr}, Roots: ca.Pool(), Timeout: time.Second}
	got := site.Probes()[HTTP](t.Context(), Target{})
	if got.Result != "ok" || got.Target != "https://"+good.Addr+"/" {
		t.Errorf("got %+v, want ok over TLS", got)
	}
	expired := startWeb(t, fakenet.JSONPage, 0, certificate(t, ca, -2*day, -day))
	site.CloudHosts = []string{expired.Addr}
	got = site.Probes()[HTTP](t.Context(), Target{})
	if got.Verdict != diagnose.Inconclusive || !strings.Contains(got.Observed, "no handshake") || expired.Requests() != 0 {
		t.Errorf("got %+v after %d requests, want no request without the verification", got, expired.Requests())
	}
	mute, err := fakenet.StartTLS(fakenet.Loopback, fakenet.Mute, ca, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	site.CloudHosts, site.Timeout = []string{mute.Addr}, 200*time.Millisecond
	if got := site.Probes()[HTTP](t.Context(), Target{}); got.Verdict != diagnose.Inconclusive || !strings.Contains(got.Observed, "no handshake") {
		t.Errorf("a mute server: %+v, want that it cannot be told", got)
	}
}

func TestHTTPNoConnection(t *testing.T) {
	for name, address := range map[string]string{"refused": refused(t), "timeout": blackHole(t)} {
		site := Site{CloudHosts: []string{address}, Timeout: shortTry}
		got := site.Probes()[HTTP](t.Context(), Target{})
		if got.Verdict != diagnose.Inconclusive || !strings.Contains(got.Observed, "no connection: "+name) {
			t.Errorf("%s: %+v, want that it cannot be told", name, got)
		}
	}
}

func TestHTTPAddress(t *testing.T) {
	// Nothing is sent: it is stopped before it begins.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for address, want := range map[string]string{
		"cloud.example":         "https://cloud.example:443/",
		"cloud.example:80":      "http://cloud.example:80/",
		"cloud.example:12345":   "https://cloud.example:12345/",
		"http://cloud.example":  "http://cloud.example:80/",
		"https://cloud.example": "https://cloud.example:443/",
		"2001:db8::1":           "https://[2001:db8::1]:443/",
	} {
		site := Site{Targets: AnyTarget(), Resolvers: []string{"127.0.0.1:1"}}
		if got := site.Probes()[HTTP](ctx, Target{Address: address}); got.Target != want {
			t.Errorf("%s: %s, want %s", address, got.Target, want)
		}
	}
}
