package web

import (
	"bufio"
	"encoding/json"
	"mime"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

// opened is markup that only a text which was not escaped could have brought
// into a page: our own pages have no script inside, no image and no event handler.
var opened = regexp.MustCompile(`(?i)<script>|<(img|iframe|object|embed)|<[^>]*\son[a-z]+\s*=`)

// FuzzHTTP sends whole requests, as they come over the wire, to the handler
// that strangers talk to. Whatever they hold: an answer with a status of its
// own, no decision without a token or from a foreign page, nothing for a host
// name that is not ours, no text that becomes markup, and JSON where JSON is
// said.
func FuzzHTTP(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /?page=2&q=ac HTTP/1.1\r\nHost: localhost:8420\r\nAuthorization: Bearer reader-token-12345678\r\n\r\n",
		"GET /devices/ac-7?for=developer HTTP/1.1\r\nHost: [::1]:8420\r\nAuthorization: Bearer technician-token-1234\r\nAccept-Language: zh\r\n\r\n",
		"GET /devices/?id=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer technician-token-1234\r\n\r\n",
		"GET /api/v1/events?after=-1&limit=99999999999 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer technician-token-1234\r\n\r\n",
		"GET /api/v1/codes/0xfff9 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer technician-token-1234\r\n\r\n",
		"POST /api/v1/devices/ac-7/acknowledge HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer technician-token-1234\r\n" +
			"Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"by\":\"a\",\"x\":1}",
		"POST /api/v1/site/note HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\nAuthorization: Bearer technician-token-1234\r\n" +
			"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"GET /api/v1/site HTTP/1.1\r\nHost: evil.test\r\n\r\n",
		"GET /api/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer technician-token-1234\r\n\r\n",
		"POST /api/v1/devices/ac-7/resolve HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer reader-token-12345678\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	s := fuzzSite(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(raw))))
		if err != nil {
			return // the server of the standard library answers this
		}
		r.RemoteAddr = "192.0.2.7:1234"
		s.decided = nil
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		resp := w.Result()
		body := text(t, resp)
		if resp.StatusCode < 200 || resp.StatusCode > 599 {
			t.Errorf("status %d", resp.StatusCode)
		}
		if resp.StatusCode >= 500 {
			t.Errorf("%s %s answers %d: %.300s", r.Method, r.URL, resp.StatusCode, body)
		}
		if !s.isOurs(r) && resp.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("host %q answers %d", r.Host, resp.StatusCode)
		}
		mayWrite := r.Header.Get("Authorization") == "Bearer technician-token-1234" && r.Method == http.MethodPost
		if len(s.decided) > 0 && (!mayWrite || r.Header.Get("Origin") != "" && !strings.Contains(r.Header.Get("Origin"), r.Host)) {
			t.Errorf("decided %+v by %s %s with %v", s.decided, r.Method, r.URL, r.Header)
		}
		kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		switch {
		case kind == "text/html" && opened.MatchString(body):
			t.Errorf("a text became markup: %s", opened.FindString(body))
		case kind == "application/json" && r.Method != http.MethodHead && !json.Valid([]byte(body)):
			t.Errorf("not JSON: %.300s", body)
		}
		if resp.Header.Get("Content-Security-Policy") != policy || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("headers %v", resp.Header)
		}
	})
}

// fuzzSite has devices with names that are markup, and both roles' tokens.
func fuzzSite(t testing.TB) *site {
	s := newSite(t, func(o *Options) {
		for _, line := range []string{"reader:reader-token-12345678", "technician:technician-token-1234"} {
			token, err := parseToken(line)
			if err != nil {
				t.Fatal(err)
			}
			o.Tokens = append(o.Tokens, token)
		}
		o.Code = func(text string) (any, error) { return map[string]string{"code": text}, nil }
	})
	for _, id := range []string{"ac-7", `<img src=x onerror=alert(1)>`, "../../etc/passwd", "a\u202eb"} {
		d := fault("dns-resolution-failed", -4013, diagnose.Major)
		d.Msg = `<script>alert("msg")</script>`
		s.store.add(id, d)
		s.store.event(t, diagnose.Raised, d)
	}
	return s
}
