package web

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// maxBody is the largest body in bytes that a request may have.
const maxBody = 64 << 10

// policy lets a page load its own style sheet and send forms to us, and
// nothing else: no script, no frame, no foreign address.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secured sets what browsers are told on every answer.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY") // for browsers older than frame-ancestors
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// refuse says no before anything is served.
func refuse(w http.ResponseWriter, r *http.Request, status int, sentence string) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		fail(w, status, sentence)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, sentence, status)
}

// sameOrigin refuses writes that a page of another origin made a browser send.
func (s *Server) sameOrigin(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusForbidden, "a page of another origin may not write here")
	}))
	return guard.Handler(next)
}

// ownNames are the host names of this machine, and those that are configured,
// in lower case.
func ownNames(configured []string) map[string]bool {
	names := map[string]bool{"localhost": true}
	if own, err := os.Hostname(); err == nil {
		own = strings.ToLower(own)
		names[own] = true
		if first, _, _ := strings.Cut(own, "."); first != "" {
			names[first], names[first+".local"] = true, true // mDNS, RFC 6762
		}
	}
	for _, name := range configured {
		names[plainHost(name)] = true
	}
	return names
}

// plainHost is a host without port, brackets and last dot, in lower case.
func plainHost(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// knownHost refuses requests by a name that is not ours. A page of a foreign
// name that was made to resolve to our address (DNS rebinding) is of the same
// origin to the browser; its host name betrays it.
func (s *Server) knownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.isOurs(r) {
			refuse(w, r, http.StatusMisdirectedRequest,
				"this gateway is not known as "+strconv.Quote(plainHost(r.Host))+" (use its address, its host name or localhost)")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) isOurs(r *http.Request) bool {
	host := plainHost(r.Host)
	if s.hosts[host] {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.WithZone("").Unmap()
	if ip.IsLoopback() {
		return true
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && addressOf(local.String()) == ip {
		return true
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().WithZone("").Unmap() == ip {
			return true
		}
	}
	return false
}

// addressOf is the address of "host:port", or the zero address.
func addressOf(hostPort string) netip.Addr {
	at, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().WithZone("").Unmap()
}

type roleKey struct{}

// roleOf is the role of the token that a request came with; "" where none was
// demanded.
func roleOf(ctx context.Context) Role {
	role, _ := ctx.Value(roleKey{}).(Role)
	return role
}

// demandToken lets nobody in without a token or a session, where there are
// tokens. Free are /healthz, and the page to sign in on with its style sheet.
func (s *Server) demandToken(next http.Handler) http.Handler {
	if len(s.opts.Tokens) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if free(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		role, ok := s.admitted(w, r)
		switch {
		case !ok:
			return
		case role == Reader && r.Method != http.MethodGet && r.Method != http.MethodHead && r.URL.Path != "/logout":
			refuse(w, r, http.StatusForbidden, "this token may read only (a technician's token may decide)")
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), roleKey{}, role)))
	})
}

func free(path string) bool { return path == "/healthz" || path == loginPath || path == "/style.css" }

// admitted is the role that a request comes with. Where it has none, it is
// answered, and ok is false: a person is asked to sign in, a program is told.
func (s *Server) admitted(w http.ResponseWriter, r *http.Request) (role Role, ok bool) {
	given, sent := bearer(r)
	if !sent {
		if role, ok = s.signedIn(r); ok {
			return role, true
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="fieldmedic"`)
		if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
			s.askToSignIn(w, r, http.StatusUnauthorized, "")
			return "", false
		}
		refuse(w, r, http.StatusUnauthorized, "a token is needed (Authorization: Bearer TOKEN)")
		return "", false
	}
	role, known, wait := s.tryToken(r, given)
	switch {
	case wait > 0:
		w.Header().Set("Retry-After", seconds(wait))
		refuse(w, r, http.StatusTooManyRequests, "too many wrong tokens from this address (wait a minute)")
	case !known:
		w.Header().Set("WWW-Authenticate", `Bearer realm="fieldmedic", error="invalid_token"`)
		refuse(w, r, http.StatusUnauthorized, "this token is not known (check for a missing letter)")
	}
	return role, known
}

// bearer reads the token of a request (RFC 6750, 2.1; the scheme's case does
// not matter, RFC 9110, 11.1).
func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}
