package web

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// This file is how a person signs in on the page: the token is given once, and
// a cookie stands for it for a working day.

const (
	loginPath = "/login"
	// sessionTime is how long a session holds: a working day.
	sessionTime = 8 * time.Hour
	// maxSessions are held at one time; the oldest gives way.
	maxSessions = 256
	// maxTokenSent bounds what a form may send as a token, in bytes.
	maxTokenSent = 1024
)

// sessions are those who signed in. Only hashes of the cookies are held.
type sessions struct {
	mu   sync.Mutex
	open map[[sha256.Size]byte]session
}

type session struct {
	role  Role
	until time.Time
}

func newSessions() *sessions { return &sessions{open: make(map[[sha256.Size]byte]session)} }

// begin opens a session and answers the cookie's value.
func (s *sessions) begin(role Role, now time.Time) string {
	value := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	var first [sha256.Size]byte
	for sum, one := range s.open {
		if !one.until.After(now) {
			delete(s.open, sum)
			continue
		}
		if oldest, ok := s.open[first]; !ok || one.until.Before(oldest.until) {
			first = sum
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, first)
	}
	s.open[sha256.Sum256([]byte(value))] = session{role, now.Add(sessionTime)}
	return value
}

// role is what the holder of a cookie may do; false: it is none of ours, or its
// time is over.
func (s *sessions) role(value string, now time.Time) (Role, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.open[sha256.Sum256([]byte(value))]
	return one.role, ok && one.until.After(now)
}

func (s *sessions) end(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sha256.Sum256([]byte(value)))
}

// cookieName is the session's cookie. Over TLS its prefix makes browsers see to
// it that no other host or path has set it (RFC 6265bis, 4.1.3).
func (s *Server) cookieName() string {
	if s.opts.TLS != nil {
		return "__Host-fieldmedic"
	}
	return "fieldmedic"
}

func (s *Server) cookie(value string, age time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: s.cookieName(), Value: value, Path: "/", MaxAge: int(age / time.Second),
		HttpOnly: true, Secure: s.opts.TLS != nil, SameSite: http.SameSiteStrictMode,
	}
}

// signedIn is the role of a request's session.
func (s *Server) signedIn(r *http.Request) (Role, bool) {
	c, err := r.Cookie(s.cookieName())
	if err != nil {
		return "", false
	}
	return s.sessions.role(c.Value, s.now())
}

// loginView is the content of the page to sign in on.
type loginView struct {
	Gateway string
	// Next is where to go from there.
	Next string
	// Wrong is why the last try failed.
	Wrong string
	// Fingerprint of the page's own certificate, or empty.
	Fingerprint string
}

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) {
	s.askToSignIn(w, r, http.StatusOK, "")
}

// askToSignIn shows the page to sign in on, with the status that is due.
func (s *Server) askToSignIn(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	next := r.FormValue("next") // also of a form that was refused
	if r.URL.Path != loginPath {
		next = r.URL.RequestURI()
	}
	s.showBare(w, status, "login", "Sign in", loginView{visible(s.opts.Gateway), local(next), wrong, s.opts.Fingerprint})
}

// local is where a form may lead: a path of ours, never another host.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") ||
		strings.ContainsAny(next, "\\\r\n") || u.Path == loginPath {
		return "/"
	}
	return next
}

// login takes the token of the form and begins a session.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.askToSignIn(w, r, http.StatusBadRequest, "The form could not be read. Send it again.")
		return
	}
	given := strings.TrimSpace(r.PostForm.Get("token"))
	next := local(r.PostForm.Get("next"))
	role, known, wait := s.tryToken(r, given)
	switch {
	case wait > 0:
		w.Header().Set("Retry-After", seconds(wait))
		s.askToSignIn(w, r, http.StatusTooManyRequests, "Too many wrong tokens came from this address. Wait "+seconds(wait)+" seconds.")
	case !known:
		s.askToSignIn(w, r, http.StatusUnauthorized, "This token is not known. Check for a missing letter.")
	default:
		http.SetCookie(w, s.cookie(s.sessions.begin(role, s.now()), sessionTime))
		http.Redirect(w, r, next, http.StatusSeeOther)
	}
}

// tryToken looks a token up. An address that has guessed too often is not told
// any more whether it guessed right; wait is how long that holds.
func (s *Server) tryToken(r *http.Request, given string) (role Role, known bool, wait time.Duration) {
	from, now := addressOf(r.RemoteAddr), s.now()
	if wait = s.tries.wait(from, now); wait > 0 {
		return "", false, wait
	}
	if len(given) <= maxTokenSent {
		role, known = findToken(s.opts.Tokens, given)
	}
	if !known {
		s.tries.failed(from, now)
	}
	return role, known, 0
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d/time.Second) + 1) }

// logout ends the session.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(s.cookieName()); err == nil {
		s.sessions.end(c.Value)
	}
	http.SetCookie(w, s.cookie("", -time.Second))
	http.Redirect(w, r, loginPath, http.StatusSeeOther)
}
