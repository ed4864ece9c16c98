package web

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

func post(t *testing.T, s *site, form url.Values, more ...string) *http.Response {
	t.Helper()
	headers := append([]string{"Content-Type", "application/x-www-form-urlencoded"}, more...)
	return s.ask(t, "POST", "/login", form.Encode(), headers...)
}

func TestSignIn(t *testing.T) {
	s := withTokens(t, "reader:look-only\nsome-technician\n")
	now := noon
	s.now = func() time.Time { return now }
	page := want(t, s.ask(t, "GET", "/devices/a?for=user", "", "Accept", "text/html"), 401,
		`<form`, `name="next" value="/devices/a?for=user"`, `gw-01`)
	if strings.Contains(page, "Refused messages") || strings.Contains(page, "inbound") {
		t.Errorf("the page to sign in on tells strangers of the agent:\n%s", page)
	}
	wrong := post(t, s, url.Values{"token": {"some-technicia"}, "next": {"/devices/a"}})
	want(t, wrong, 401, "This token is not known", `value="/devices/a"`)
	if len(wrong.Cookies()) > 0 {
		t.Error("a wrong token gets a cookie")
	}
	right := post(t, s, url.Values{"token": {" some-technician "}, "next": {"/devices/a"}})
	if right.StatusCode != http.StatusSeeOther || right.Header.Get("Location") != "/devices/a" || len(right.Cookies()) != 1 {
		t.Fatalf("the right token: %d, %v", right.StatusCode, right.Header)
	}
	c := right.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.MaxAge != int(sessionTime/time.Second) {
		t.Errorf("the cookie is %+v", c)
	}
	as := func(method, path string) int {
		return s.ask(t, method, path, "", "Cookie", c.Name+"="+c.Value).StatusCode
	}
	if got := as("GET", "/api/v1/site"); got != 200 {
		t.Errorf("signed in: %d", got)
	}
	if got := as("POST", "/api/v1/devices/a/resolve"); got != 200 || len(s.decided) != 1 {
		t.Errorf("a technician decides: %d, %v", got, s.decided)
	}
	now = now.Add(sessionTime)
	if got := as("GET", "/api/v1/site"); got != 401 {
		t.Errorf("after a working day: %d", got)
	}
}

func TestSignedInReader(t *testing.T) {
	s := withTokens(t, "reader:look-only\n")
	c := post(t, s, url.Values{"token": {"look-only"}}).Cookies()[0]
	cookie := c.Name + "=" + c.Value
	if got := s.ask(t, "POST", "/api/v1/devices/a/resolve", "", "Cookie", cookie).StatusCode; got != 403 {
		t.Errorf("a reader decides: %d", got)
	}
	out := s.ask(t, "POST", "/logout", "", "Cookie", cookie)
	if out.StatusCode != http.StatusSeeOther || len(out.Cookies()) != 1 || out.Cookies()[0].MaxAge >= 0 {
		t.Errorf("signed out: %d, %v", out.StatusCode, out.Cookies())
	}
	if got := s.ask(t, "GET", "/api/v1/site", "", "Cookie", cookie).StatusCode; got != 401 {
		t.Errorf("after signing out: %d", got)
	}
	if got := s.ask(t, "GET", "/api/v1/site", "", "Cookie", c.Name+"=guess").StatusCode; got != 401 {
		t.Errorf("a guessed cookie: %d", got)
	}
}

// Guesses on the page and by header are counted together.
func TestTooManySignIns(t *testing.T) {
	s := withTokens(t, "some-technician\n")
	for i := range maxTries {
		if got := post(t, s, url.Values{"token": {fmt.Sprint("guess", i)}}).StatusCode; got != 401 {
			t.Fatalf("try %d: %d", i+1, got)
		}
	}
	resp := post(t, s, url.Values{"token": {"some-technician"}})
	want(t, resp, 429, "Too many wrong tokens")
	if resp.Header.Get("Retry-After") == "" || len(resp.Cookies()) > 0 {
		t.Errorf("headers %v", resp.Header)
	}
	if got := s.ask(t, "GET", "/api/v1/site", "", "Authorization", "Bearer some-technician").StatusCode; got != 429 {
		t.Errorf("by header: %d", got)
	}
}

func TestSignInFromElsewhere(t *testing.T) {
	s := withTokens(t, "some-technician\n")
	if got := post(t, s, url.Values{"token": {"some-technician"}}, "Origin", "http://evil.test").StatusCode; got != 403 {
		t.Errorf("a foreign page signs in: %d", got)
	}
}

func TestWhereASignInLeads(t *testing.T) {
	for next, to := range map[string]string{
		"": "/", "/": "/", "/devices/a?for=user": "/devices/a?for=user", "//evil.test/x": "/", "https://evil.test": "/",
		`/\evil.test`: "/", "javascript:alert(1)": "/", "devices/a": "/", "/login": "/", "/a\r\nX: y": "/", "%": "/",
	} {
		if got := local(next); got != to {
			t.Errorf("%q leads to %q, want %q", next, got, to)
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s := newSessions()
	first := s.begin(Technician, noon)
	for i := range maxSessions {
		s.begin(Reader, noon.Add(time.Duration(i+1)*time.Second))
	}
	if len(s.open) != maxSessions {
		t.Errorf("%d sessions, want %d", len(s.open), maxSessions)
	}
	if _, ok := s.role(first, noon); ok {
		t.Error("the oldest did not give way")
	}
}

// A browser keeps the cookie only when its name and marks agree.
func TestCookieHolds(t *testing.T) {
	s := withTokens(t, "some-technician\n")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	at := &url.URL{Scheme: "http", Host: "localhost:8420", Path: "/login"}
	jar.SetCookies(at, post(t, s, url.Values{"token": {"some-technician"}}).Cookies())
	if kept := jar.Cookies(&url.URL{Scheme: "http", Host: "localhost:8420", Path: "/"}); len(kept) != 1 {
		t.Errorf("the jar keeps %v", kept)
	}
}
