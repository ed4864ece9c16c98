package diagnose

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Journal makes batches durable.
type Journal interface {
	// Commit makes a batch durable, all of it or nothing, before it returns
	// nil. A *JournalError means that the storage fails; then nothing is
	// committed any more before Recover.
	Commit(ctx context.Context, b *Batch) error
	// Recover makes the journal usable again, as far as that can be, and reads
	// what it holds.
	Recover(ctx context.Context) (Restored, error)
}

// LoopOptions are what a loop needs; every field but those marked optional
// must be set.
type LoopOptions struct {
	Engine  *Engine
	Journal Journal
	Words   Words
	// Publish hands over what became durable. It must not block.
	Publish func(Publication)
	// Refused records input that was not taken. It must not block.
	Refused func(RefusedInput)
	// Turned is called after each turn that ended well, for metrics. It must
	// not block.
	Turned func(Turn)
	// EventID makes the id of the event with this sequence number; the same
	// number has the same id for ever.
	EventID func(seq int64) string
	// Epoch is the store's, which may change; Seq is its highest number.
	Epoch func() string
	Seq   int64
	Now   func() time.Time
	// Clock is read once at the begin of each turn; nil: Now, which is believed
	// (optional).
	Clock func() ClockReading
	// Storage is told when nothing can be made durable, each time that the
	// fault is another one, and with "" when it is over. It must not block
	// (optional).
	Storage func(fault StorageFault, err error)
	// Dropped is told of each message that is not taken and that nobody sends
	// again. It must not block (optional).
	Dropped func(Delivery)
	// Unencodable is told of a change that is left out, for it cannot be
	// written as JSON (optional).
	Unencodable func(c Change, err error)
}

// Turn tells what one turn of the loop did.
type Turn struct {
	Deliveries int
	Changes    int
	Devices    int
	// Commit is how long the store took, zero when nothing was stored; Took is
	// the whole turn. Waited is how long the oldest message of the turn was on
	// its way from Deliver to here, zero when there was none. All are measured
	// by the monotonic clock.
	Commit, Took, Waited time.Duration
}

const (
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
	inbox   *inbox
	asks    chan ask
	stopped chan struct{}
	seq     int64
	// changes and scratch, an event's bytes, are the last turn's, for the room
	// they have.
	changes []Change
	scratch []byte
	// started is what turned, the end of the last turn, is measured from.
	started time.Time
	turned  atomic.Int64
	// failure is set while nothing can be made durable.
	failure *failure
	// owed is how far the clock jumped since the last turn that is durable: the
	// engine is told again when it is made anew.
	owed time.Duration
}

// NewLoop returns a loop that has not started.
func NewLoop(opts LoopOptions) *Loop {
	return &Loop{
		opts:    opts,
		inbox:   newInbox(),
		asks:    make(chan ask),
		stopped: make(chan struct{}),
		seq:     opts.Seq,
		started: time.Now(),
	}
}

// Deliver hands a message over without blocking; false when there is no room.
func (l *Loop) Deliver(d Delivery) bool { return l.inbox.put(d) }

// SinceTurn is how long ago the loop last finished a turn, by the monotonic
// clock; before the first turn, since the loop was made.
func (l *Loop) SinceTurn() time.Duration {
	return time.Since(l.started) - time.Duration(l.turned.Load())
}

// errStopped answers those who ask a loop that has ended.
var errStopped = errors.New("the agent is stopping")

// ask is a function to run between two turns; done is told when what it
// changed is durable, or why it is not.
type ask struct {
	do   func(now time.Time, e *Engine) Outcome
	done chan error
}

// Do runs f between two turns, with the engine to itself, and commits what it
// changed. It waits until that is done, or ctx ends, or the loop has stopped.
// The error is a *JournalError where nothing can be made durable now. Then f did
// not run, or what it changed is taken back; but a commit that failed may turn
// out to be durable all the same.
func (l *Loop) Do(ctx context.Context, f func(now time.Time, e *Engine) Outcome) error {
	a := ask{do: f, done: make(chan error, 1)}
	select {
	case l.asks <- a:
	case <-l.stopped:
		return errStopped
	case <-ctx.Done():
		return fmt.Errorf("wait for the loop: %w", ctx.Err())
	}
	select {
	case err := <-a.done:
		return err
	case <-l.stopped:
		return errStopped
	}
}

// SetRules swaps rules and words between two turns. A commit that fails does not
// take them back, and is no error: the engine that is made anew then judges
// everything by the new rules.
func (l *Loop) SetRules(ctx context.Context, rules Rulebook, words Words) error {
	swapped := false
	err := l.Do(ctx, func(now time.Time, e *Engine) Outcome {
		swapped = true
		l.opts.Words = words
		return e.SetRules(now, rules)
	})
	if _, failed := errors.AsType[*JournalError](err); failed && swapped {
		return nil
	}
	return err
}

// Run takes turns until ctx ends and the inbox is empty, which is no error. A
// storage that fails does not end it, see failure; any other error of the
// journal does: the messages of that batch stay unacknowledged, and the engine,
// which is ahead of the store now, must not be used any more.
func (l *Loop) Run(ctx context.Context) error {
	defer close(l.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return l.empty(ctx)
		case <-l.inbox.ready:
			err = l.turnOf(ctx, nil)
		case a := <-l.asks:
			err = l.turnOf(ctx, &a)
		case <-timer.C:
			err = l.turnOf(ctx, nil)
		}
		if err != nil {
			return err
		}
		l.turned.Store(int64(time.Since(l.started)))
		timer.Reset(l.wait())
	}
}

// turnOf makes one turn: of a function that somebody asks for, or of what has
// arrived.
func (l *Loop) turnOf(ctx context.Context, a *ask) error {
	if l.failure != nil {
		return l.standStill(ctx, a)
	}
	t := turn{loop: l, changes: l.changes[:0]}
	t.begin()
	if a != nil {
		t.asked = a.done
		t.add(a.do(t.now, l.opts.Engine))
	} else {
		t.drain()
	}
	t.add(l.opts.Engine.Tick(t.now))
	return l.settle(&t, t.finish(ctx))
}

// settle takes a turn's end: a storage that fails is no end of the loop.
func (l *Loop) settle(t *turn, err error) error {
	if fault, ok := errors.AsType[*JournalError](err); ok {
		l.fail(t, fault)
		return nil
	}
	return err
}

// empty decides what is still in the inbox when the loop is to end: what came
// in was taken, and nobody sends a message of QoS 0 again. While nothing can be
// made durable it is left: what must not be lost was not acknowledged.
func (l *Loop) empty(ctx context.Context) error {
	for l.failure == nil {
		t := turn{loop: l, changes: l.changes[:0]}
		t.begin()
		if t.drain(); len(t.took) == 0 {
			return nil
		}
		if err := l.settle(&t, t.finish(ctx)); err != nil {
			return err
		}
	}
	l.discard()
	return nil
}

// Stopped is closed when the loop has ended: nothing delivered from then on is
// decided.
func (l *Loop) Stopped() <-chan struct{} { return l.stopped }

// wait is how long the loop may sleep.
func (l *Loop) wait() time.Duration {
	if f := l.failure; f != nil {
		return max(0, f.delay-time.Since(f.tried))
	}
	if l.inbox.waits() {
		return 0
	}
	next := l.opts.Engine.Next()
	if next.IsZero() {
		return pulse
	}
	return min(pulse, max(0, next.Sub(l.opts.Now())))
}
