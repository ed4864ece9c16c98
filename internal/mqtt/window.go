package mqtt

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

// errWindowClosed ends a window that nobody sends by any more.
var errWindowClosed = errors.New("nothing more is sent")

// window sends messages in order with a bounded number of them in flight, and
// tells in the same order of each that the broker acknowledged it, on the very
// connection it was sent on. One goroutine sends by it.
type window struct {
	s *session
	// queue leads to the one goroutine that calls the client library: the call
	// may block for as long as a write may take, also on a connection that was
	// lost a moment ago, and the sender must not.
	queue   chan flight
	flights chan flight
	// failed is closed when nothing is sent any more; cause says why.
	failed chan struct{}
	once   sync.Once
	cause  error
	// watched is closed when done is called for nobody any more.
	watched chan struct{}
}

// flight is one message on its way; done may be nil. Without a message it is
// only a mark behind those before it.
type flight struct {
	message *message
	token   paho.Token
	done    func()
}

func newWindow(s *session) *window {
	w := &window{
		s: s, queue: make(chan flight), flights: make(chan flight, windowSize),
		failed: make(chan struct{}), watched: make(chan struct{}),
	}
	go w.pump()
	go w.watch()
	return w
}

// send publishes a message; it waits while the window is full. done is called
// after its acknowledgement, and never when that does not come.
func (w *window) send(ctx context.Context, m message, done func()) error {
	if err := fits(m.topic); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return w.enter(ctx, flight{message: &m, done: done})
}

func (w *window) enter(ctx context.Context, f flight) error {
	if err := w.err(); err != nil {
		return err
	}
	select {
	case w.queue <- f:
		return nil
	case <-w.failed:
		return w.cause
	case <-w.s.lost:
		return w.s.lostError()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pump hands messages to the client library, in order.
func (w *window) pump() {
	for {
		select {
		case f := <-w.queue:
			if f.message != nil {
				f.token = w.s.client.Publish(f.message.topic, qos, f.message.retained, f.message.payload)
				f.message = nil
			}
			select {
			case w.flights <- f:
			case <-w.failed:
				return
			case <-w.s.lost:
				return
			}
		case <-w.failed:
			return
		case <-w.s.lost:
			return
		}
	}
}

// watch waits for acknowledgements, oldest first.
func (w *window) watch() {
	defer close(w.watched)
	timer := time.NewTimer(pubackTimeout)
	defer timer.Stop()
	for {
		select {
		case f := <-w.flights:
			if err := w.wait(f.token, timer); err != nil {
				w.fail(err)
				return
			}
			if f.done != nil {
				f.done()
			}
		case <-w.failed:
			return
		case <-w.s.lost:
			return
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
			return fmt.Errorf("publish: %w", w.s.because(err))
		}
		return nil
	case <-w.s.lost:
		return w.s.lostError()
	case <-w.failed:
		return w.cause
	case <-timer.C:
		return fmt.Errorf("%w: nothing of what we publish was acknowledged for %s", errSilent, pubackTimeout)
	}
}

func (w *window) fail(err error) {
	w.once.Do(func() {
		w.cause = err
		close(w.failed)
	})
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

// close ends the window. After it no done is called: what the next session
// sends again must not be told of twice.
func (w *window) close() {
	w.fail(errWindowClosed)
	<-w.watched
}
