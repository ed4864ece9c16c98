package web

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// maxStreams is how many streams are open at one time: each takes one of the
	// connections that the door has, and the page must stay within reach.
	maxStreams = maxConns / 2
	// streamPulse is how often a stream says that it lives, so that both ends
	// notice a dead one.
	streamPulse = 15 * time.Second
	// streamWithin is how long one write to a stream may take.
	streamWithin = 10 * time.Second
	// retryAfter is how long a browser waits before it comes back, in
	// milliseconds.
	retryAfter = 2000
)

// bell wakes everybody who waits for news.
type bell struct {
	mu   sync.Mutex
	next chan struct{}
}

// rung is closed at the next ring.
func (b *bell) rung() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// Ring tells the open streams that the log has grown. It does not block.
func (s *Server) Ring() { s.bell.ring() }

// stream serves the log as server-sent events, from now on, or from behind the
// number in Last-Event-ID or after=. The id of an event is its seq, so that a
// browser that comes back goes on where it was.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	after, err := streamFrom(r, s.opts.Store.Seq())
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, fmt.Sprintf("%d streams are open, which is all there are (close one, or ask /api/v1/events)", maxStreams))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies are not to gather it
	out := streamOut{w: w, control: http.NewResponseController(w)}
	out.write(fmt.Appendf(nil, "retry: %d\n: from %d\n\n", retryAfter, after))
	pulse := time.NewTicker(streamPulse)
	defer pulse.Stop()
	for out.err == nil {
		news := s.bell.rung() // before looking, so that none is missed
		if after, err = s.streamNews(r.Context(), &out, after); err != nil {
			s.opts.Log.Warn("read the log for a stream", "err", err)
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-s.ending:
			return
		case <-news:
		case <-pulse.C:
			out.write([]byte(": " + s.now().UTC().Format(time.RFC3339) + "\n\n"))
		}
	}
}

// streamFrom is the number behind which a stream begins. A browser's own word
// beats the address, which stays the same when it comes back.
func streamFrom(r *http.Request, newest int64) (int64, error) {
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		after, err := strconv.ParseInt(last, 10, 64)
		if err != nil || after < 0 {
			return 0, fmt.Errorf("Last-Event-ID %q is no sequence number (a whole number from 0)", visible(last))
		}
		return after, nil
	}
	return number(r, "after", newest, math.MaxInt64)
}

// streamNews sends what stands in the log behind a number, and tells up to
// where.
func (s *Server) streamNews(ctx context.Context, out *streamOut, after int64) (int64, error) {
	for out.err == nil {
		entries, err := s.opts.Store.After(ctx, after, eventsUnasked)
		if err != nil || len(entries) == 0 {
			return after, err
		}
		var b []byte
		for _, e := range entries {
			b = fmt.Appendf(b, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, e.Body)
			after = e.Seq
		}
		out.write(b)
	}
	return after, nil
}

// streamOut writes to a stream, each piece with its own time limit; the first
// error ends it.
type streamOut struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (o *streamOut) write(b []byte) {
	if o.err != nil {
		return
	}
	// Where the connection knows no deadlines, the server's own holds.
	_ = o.control.SetWriteDeadline(time.Now().Add(streamWithin))
	if _, o.err = o.w.Write(b); o.err == nil {
		o.err = o.control.Flush()
	}
}
