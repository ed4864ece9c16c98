package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of one connection. They are short because the ones who ask are near,
// and a gateway has few connections to give.
const (
	headerWithin  = 5 * time.Second
	requestWithin = 10 * time.Second
	// answerWithin leaves a phone on a bad line time for a long list.
	answerWithin = time.Minute
	idleWithin   = time.Minute
	maxHeader    = 16 << 10
	// endWithin is how long open requests may take when the agent stops.
	endWithin = 3 * time.Second
)

// Serve serves strangers on the listeners, over TLS where it is
// set, and the command line on the socket, which may be nil, until ctx ends; that is no
// error. Open requests may finish within three seconds. The listeners are
// closed when it returns.
func (s *Server) Serve(ctx context.Context, listeners []net.Listener, socket net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	public, local := s.newHTTP(s.Handler()), s.newHTTP(s.SocketHandler())
	public.TLSConfig = s.opts.TLS
	var running sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	start := func(serve func() error, on net.Listener) {
		running.Go(func() {
			defer stop() // the end of one is the end of all
			if err := serve(); !errors.Is(err, http.ErrServerClosed) {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("serve %s: %w", on.Addr(), err))
			}
		})
	}
	for _, l := range listeners {
		if s.opts.TLS != nil {
			start(func() error { return public.ServeTLS(l, "", "") }, l)
		} else {
			start(func() error { return public.Serve(l) }, l)
		}
	}
	if socket != nil {
		start(func() error { return local.Serve(socket) }, socket)
	}
	<-ctx.Done()
	s.end.Do(func() { close(s.ending) }) // streams would never end by themselves
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	for _, srv := range []*http.Server{public, local} {
		if srv.Shutdown(grace) != nil {
			_ = srv.Close() // what did not end in time is cut
		}
	}
	running.Wait()
	return errors.Join(errs...)
}

func (s *Server) newHTTP(h http.Handler) *http.Server {
	// HTTP/1 only: a connection has one request then, so that the limit on
	// connections is one on requests.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerWithin,
		ReadTimeout:       requestWithin,
		WriteTimeout:      answerWithin,
		IdleTimeout:       idleWithin,
		MaxHeaderBytes:    maxHeader,
		Protocols:         &protocols,
		ConnState:         newDoor(maxConns).state,
		// What clients do wrong on the wire is not our operator's concern.
		ErrorLog: slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
	}
}
