package fakenet

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Page is how a web server answers.
type Page string

// The pages.
const (
	JSONPage      Page = "json"         // 200 with JSON
	JSONRefusal   Page = "json-refusal" // 401 with JSON, as without an account
	HTMLPage      Page = "html-page"    // 200 with HTML
	HTMLError     Page = "html-error"   // 403 with HTML
	HTMLUntyped   Page = "html-untyped" // 404 with HTML that does not say so
	GatewayError  Page = "gateway"      // 504 with HTML
	ServerError   Page = "server-error" // 500 with JSON
	NoPage        Page = "no-page"      // 204
	SlowPage      Page = "slow"         // nothing, for long
	ResetPage     Page = "reset"        // a reset in place of an answer
	NoHTTP        Page = "no-http"      // something that is no HTTP
	LeadsAway     Page = "leads-away"   // 302 to another host
	LeadsOn       Page = "leads-on"     // 302 to another path, which has JSON
	LeadsInCircle Page = "circle"       // 302 to itself
	EndlessPage   Page = "endless"      // a body without an end
	CachedPage    Page = "cached"       // 200 with an Age
)

// Web is a web server.
type Web struct {
	// Addr is IP:PORT.
	Addr   string
	server *http.Server
	// off is added to this machine's time in Date.
	off      time.Duration
	page     Page
	requests atomic.Int64
}

// StartWeb listens on addr, as Loopback; with a certificate it speaks TLS. Its
// clock is off by so much.
func StartWeb(addr string, page Page, off time.Duration, cert *tls.Certificate) (*Web, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	w := &Web{Addr: l.Addr().String(), off: off, page: page}
	w.server = &http.Server{Handler: http.HandlerFunc(w.serve), ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	if cert != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12})
	}
	go func() { _ = w.server.Serve(l) }()
	return w, nil
}

// Close ends it.
func (w *Web) Close() { _ = w.server.Close() }

// Requests is how many came.
func (w *Web) Requests() int64 { return w.requests.Load() }

func (w *Web) serve(out http.ResponseWriter, in *http.Request) {
	w.requests.Add(1)
	out.Header().Set("Date", time.Now().Add(w.off).UTC().Format(http.TimeFormat))
	const html, json = "text/html; charset=utf-8", "application/json"
	switch w.page {
	case JSONRefusal:
		answer(out, http.StatusUnauthorized, json, `{"error":"no session"}`)
	case HTMLPage:
		answer(out, http.StatusOK, html, "<!doctype html><title>Welcome</title>")
	case HTMLError:
		answer(out, http.StatusForbidden, html, "<!doctype html><title>Blocked</title>")
	case HTMLUntyped:
		answer(out, http.StatusNotFound, "application/octet-stream", "\n<html><body>404</body></html>")
	case GatewayError:
		answer(out, http.StatusGatewayTimeout, html, "<html><body>504 Gateway Time-out</body></html>")
	case ServerError:
		answer(out, http.StatusInternalServerError, json, `{"error":"ours"}`)
	case NoPage:
		out.WriteHeader(http.StatusNoContent)
	case SlowPage:
		<-in.Context().Done()
	case ResetPage, NoHTTP:
		w.breakOff(out)
	case LeadsAway:
		http.Redirect(out, in, "http://elsewhere.example/", http.StatusFound)
	case LeadsOn:
		if in.URL.Path == "/" {
			http.Redirect(out, in, "/v1", http.StatusFound)
			return
		}
		answer(out, http.StatusOK, json, "{}")
	case LeadsInCircle:
		http.Redirect(out, in, "/", http.StatusFound)
	case EndlessPage:
		endless(out)
	case CachedPage:
		out.Header().Set("Age", "86400")
		answer(out, http.StatusOK, json, "{}")
	default:
		answer(out, http.StatusOK, json, "{}")
	}
}

// breakOff takes the connection and ends it without an answer of HTTP.
func (w *Web) breakOff(out http.ResponseWriter) {
	taker, ok := out.(http.Hijacker)
	if !ok {
		return
	}
	conn, _, err := taker.Hijack()
	if err != nil {
		return
	}
	if w.page == NoHTTP {
		_, _ = conn.Write([]byte("220 mail.example ready\r\n"))
		_ = conn.Close()
		return
	}
	reset(conn)
}

func answer(out http.ResponseWriter, status int, kind, body string) {
	out.Header().Set("Content-Type", kind)
	out.WriteHeader(status)
	_, _ = out.Write([]byte(body))
}

func endless(out http.ResponseWriter) {
	chunk := []byte(strings.Repeat(" ", 4<<10))
	out.Header().Set("Content-Type", "application/json")
	for {
		if _, err := out.Write(chunk); err != nil {
			return
		}
	}
}
