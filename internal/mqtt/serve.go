package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"fieldmedic/internal/diagnose"
)

const (
	// farewell bounds how long a clean stop waits for what is still to be
	// published.
	farewell = 3 * time.Second
	// eventsAtOnce are read from the outbox at a time, and snapshotsAtOnce sent
	// before events are looked for again. Under load events go first: they are
	// all to be sent, while snapshots of one device coalesce.
	eventsAtOnce    = 256
	snapshotsAtOnce = 64
	// maxReplay is how many events are sent again at most, when the broker lost
	// what it had acknowledged.
	maxReplay = 10_000
)

// outflow is what one session publishes by.
type outflow struct {
	*Publisher
	s *session
	w *window
	// sent is the number of the last event that was sent, acked that of the
	// last one before which nothing is missing at the broker, and marked that of
	// the last watermark.
	sent   int64
	acked  atomic.Int64
	marked int64
	// dropped: the broker drops what we publish to ourselves.
	dropped bool
	// spare is the room of snapshots that were acknowledged.
	spare sync.Pool
}

// serve publishes on one session until it is lost. A session that gives way to
// another agent leaves in order: its will would overwrite the other's state.
func (p *Publisher) serve(ctx context.Context, s *session) error {
	p.waiting.open(s)
	defer p.waiting.open(nil)
	f := &outflow{Publisher: p, s: s}
	err := f.reconcile(ctx)
	if err == nil {
		err = f.run(ctx)
	}
	if errors.Is(err, errConflict) {
		s.leave()
	}
	return err
}

// run sends what there is, and then what comes.
func (f *outflow) run(ctx context.Context) error {
	f.w = newWindow(f.s)
	defer f.w.close()
	state, mark := time.NewTicker(f.stateEvery), time.NewTicker(f.markEvery)
	defer state.Stop()
	defer mark.Stop()
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
		select {
		case <-ctx.Done():
		case <-f.s.lost:
			return f.s.lostError()
		case <-f.w.failed:
			return f.w.cause
		case <-f.wake:
		case <-busy:
		case <-state.C:
			err = f.w.send(ctx, message{f.root + "state", f.state(true), true}, nil)
		case <-mark.C:
			err = f.mark(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return f.leave(ctx)
}

// round sends some of everything that waits, and tells whether there may be
// more.
func (f *outflow) round(ctx context.Context) (bool, error) {
	if err := f.waiting.rival(); err != nil {
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

// sendSmall sends responses, and info where it changed.
func (f *outflow) sendSmall(ctx context.Context) error {
	for {
		m, ok := f.waiting.response()
		if !ok {
			break
		}
		if err := f.w.send(ctx, m, f.waiting.responded); err != nil {
			f.waiting.unsent()
			return err
		}
	}
	if info := f.waiting.takeInfo(); info != nil {
		if err := f.w.send(ctx, message{f.root + "info", info, true}, nil); err != nil {
			f.waiting.infoStands(func([]byte) bool { return false })
			return err
		}
	}
	return nil
}

// sendEvents sends what the log holds above sent.
func (f *outflow) sendEvents(ctx context.Context) (bool, error) {
	entries, err := f.opts.Outbox.After(ctx, f.sent, eventsAtOnce)
	if err != nil {
		return false, fmt.Errorf("read the outbox: %w", err)
	}
	for _, e := range entries {
		m := message{topic: f.root + "event", payload: e.Body}
		if err := f.w.send(ctx, m, func() { f.published(e) }); err != nil {
			return false, err
		}
		f.sent = e.Seq
	}
	return len(entries) == eventsAtOnce, nil
}

// published moves the cursor. Events that the broker lost and got again are
// below it.
func (f *outflow) published(e diagnose.LogEntry) {
	f.acked.Store(e.Seq)
	if e.Seq > f.opts.Outbox.Cursor() {
		f.opts.Outbox.Published(e.Seq)
		f.opts.Published(e)
	}
}

// sendSnapshots sends the oldest of the waiting snapshots.
func (f *outflow) sendSnapshots(ctx context.Context) (bool, error) {
	batch := f.waiting.dequeue(snapshotsAtOnce)
	for i, o := range batch {
		m := message{topic: f.topicOf(o.snapshot.Device), retained: true}
		var done func()
		if !o.empty {
			room, ok := f.spare.Get().(*[]byte)
			if !ok {
				room = new([]byte)
			}
			body, err := o.snapshot.EncodeTo(*room, f.opts.Gateway, f.opts.Words())
			if err != nil {
				f.opts.Log.Error("a snapshot is not published", "err", err)
				continue
			}
			m.payload = body
			// The broker has it: nobody reads these bytes any more.
			done = func() { *room = body; f.spare.Put(room) }
		}
		if err := f.w.send(ctx, m, done); err != nil {
			f.waiting.putBack(batch[i:])
			return false, err
		}
	}
	return f.waiting.more(), nil
}

// topicOf is the retained topic of a device, or of the site for the empty id.
func (p *Publisher) topicOf(id diagnose.DeviceID) string {
	if id == "" {
		return p.root + "site"
	}
	return p.root + "device/" + EscapeID(string(id))
}

// watermark is the retained topic `self/watermark`: up to where the broker
// acknowledged events. A broker that was killed comes back with an older one,
// and has lost what came after it.
type watermark struct {
	Epoch string `json:"epoch"`
	Seq   int64  `json:"seq"`
}

// mark publishes the watermark when it moved.
func (f *outflow) mark(ctx context.Context) error {
	seq := f.acked.Load()
	if seq == f.marked {
		return nil
	}
	body, err := json.Marshal(watermark{f.opts.Epoch, seq})
	if err != nil {
		return fmt.Errorf("encode the watermark: %w", err)
	}
	if err := f.w.send(ctx, message{f.root + "self/watermark", body, true}, nil); err != nil {
		return err
	}
	f.marked = seq
	return nil
}

// resume decides where events go on: behind the last acknowledged one, or
// earlier where the broker's own watermark is older.
func (f *outflow) resume(retained []byte) {
	f.sent, f.marked = f.opts.Outbox.Cursor(), -1
	var found watermark
	if json.Unmarshal(retained, &found) == nil && found.Epoch == f.opts.Epoch {
		f.marked = found.Seq
		f.sent = min(f.sent, max(found.Seq, f.sent-maxReplay))
	}
	f.acked.Store(f.sent)
}

// leave sends what is left, says offline, and closes in order, so that the
// will is not published. Where that fails, the will says it.
func (f *outflow) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	for more := true; more; {
		var err error
		if more, err = f.round(ctx); err != nil {
			return err
		}
	}
	if err := f.w.drain(ctx); err != nil {
		return err
	}
	if err := f.mark(ctx); err != nil {
		return err
	}
	if err := f.w.send(ctx, message{f.root + "state", f.state(false), true}, nil); err != nil {
		return err
	}
	err := f.w.drain(ctx)
	f.s.leave()
	return err
}
