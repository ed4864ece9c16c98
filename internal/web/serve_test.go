package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func record(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// served is a site on a real port and a real socket.
type served struct {
	*site
	address string
	socket  string
	stop    func() error
}

func serve(t *testing.T, change func(*Options)) *served {
	t.Helper()
	s := newSite(t, change)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fieldmedic.sock")
	socket, err := ListenSocket(path, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, []net.Listener{l}, socket) }()
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return &served{s, l.Addr().String(), path, stop}
}

// get asks over a connection of its own.
func (s *served) get(t *testing.T, path string, within time.Duration) *http.Response {
	t.Helper()
	client := http.Client{Timeout: within, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + s.address + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func TestSlowConnectionsBlockNobody(t *testing.T) {
	for name, begin := range map[string]string{
		"nothing sent":   "",
		"half a header":  "GET / HTTP/1.1\r\nHost: loc",
		"a slow body":    "POST /api/v1/site/resolve HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		"kept for later": "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil)
			for range 200 {
				conn, err := net.Dial("tcp", s.address)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				_, _ = io.WriteString(conn, begin) // it may have been cut already
			}
			for range 3 {
				want(t, s.get(t, "/", 2*time.Second), 200, "No device has been heard yet")
			}
		})
	}
}

func TestDoor(t *testing.T) {
	d := newDoor(4)
	conns := make(map[string]net.Conn)
	arrive := func(name, from string) {
		here, there := net.Pipe()
		t.Cleanup(func() { _ = errors.Join(here.Close(), there.Close()) })
		conns[name] = &fakeConn{Conn: here, from: from}
		d.state(conns[name], http.StateNew)
	}
	has := func(names ...string) {
		t.Helper()
		if len(d.conns) != len(names) {
			t.Errorf("%d connections are held, want %v", len(d.conns), names)
		}
		for _, name := range names {
			if d.conns[conns[name]] == nil {
				t.Errorf("%s is gone", name)
			}
		}
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		arrive(name, "192.0.2.1:1")
	}
	d.state(conns["a"], http.StateActive)
	arrive("e", "192.0.2.2:1") // b has waited longest
	has("a", "c", "d", "e")
	for _, name := range []string{"c", "d", "e"} {
		d.state(conns[name], http.StateActive)
	}
	arrive("f", "192.0.2.2:1") // all work; .1 holds three of four, a is its oldest
	has("c", "d", "e", "f")
	d.state(conns["f"], http.StateActive)
	arrive("g", "192.0.2.1:1") // all work, nobody holds more than half
	has("c", "d", "e", "f")
	if _, err := conns["g"].Write([]byte("x")); err == nil {
		t.Error("the newcomer that found no place was not cut")
	}
	d.state(conns["d"], http.StateIdle)
	arrive("h", "192.0.2.3:1")
	has("c", "e", "f", "h")
	d.state(conns["h"], http.StateClosed)
	d.state(conns["g"], http.StateClosed)
	has("c", "e", "f")
}

type fakeConn struct {
	net.Conn
	from string
}

func (c *fakeConn) RemoteAddr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", c.from)
	if err != nil {
		return nil
	}
	return a
}

func TestEndIsGraceful(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	s := serve(t, func(o *Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(begun)
			<-release
			_, _ = io.WriteString(w, "the end")
		})
	})
	got := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + s.address + "/metrics")
		if err != nil {
			got <- err.Error()
			return
		}
		b, err := io.ReadAll(resp.Body)
		got <- fmt.Sprint(string(b), " ", errors.Join(err, resp.Body.Close()))
	}()
	<-begun
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if body := <-got; body != "the end <nil>" {
		t.Errorf("the open request got %q", body)
	}
	if _, err := net.Dial("tcp", s.address); err == nil {
		t.Error("the port is still open")
	}
	if _, err := os.Stat(s.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestTLSWithOwnCertificate(t *testing.T) {
	cert, _, err := SelfSigned(t.TempDir(), []string{"gateway.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, func(o *Options) { o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} })
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
	}}
	for range 100 { // none of these ends its handshake
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	resp, err := client.Get("https://" + s.address + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	want(t, resp, 200, "No device has been heard yet")
}

func TestTooLongHeader(t *testing.T) {
	s := serve(t, nil)
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", 30<<10)+"\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, " 431 ") {
		t.Errorf("answer %q, %v", line, err)
	}
}

func TestServeTellsWhatFailed(t *testing.T) {
	s := newSite(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	err = s.Serve(t.Context(), []net.Listener{l}, nil)
	if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "serve 127.0.0.1:") {
		t.Errorf("got %v", err)
	}
}
