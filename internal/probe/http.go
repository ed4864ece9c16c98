package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Results of http.
const (
	httpOK          = "ok"           // it answers, as a service does
	httpServerError = "server-error" // 5xx
	httpHTML        = "html"         // an error page where JSON was due
	httpTimeout     = "timeout"      // connected, but no answer
)

// Bounds of one request. Nothing but the kind of the answer is of interest.
const (
	maxBody      = 4 << 10
	maxHeader    = 16 << 10
	maxRedirects = 3
)

// http asks for the base URL of the server, without an account: any answer but
// a server's error and an error page shows that the service is up, a refusal
// included. When no connection comes about, or no handshake, it cannot tell:
// other probes do.
func (s Site) http(ctx context.Context, t Target) Answer {
	scheme, bare := httpScheme(t.Address)
	address, answer := s.server(HTTP, Target{Address: bare})
	if answer != nil {
		return *answer
	}
	if host, port := splitAddress(address); port == "80" || scheme == "http" {
		scheme = "http"
		if _, given := splitAddress(bare); given == "" {
			address = net.JoinHostPort(host, "80")
		}
	}
	base := url.URL{Scheme: scheme, Host: address, Path: "/"}
	reply, err := s.get(ctx, http.MethodGet, base.String())
	if err != nil {
		result, why := requestFailure(err)
		if result == "" {
			return cannotTell(HTTP, base.String(), why, httpOK)
		}
		return found(HTTP, base.String(), result, why, httpOK)
	}
	result, seen := reply.class()
	if result == "" {
		return cannotTell(HTTP, base.String(), seen, httpOK)
	}
	return found(HTTP, base.String(), result, seen, httpOK)
}

// httpScheme takes the scheme off an address; https is what one means.
func httpScheme(address string) (scheme, bare string) {
	if rest, ok := strings.CutPrefix(address, "http://"); ok {
		return "http", strings.TrimSuffix(rest, "/")
	}
	return "https", strings.TrimSuffix(strings.TrimPrefix(address, "https://"), "/")
}

// HostPort is the HOST or HOST:PORT in what may be a base URL, as the http probe
// takes it.
func HostPort(address string) string {
	_, bare := httpScheme(address)
	return bare
}

// errElsewhere ends a redirection to another host, which is not ours to visit.
var errElsewhere = errors.New("redirected to another host")

// client asks once, without a proxy, and keeps no connection.
func (s Site) client() (client *http.Client, done func()) {
	transport := &http.Transport{
		DialContext:            s.dialer().DialContext,
		TLSClientConfig:        s.tlsConfig(""), // the name is the URL's
		TLSHandshakeTimeout:    s.Timeout,
		ResponseHeaderTimeout:  s.Timeout,
		MaxResponseHeaderBytes: maxHeader,
		DisableKeepAlives:      true,
		DisableCompression:     true,
	}
	return &http.Client{
		Transport: transport,
		Timeout:   MaxProbe,
		CheckRedirect: func(next *http.Request, before []*http.Request) error {
			if next.URL.Host != before[0].URL.Host || next.URL.Scheme != before[0].URL.Scheme {
				return errElsewhere
			}
			if len(before) > maxRedirects {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}, transport.CloseIdleConnections
}

// httpReply is what is kept of an answer.
type httpReply struct {
	status int
	header http.Header
	start  []byte // of the body
	// sent and received are when the request was out and the answer began, by
	// this machine's clock.
	sent, received time.Time
}

// errNoConnection is a request that could not be sent: no connection, or no
// handshake on it.
var errNoConnection = errors.New("no connection")

// get asks for one URL and reads the beginning of the answer.
func (s Site) get(ctx context.Context, method, address string) (*httpReply, error) {
	var reply httpReply
	var mu sync.Mutex // a trace is called from other goroutines
	connected := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			mu.Lock()
			defer mu.Unlock()
			connected, reply.sent = true, s.Now()
		},
		GotFirstResponseByte: func() {
			mu.Lock()
			defer mu.Unlock()
			reply.received = s.Now()
		},
	})
	request, err := http.NewRequestWithContext(ctx, method, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "fieldmedic")
	client, done := s.client()
	defer done()
	response, err := client.Do(request)
	mu.Lock()
	defer mu.Unlock()
	if err != nil && !connected {
		return nil, fmt.Errorf("%w: %w", errNoConnection, err)
	} else if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	// An answer that breaks off is one all the same.
	start, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil && len(start) == 0 && isTimeout(err) {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	reply.status, reply.header, reply.start = response.StatusCode, response.Header, start
	return &reply, nil
}

// class says what the answer shows.
func (r *httpReply) class() (result, seen string) {
	seen = fmt.Sprintf("%d %s", r.status, r.form())
	switch {
	case r.status >= http.StatusInternalServerError:
		return httpServerError, seen
	case r.status >= http.StatusBadRequest && r.form() == "HTML":
		return httpHTML, seen
	}
	return httpOK, seen
}

// form is the body's: by its header, and else by how it begins.
func (r *httpReply) form() string {
	kind, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil || kind == "application/octet-stream" {
		kind, _, _ = mime.ParseMediaType(http.DetectContentType(r.start))
	}
	start := bytes.TrimLeft(r.start, " \t\r\n\ufeff")
	switch {
	case kind == "text/html", kind == "application/xhtml+xml":
		return "HTML"
	case kind == "application/json", strings.HasSuffix(kind, "+json"),
		bytes.HasPrefix(start, []byte("{")), bytes.HasPrefix(start, []byte("[")):
		return "JSON"
	case len(start) == 0:
		return "without a body"
	}
	return "neither JSON nor HTML"
}

// requestFailure is the class of a request without an answer.
func requestFailure(err error) (result, seen string) {
	var op *net.OpError
	dialled := errors.As(err, &op) && op.Op == "dial"
	switch {
	case errors.Is(err, errElsewhere):
		return "", "redirected to another host, where it was not followed"
	case errors.Is(err, context.Canceled):
		return "", "it was stopped"
	case errors.Is(err, errNoConnection) && dialled:
		_, why := connectFailure(err)
		return "", "no connection: " + why
	case errors.Is(err, errNoConnection):
		return "", "no handshake, of which the tls check tells more"
	case isTimeout(err):
		return httpTimeout, "connected, but no answer"
	}
	return "", "no answer that can be read: " + shorten(innermost(err).Error())
}
