package mqtt

import (
	"context"
	"errors"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

const (
	// windowSize is how many publishes may wait for their acknowledgement.
	// Beyond 65,535 the client library has no message ids left; far below it
	// a slow broker is noticed by us and not by its queue.
	windowSize = 256
	// pubackTimeout is how long the oldest of them may wait.
	pubackTimeout = 20 * time.Second
)

// window sends messages in order with a bounded number of them in flight, and
// tells in the same order of each that the broker acknowledged it, on the very
// connection it was sent on.
type window struct {
	s       *session
	flights chan flight
	// failed is closed when an acknowledgement did not come; cause says why.
	failed chan struct{}
	cause  error
}

// flight is one message on its way; done may be nil. Without a token it is
// only a mark behind those before it.
type flight struct {
	token paho.Token
	done  func()
}

func newWindow(s *session) *window {
	w := &window{s: s, flights: make(chan flight, windowSize), failed: make(chan struct{})}
	go w.watch()
	return w
}

// send publishes a message; it waits while the window is full. done is called
// after its acknowledgement, and never when that does not come.
func (w *window) send(ctx context.Context, m message, done func()) error {
	if err := w.err(); err != nil {
		return err
	}
	return w.enter(ctx, flight{w.s.client.Publish(m.topic, qos, m.retained, m.payload), done})
}

func (w *window) enter(ctx context.Context, f flight) error {
	select {
	case w.flights <- f:
		return nil
	case <-w.failed:
		return w.cause
	case <-w.s.lost:
		return w.s.lostError()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watch waits for acknowledgements, oldest first.
func (w *window) watch() {
	timer := time.NewTimer(pubackTimeout)
	defer timer.Stop()
	for f := range w.flights {
		if err := w.wait(f.token, timer); err != nil {
			w.cause = err
			close(w.failed)
			return
		}
		if f.done != nil {
			f.done()
		}
	}
}

func (w *window) wait(token paho.Token, timer *time.Timer) error {
	if token == nil {
		return nil
	}
	timer.Reset(pubackTimeout)
	select {
	case <-token.Done():
		if err := token.Error(); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		return nil
	case <-w.s.lost:
		return w.s.lostError()
	case <-timer.C:
		return errors.New("the broker acknowledges nothing any more")
	}
}

// err is what ended the window, or nil.
func (w *window) err() error {
	select {
	case <-w.failed:
		return w.cause
	case <-w.s.lost:
		return w.s.lostError()
	default:
		return nil
	}
}

// drain waits until everything in flight is acknowledged.
func (w *window) drain(ctx context.Context) error {
	empty := make(chan struct{})
	if err := w.enter(ctx, flight{done: func() { close(empty) }}); err != nil {
		return err
	}
	select {
	case <-empty:
		return nil
	case <-w.failed:
		return w.cause
	case <-w.s.lost:
		return w.s.lostError()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close lets the watcher go; nothing is sent after it.
func (w *window) close() { close(w.flights) }
