package mqtt

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// farewell bounds how long a clean stop waits for what is still to be
	// published.
	farewell = 3 * time.Second
	// storeAgain is how long what the store could not do waits for the next try.
	storeAgain = 2 * time.Second
)

// errAgain asks for the retained topics to be compared once more on the same
// connection: what was published of late may not be there.
var errAgain = errors.New("the retained topics are to be compared again")

// outflow is what one session publishes by.
type outflow struct {
	*Publisher
	s     *session
	w     *window
	began time.Time // the connection
	// stream is how far events are, and test what is known of the broker's
	// dropping what we publish.
	stream
	test selfTest
	// under way are the messages that wait for their acknowledgement.
	underWay underWay
	// faultsTold and epochTold are those that `state` has.
	faultsTold *[]string
	epochTold  string
	// shut: it was told that the broker takes no event.
	shut bool
	// dropped: the broker drops what we publish to ourselves.
	dropped bool
	// unread is when the store is asked again, after it could not be read for
	// comparing; zero: it was read.
	unread time.Time
	// shown is the last snapshot that was sent.
	shown message
	// spare is the room of snapshots that were acknowledged.
	spare sync.Pool
}

// serve publishes on one session until it is lost. A session that gives way to
// another agent leaves in order: its will would overwrite the other's state.
func (p *Publisher) serve(ctx context.Context, s *session) error {
	defer p.waiting.open(nil)
	defer p.echoes.open(nil)
	var err error
	for began := time.Now(); ; {
		p.waiting.open(s)
		p.echoes.open(s)
		f := &outflow{Publisher: p, s: s, began: began}
		if err = f.reconcile(ctx); err == nil {
			err = f.run(ctx)
		}
		if !errors.Is(err, errAgain) {
			p.poison.lost(f)
			break
		}
	}
	p.past.lost = time.Now()
	p.link.profile.will.payload = p.state(false) // the next connection's: the epoch may be another
	if errors.Is(err, errConflict) {
		s.leave()
	}
	return err
}

// post sends a message, and remembers that it is under way. done may be nil.
func (f *outflow) post(ctx context.Context, m message, who suspect, done func()) error {
	alone := f.poison.alone(f.began)
	if alone {
		if err := f.w.drain(ctx); err != nil {
			return err
		}
	}
	if who == (suspect{}) {
		who.topic = m.topic
	}
	f.underWay.add(who)
	err := f.w.send(ctx, m, func() {
		f.underWay.arrived()
		if done != nil {
			done()
		}
	})
	if err == nil && alone {
		if err = f.w.drain(ctx); err == nil {
			f.poison.acquit(who)
		}
	}
	return err
}

// run sends what there is, and then what comes.
func (f *outflow) run(ctx context.Context) error {
	f.w = newWindow(f.s)
	defer f.w.close()
	state, mark, due := time.NewTicker(f.stateEvery), time.NewTicker(f.markEvery), time.NewTimer(f.testEvery)
	defer state.Stop()
	defer mark.Stop()
	defer due.Stop()
	if err := f.mark(ctx); err != nil { // before any event: a broker without one tells nothing
		return err
	}
	busy := make(chan struct{}, 1)
	for ctx.Err() == nil {
		more, err := f.round(ctx)
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			return err
		}
		if more {
			select {
			case busy <- struct{}{}:
			default:
			}
		}
		due.Reset(f.nextDue())
		select {
		case <-ctx.Done():
		case <-f.s.lost:
			return f.s.lostError()
		case <-f.w.failed:
			return f.w.cause
		case <-f.wake:
		case <-busy:
		case <-due.C:
		case <-state.C:
			err = f.sendState(ctx)
		case <-mark.C:
			err = f.mark(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return f.leave(ctx)
}

// nextDue is how long nothing is to be done where nothing happens.
func (f *outflow) nextDue() time.Duration {
	wait := time.Until(f.test.due)
	if !f.hold.IsZero() {
		wait = min(wait, time.Until(f.hold))
	}
	return max(wait, time.Millisecond)
}

// round sends some of everything that waits, and tells whether there may be
// more.
func (f *outflow) round(ctx context.Context) (bool, error) {
	if err := f.waiting.rival(); err != nil {
		return false, err
	}
	if !f.unread.IsZero() && time.Now().After(f.unread) {
		return false, errAgain
	}
	if err := f.selfTest(ctx); err != nil {
		return false, err
	}
	if err := f.sendSmall(ctx); err != nil {
		return false, err
	}
	moreEvents, err := f.sendEvents(ctx)
	if err != nil {
		return false, err
	}
	moreSnapshots, err := f.sendSnapshots(ctx)
	return moreEvents || moreSnapshots, err
}

// sendSmall sends responses, info and state where they changed.
func (f *outflow) sendSmall(ctx context.Context) error {
	for {
		m, ok := f.waiting.response()
		if !ok {
			break
		}
		if err := f.post(ctx, m, suspect{topic: m.topic}, f.waiting.responded); err != nil {
			f.waiting.unsent()
			return err
		}
	}
	if info := f.waiting.takeInfo(); info != nil {
		if err := f.post(ctx, message{f.root + "info", info, true}, suspect{}, nil); err != nil {
			f.waiting.infoStands(func([]byte) bool { return false })
			return err
		}
	}
	if f.faultsTold != f.faults.Load() {
		return f.sendState(ctx)
	}
	return nil
}

// sendState says that we are online, and waits for nothing.
func (f *outflow) sendState(ctx context.Context) error {
	f.faultsTold, f.epochTold = f.faults.Load(), f.opts.Epoch()
	m := message{f.root + "state", f.state(true), true}
	return f.post(ctx, m, suspect{}, f.echoes.expect(m))
}

// leave sends what is left, says offline, and closes in order, so that the
// will is not published. Where that fails, the will says it.
func (f *outflow) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	for more := true; more; {
		var err error
		if more, err = f.round(ctx); err != nil {
			if errors.Is(err, errAgain) {
				break // the next connection compares
			}
			return err
		}
	}
	if err := f.w.drain(ctx); err != nil {
		return err
	}
	if err := f.mark(ctx); err != nil {
		return err
	}
	if err := f.post(ctx, message{f.root + "state", f.state(false), true}, suspect{}, nil); err != nil {
		return err
	}
	err := f.w.drain(ctx)
	f.s.leave()
	return err
}

// stream is how far the events of one session are.
type stream struct {
	// epoch is what the numbers below are of.
	epoch string
	// sent is the number of the last event that was sent, acked that of the
	// last one before which nothing is missing at the broker, and marked that of
	// the last watermark.
	sent   int64
	acked  atomic.Int64
	marked int64
	// heard: the broker acknowledged an event on this session.
	heard atomic.Bool
	// hold is until when events wait for subscribers to come back to a broker
	// that has forgotten everything; zero: they do not.
	hold time.Time
	// ahead is the number that the broker has seen and the store does not know,
	// until it was told; 0: there is none.
	ahead int64
	// later is when the store is asked again after it failed.
	later time.Time
}
