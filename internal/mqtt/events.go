package mqtt

import (
	"context"
	"time"

	"fieldmedic/internal/diagnose"
)

// eventsAtOnce are read from the outbox at a time.
const eventsAtOnce = 256

// sendEvents sends what the log holds above sent.
func (f *outflow) sendEvents(ctx context.Context) (bool, error) {
	if ready, err := f.eventsReady(ctx); !ready || err != nil {
		return false, err
	}
	entries, err := f.opts.Outbox.After(ctx, f.sent, eventsAtOnce)
	if err != nil {
		f.storeFailed("read the outbox", err)
		return false, nil
	}
	if f.opts.Epoch() != f.epoch {
		return true, nil // the store began anew while it was read
	}
	f.storeFails = f.storeFails && !f.unread.IsZero()
	for _, e := range entries {
		if err := f.sendEvent(ctx, e); err != nil {
			return false, err
		}
		f.sent = e.Seq
	}
	return len(entries) > 0, nil
}

// eventsReady settles all that must come before the next event, and tells
// whether it may go.
func (f *outflow) eventsReady(ctx context.Context) (bool, error) {
	if now := time.Now(); now.Before(f.later) || now.Before(f.poison.shut) {
		return false, nil
	}
	if f.ahead > 0 && !f.tellAhead(ctx) {
		return false, nil
	}
	if f.epoch != f.opts.Epoch() {
		f.begin()
	}
	if f.epochTold != f.epoch {
		if err := f.sendState(ctx); err != nil {
			return false, err
		}
	}
	if f.poison.owed > 0 && !f.setAside(ctx) {
		return false, nil
	}
	if !f.hold.IsZero() {
		if time.Now().Before(f.hold) {
			return false, nil
		}
		f.hold = time.Time{}
		if err := f.mark(ctx); err != nil {
			return false, err
		}
	}
	if from := f.again.take(); from > 0 {
		f.sent = min(f.sent, from-1)
	}
	return true, nil
}

// storeFailed puts events off: a store that stands still must not take the
// connection down that says so.
func (f *outflow) storeFailed(what string, err error) {
	f.later = time.Now().Add(storeAgain)
	f.tellStore(what, err)
}

// tellStore logs that the store fails, once until it does not.
func (f *outflow) tellStore(what string, err error) {
	if !f.storeFails {
		f.storeFails = true
		f.opts.Log.Warn("what is published waits for the store", "what", what, "err", err)
	}
}

func (f *outflow) sendEvent(ctx context.Context, e diagnose.LogEntry) error {
	if e.Seq == f.poison.event {
		return f.substitute(ctx, e)
	}
	m := message{topic: f.root + "event", payload: e.Body}
	var echo func()
	if f.test.listening && f.test.eventSeq == 0 {
		f.test.eventSeq = e.Seq
		echo = f.echoes.expect(m)
	}
	epoch := f.epoch
	return f.post(ctx, m, suspect{topic: m.topic, seq: e.Seq}, func() {
		if echo != nil {
			echo()
		}
		f.published(e, epoch)
	})
}

// published moves the cursor. Events that the broker lost and got again are
// below it. What a broker acknowledges that is known to drop it counts for
// nothing, and neither does what a store that began anew does not know.
func (f *outflow) published(e diagnose.LogEntry, epoch string) {
	f.heard.Store(true)
	if f.test.frozen.Load() || epoch != f.opts.Epoch() {
		return
	}
	f.again.arrived(e.Seq)
	f.acked.Store(max(e.Seq, f.acked.Load()))
	if e.Seq > f.opts.Outbox.Cursor() {
		f.opts.Outbox.Published(e.Seq)
		f.opts.Published(e)
	}
}
