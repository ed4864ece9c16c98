package web

import (
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

func TestHosts(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(o *Options) { o.Hosts = []string{"Gateway.Example.org", "192.0.2.77"} })
	for host, status := range map[string]int{
		"localhost": 200, "localhost:8420": 200, "LOCALHOST.": 200, "127.0.0.1:8420": 200, "127.9.9.9": 200,
		"[::1]:8420": 200, "[::1]": 200, own: 200, strings.ToUpper(own) + ":1": 200, own + ".local": 200,
		"gateway.example.org:443": 200, "192.0.2.77": 200,
		"evil.test": 421, "evil.test:8420": 421, "localhost.evil.test": 421, "127.0.0.1.evil.test": 421,
		"192.0.2.78": 421, "[2001:db8::1]:8420": 421, "": 421, "0.0.0.0": 421,
	} {
		for _, path := range []string{"/api/v1/site", "/healthz"} {
			resp := s.ask(t, "GET", path, "", "Host", host)
			if resp.StatusCode != status {
				t.Errorf("%s by host %q: %d, want %d", path, host, resp.StatusCode, status)
			}
		}
	}
	want(t, s.ask(t, "GET", "/api/v1/site", "", "Host", "evil.test"), 421, `{"error":"this gateway is not known as \"evil.test\"`)
	want(t, s.ask(t, "GET", "/", "", "Host", "evil.test"), 421, `this gateway is not known as "evil.test" (use its address`)
}

func TestHeaders(t *testing.T) {
	s := newSite(t, nil)
	for _, path := range []string{"/", "/style.css", "/api/v1/devices", "/api/v1/site", "/nothing", "/api/nothing", "/healthz"} {
		h := s.ask(t, "GET", path, "").Header
		csp := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: CSP %q lacks %s", path, csp, part)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") {
			t.Errorf("%s: CSP %q allows script", path, csp)
		}
		for name, value := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		} {
			if got := h.Get(name); got != value {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if got := h.Get("Cache-Control"); path != "/style.css" && got != "no-store" {
			t.Errorf("%s: Cache-Control is %q", path, got)
		}
	}
	if got := s.ask(t, "GET", "/", "", "Host", "evil.test").Header.Get("Content-Security-Policy"); got == "" {
		t.Error("a refusal has no policy")
	}
}

