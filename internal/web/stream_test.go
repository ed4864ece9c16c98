package web

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
)

// listen opens a stream and answers its lines, one at a time, without comments.
func listen(t *testing.T, s *served, path string, headers ...string) (next func() string, end func()) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("GET %s: %d, %s", path, resp.StatusCode, kind)
	}
	lines := bufio.NewScanner(resp.Body)
	next = func() string {
		for lines.Scan() {
			if l := lines.Text(); l != "" && l[0] != ':' && !strings.HasPrefix(l, "retry:") {
				return l
			}
		}
		return "the end"
	}
	return next, func() { _ = resp.Body.Close() }
}

func TestStream(t *testing.T) {
	s := serve(t, nil)
	d := fault("dns-resolution-failed", -4013, diagnose.Major)
	s.store.event(t, diagnose.Raised, d)
	s.store.event(t, diagnose.Cleaned, d)
	old, _ := listen(t, s, "/api/v1/stream?after=0")
	if a, b := old(), old(); a != "id: 1" || b != "event: raised" {
		t.Errorf("from 0: %q, %q", a, b)
	}
	resumed, _ := listen(t, s, "/api/v1/stream?after=0", "Last-Event-ID", "1")
	if a, b := resumed(), resumed(); a != "id: 2" || b != "event: cleared" {
		t.Errorf("resumed behind 1: %q, %q", a, b)
	}
	news, _ := listen(t, s, "/api/v1/stream")
	s.store.event(t, diagnose.Raised, d)
	s.Ring()
	if a, b := news(), news(); a != "id: 3" || b != "event: raised" {
		t.Errorf("news: %q, %q", a, b)
	}
	if data := news(); !strings.HasPrefix(data, `data: {"schema":"1"`) {
		t.Errorf("data: %q", data)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if last := news(); last != "the end" {
		t.Errorf("after the end: %q", last)
	}
}

func TestStreamRefused(t *testing.T) {
	s := newSite(t, nil)
	want(t, s.ask(t, "GET", "/api/v1/stream?after=x", ""), 400, "whole number")
	want(t, s.ask(t, "GET", "/api/v1/stream", "", "Last-Event-ID", "-1"), 400, "no sequence number")
	for range maxStreams {
		s.streams <- struct{}{}
	}
	resp := s.ask(t, "GET", "/api/v1/stream", "")
	want(t, resp, 503, "streams are open")
	if resp.Header.Get("Retry-After") == "" {
		t.Error("a full house without Retry-After")
	}
}
