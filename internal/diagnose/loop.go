package diagnose

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Journal makes a batch durable, all of it or nothing, before it returns nil.
type Journal interface {
	Commit(ctx context.Context, b *Batch) error
}

// LoopOptions are what a loop needs; every field must be set.
type LoopOptions struct {
	Engine  *Engine
	Journal Journal
	Words   Words
	// Publish hands over what became durable. It must not block.
	Publish func(Publication)
	// Refused records input that was not taken. It must not block.
	Refused func(RefusedInput)
	// Turned is called after each turn, for metrics and the watchdog. It must
	// not block.
	Turned func(Turn)
	// EventID makes the id of the event with this sequence number; the same
	// number has the same id for ever.
	EventID func(seq int64) string
	// Epoch and Seq are the store's.
	Epoch string
	Seq   int64
	Now   func() time.Time
}

// Turn tells what one turn of the loop did.
type Turn struct {
	Deliveries int
	Changes    int
	Devices    int
	// Open diagnoses after the turn are counted by the engine on request
	// only; Commit is how long the store took, zero when nothing was stored.
	Commit time.Duration
}

const (
	// inboxSize is larger than any broker's window of unacknowledged messages
	// in use (Mosquitto 20, the embedded broker 1,024), so that a full inbox
	// means QoS 0 in excess.
	inboxSize = 2048
	// batchSize bounds one transaction: large enough to share a disk's sync,
	// small enough that the first message of a batch does not wait long.
	batchSize = 256
	// pulse is the longest time between two turns; the watchdog lives on it.
	pulse = 5 * time.Second
)

// Loop owns an engine: it is the only goroutine that touches it. One turn
// takes what has arrived, steps the engine, commits the changes as one batch,
// and only then lets the messages be acknowledged.
type Loop struct {
	opts    LoopOptions
	inbox   chan Delivery
	asks    chan ask
	stopped chan struct{}
	seq     int64
	// changes and scratch, an event's bytes, are the last turn's, for the room
	// they have.
	changes []Change
	scratch []byte
	turned  atomic.Int64 // unix nanoseconds of the last turn
}

// NewLoop returns a loop that has not started.
func NewLoop(opts LoopOptions) *Loop {
	return &Loop{
		opts:    opts,
		inbox:   make(chan Delivery, inboxSize),
		asks:    make(chan ask),
		stopped: make(chan struct{}),
		seq:     opts.Seq,
	}
}

// Deliver hands a message over without blocking; false when the inbox is full.
func (l *Loop) Deliver(d Delivery) bool {
	select {
	case l.inbox <- d:
		return true
	default:
		return false
	}
}

// LastTurn is when the loop last finished a turn; zero before the first.
func (l *Loop) LastTurn() time.Time {
	if ns := l.turned.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// errStopped answers those who ask a loop that has ended.
var errStopped = errors.New("the agent is stopping")

// ask is a function to run between two turns; done is closed when what it
// changed is durable.
type ask struct {
	do   func(now time.Time, e *Engine) Outcome
	done chan struct{}
}

// Do runs f between two turns, with the engine to itself, and commits what it
// changed. It waits until that is done, or ctx ends, or the loop has stopped.
func (l *Loop) Do(ctx context.Context, f func(now time.Time, e *Engine) Outcome) error {
	a := ask{do: f, done: make(chan struct{})}
	select {
	case l.asks <- a:
	case <-l.stopped:
		return errStopped
	case <-ctx.Done():
		return fmt.Errorf("wait for the loop: %w", ctx.Err())
	}
	select {
	case <-a.done:
		return nil
	case <-l.stopped:
		return errStopped
	}
}

// SetRules swaps rules and words between two turns.
func (l *Loop) SetRules(ctx context.Context, rules Rulebook, words Words) error {
	return l.Do(ctx, func(now time.Time, e *Engine) Outcome {
		l.opts.Words = words
		return e.SetRules(now, rules)
	})
}

// Run takes turns until ctx ends and the inbox is empty, which is no error, or
// a batch cannot be made durable, which is: the messages of that batch stay
// unacknowledged, and the engine, which is ahead of the store now, must not be
// used any more.
func (l *Loop) Run(ctx context.Context) error {
	defer close(l.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		t := turn{loop: l, changes: l.changes[:0]}
		select {
		case <-ctx.Done():
			return l.empty(ctx)
		case d := <-l.inbox:
			t.begin()
			t.take(d)
			t.drain()
		case a := <-l.asks:
			t.begin()
			t.asked = a.done
			t.add(a.do(t.now, l.opts.Engine))
		case <-timer.C:
			t.begin()
		}
		t.add(l.opts.Engine.Tick(t.now))
		if err := t.finish(ctx); err != nil {
			return err
		}
		l.turned.Store(l.opts.Now().UnixNano())
		timer.Reset(l.wait())
	}
}

// empty decides what is still in the inbox when the loop is to end: what came
// in was taken, and nobody sends a message of QoS 0 again.
func (l *Loop) empty(ctx context.Context) error {
	for {
		t := turn{loop: l, changes: l.changes[:0]}
		select {
		case d := <-l.inbox:
			t.begin()
			t.take(d)
			t.drain()
		default:
			return nil
		}
		if err := t.finish(ctx); err != nil {
			return err
		}
	}
}

// Stopped is closed when the loop has ended: nothing delivered from then on is
// decided.
func (l *Loop) Stopped() <-chan struct{} { return l.stopped }

// wait is how long the loop may sleep.
func (l *Loop) wait() time.Duration {
	next := l.opts.Engine.Next()
	if next.IsZero() {
		return pulse
	}
	return min(pulse, max(0, next.Sub(l.opts.Now())))
}