func TestCrossOriginWrites(t *testing.T) {
	s := newSite(t, nil)
	const path = "/api/v1/devices/ac-7/resolve"
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Sec-Fetch-Site", "same-site"}, 403},
		{[]string{"Origin", "http://evil.test"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Sec-Fetch-Site", "same-origin"}, 200},
		{[]string{"Origin", "http://localhost:8420"}, 200},
		{nil, 200}, // no browser
	} {
		if got := s.ask(t, "POST", path, "", c.headers...).StatusCode; got != c.status {
			t.Errorf("%v: %d, want %d", c.headers, got, c.status)
		}
	}
	if len(s.decided) != 3 {
		t.Errorf("%d requests got through", len(s.decided))
	}
	want(t, s.ask(t, "POST", path, "", "Origin", "http://evil.test"), 403, `{"error":"a page of another origin may not write here"}`)
	if got := s.ask(t, "GET", "/api/v1/site", "", "Sec-Fetch-Site", "cross-site").StatusCode; got != 200 {
		t.Errorf("a link from elsewhere to a page: %d", got)
	}
}

// withTokens is a site with the tokens of a file.
func withTokens(t *testing.T, lines string) *site {
	t.Helper()
	tokens, err := ReadTokens(tokenFile(t, lines))
	if err != nil {
		t.Fatal(err)
	}
	return newSite(t, func(o *Options) { o.Tokens = tokens })
}

func TestTokens(t *testing.T) {
	s := withTokens(t, "reader:look-only\nsome-technician\n")
	for _, c := range []struct {
		method, path, auth string
		status             int
	}{
		{"GET", "/healthz", "", 200},
		{"GET", "/", "", 401},
		{"GET", "/style.css", "", 200},
		{"GET", "/login", "", 200},
		{"GET", "/readyz", "", 401},
		{"GET", "/metrics", "", 401},
		{"GET", "/api/v1/site", "", 401},
		{"GET", "/api/v1/site?token=some-technician", "", 401},
		{"POST", "/api/v1/devices/a/resolve", "", 401},
		{"GET", "/api/v1/site", "Bearer nobody", 401},
		{"GET", "/api/v1/site", "Bearer ", 401},
		{"GET", "/api/v1/site", "some-technician", 401},
		{"GET", "/api/v1/site", "Basic some-technician", 401},
		{"GET", "/api/v1/site", "Bearer some-technicia", 401},
		{"GET", "/api/v1/site", "Bearer some-technician", 200},
		{"GET", "/api/v1/site", "bearer some-technician", 200},
		{"GET", "/api/v1/site", "Bearer look-only", 200},
		{"HEAD", "/api/v1/site", "Bearer look-only", 200},
		{"GET", "/", "Bearer look-only", 200},
		{"POST", "/api/v1/devices/a/resolve", "Bearer look-only", 403},
		{"DELETE", "/api/v1/devices/a", "Bearer look-only", 403},
		{"POST", "/api/v1/devices/a/resolve", "Bearer some-technician", 200},
	} {
		resp := s.ask(t, c.method, c.path, "", "Authorization", c.auth)
		if resp.StatusCode != c.status {
			t.Errorf("%s %s with %q: %d, want %d", c.method, c.path, c.auth, resp.StatusCode, c.status)
		}
		if c.status == 401 && !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s %s: a 401 without WWW-Authenticate", c.method, c.path)
		}
	}
	if len(s.decided) != 1 || s.decided[0].By != "technician" {
		t.Errorf("decided: %+v", s.decided)
	}
	want(t, s.ask(t, "GET", "/api/v1/site", ""), 401, `{"error":"a token is needed (Authorization: Bearer TOKEN)"}`)
}

func TestTooManyTries(t *testing.T) {
	s := withTokens(t, "some-technician\n")
	now := noon
	s.now = func() time.Time { return now }
	from := func(address, token string) *http.Response {
		r, err := http.NewRequest(http.MethodGet, "http://localhost/api/v1/site", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = address
		r.Header.Set("Authorization", "Bearer "+token)
		w := record(s.Handler(), r)
		return w
	}
	for i := range maxTries {
		if got := from("192.0.2.1:1000", "guess").StatusCode; got != 401 {
			t.Fatalf("try %d: %d", i+1, got)
		}
	}
	resp := from("192.0.2.1:2000", "some-technician")
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "61" {
		t.Errorf("after %d wrong ones: %d, Retry-After %s", maxTries, resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	if got := from("192.0.2.2:1000", "some-technician").StatusCode; got != 200 {
		t.Errorf("another address: %d", got)
	}
	now = now.Add(time.Minute)
	if got := from("192.0.2.1:1000", "some-technician").StatusCode; got != 200 {
		t.Errorf("a minute later: %d", got)
	}
}

func TestTriesAreBounded(t *testing.T) {
	tr := newTries()
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range 3 * triesKnown {
		tr.failed(address(i), noon)
	}
	if len(tr.count) != triesKnown {
		t.Errorf("%d addresses are kept", len(tr.count))
	}
	if tr.wait(address(5*triesKnown), noon) == 0 {
		t.Error("with more addresses than are kept, new ones may try without end")
	}
	if tr.wait(address(1), noon) != 0 {
		t.Error("a known address is held up by others")
	}
	if tr.wait(address(5*triesKnown), noon.Add(triesTime)) != 0 {
		t.Error("the next window begins closed")
	}
	one, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:1")
	for range maxTries {
		tr.failed(one, noon.Add(triesTime))
	}
	if tr.wait(other, noon.Add(triesTime)) == 0 {
		t.Error("one IPv6 host may try from each of its addresses")
	}
}
