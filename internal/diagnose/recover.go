package diagnose

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// This file is what the loop does while nothing can be made durable. It does
// not end: whoever watches the gateway is to see why it stands still, and a
// disk that has room again is to be enough.
//
// The engine is ahead of the journal then, so it is made anew from what the
// journal holds. Messages that come are thrown away unacknowledged; the broker
// has them. The first batch of the new engine tells the fault itself, so that
// the try to commit it is also what finds out that the storage works.

const (
	// firstAgain and mostAgain are how long the loop waits before it tries the
	// storage again; again and a half as long each time.
	firstAgain = 200 * time.Millisecond
	mostAgain  = 2 * time.Second
)

// failure is the state of a loop whose storage fails.
type failure struct {
	fault *JournalError
	// id of the diagnosis that tells it; shown once it was published.
	id    string
	shown bool
	// untold are the devices of the batch that failed. It may be durable all the
	// same, and then nobody was told, and the messages that come again change
	// nothing. ends are the last snapshots of those that were removed in it.
	untold []string
	ends   []Snapshot
	// delay is how long to wait between two tries, tried is when the last one
	// was made.
	delay time.Duration
	tried time.Time
}

// fail begins to stand still: the turn is not durable, so nobody is told that
// it was.
func (l *Loop) fail(t *turn, fault *JournalError) {
	l.failure = &failure{
		fault: fault, delay: firstAgain, tried: time.Now(),
		untold: append(t.order, t.batch.Removed...), ends: t.last,
	}
	l.say(fault)
	for i := range t.took {
		l.giveUp(&t.took[i])
	}
	if t.asked != nil {
		t.asked <- fault
	}
	l.discard()
}

// say tells whoever shows it how the storage stands.
func (l *Loop) say(fault *JournalError) {
	switch {
	case l.opts.Storage == nil:
	case fault == nil:
		l.opts.Storage("", nil)
	default:
		l.opts.Storage(fault.Fault, fault.Err)
	}
}

// discard throws away what waits.
func (l *Loop) discard() {
	for {
		p, ok := l.inbox.take()
		if !ok {
			return
		}
		l.giveUp(&p.Delivery)
	}
}

// giveUp lets a message go without an acknowledgement. Who asked for something
// is told; what nobody sends again is counted.
func (l *Loop) giveUp(d *Delivery) {
	if d.Respond != nil {
		d.Respond(Response{Transaction: d.Request.Transaction, Error: fmt.Sprintf("nothing was done, for nothing can be stored now: %v", l.failure.fault)})
	}
	if d.Droppable && l.opts.Dropped != nil {
		l.opts.Dropped(*d)
	}
}

// standStill is a turn while nothing can be made durable.
func (l *Loop) standStill(ctx context.Context, a *ask) error {
	l.discard()
	if a != nil {
		a.done <- l.failure.fault
		return nil
	}
	if time.Since(l.failure.tried) < l.failure.delay {
		return nil
	}
	return l.retry(ctx)
}

// retry tries the storage again.
func (l *Loop) retry(ctx context.Context) error {
	f := l.failure
	f.tried = time.Now()
	ctx = context.WithoutCancel(ctx)
	t, pub, err := l.rebuild(ctx)
	if err == nil {
		err = l.opts.Journal.Commit(ctx, &t.batch)
	}
	if err == nil {
		return l.recovered(ctx, t, pub)
	}
	fault, ok := errors.AsType[*JournalError](err)
	if !ok {
		return err
	}
	if fault.Fault != f.fault.Fault {
		f.id, f.shown = "", false
		l.say(fault)
	}
	f.fault = fault
	f.delay = min(f.delay+f.delay/2, mostAgain)
	return nil
}

// rebuild makes the engine anew from what the journal holds, with the fault of
// the storage as the first thing that it is told. It does so for each try: a
// commit that failed may be durable all the same, and its numbers given.
func (l *Loop) rebuild(ctx context.Context) (*turn, Publication, error) {
	f := l.failure
	kept, err := l.opts.Journal.Recover(ctx)
	if err != nil {
		if _, ok := errors.AsType[*JournalError](err); !ok {
			err = &JournalError{StorageFailed, err} // not to be read is a fault, whatever it is
		}
		return nil, Publication{}, fmt.Errorf("recover the journal: %w", err)
	}
	l.seq = kept.Seq
	e := l.opts.Engine
	t := &turn{loop: l}
	t.begin()
	t.forget() // what the clock's jump did to the old engine
	e.Reset()
	t.add(e.Restore(t.now, kept))
	if l.owed != 0 { // what was stored is from before the jump
		t.add(e.Shift(t.now, l.owed))
	}
	other := StorageFull
	if f.fault.Fault == StorageFull {
		other = StorageFailed
	}
	t.add(e.Observe(t.now, ownWord(t.now, SaysOver, other, "")))
	t.add(f.observe(e, t.now))
	pub := t.assemble()
	if s, ok := e.Snapshot(""); ok && !f.shown {
		// Only what says why is shown now: the rest is as it was published before.
		f.shown = true
		l.opts.Publish(Publication{Seq: kept.Seq, Snapshots: []Snapshot{s}})
	}
	f.catchUp(t, &pub)
	return t, pub, nil
}

// catchUp adds what the batch that failed may have changed unseen.
func (f *failure) catchUp(t *turn, pub *Publication) {
	for _, id := range f.untold {
		if _, shown := t.shown[id]; shown {
			continue
		}
		if s, ok := t.loop.opts.Engine.Snapshot(id); ok {
			pub.Snapshots = append(pub.Snapshots, s)
			continue
		}
		for i := range f.ends {
			if string(f.ends[i].Device) == id { // so it was removed, and that is durable
				pub.Snapshots = append(pub.Snapshots, f.ends[i])
				pub.Removed = append(pub.Removed, id)
			}
		}
	}
}

// observe tells the engine the fault, which keeps its id through all tries: it
// was shown.
func (f *failure) observe(e *Engine, now time.Time) Outcome {
	fresh := e.opts.NewID
	defer func() { e.opts.NewID = fresh }()
	e.opts.NewID = func(at time.Time) string {
		if f.id == "" {
			f.id = fresh(at)
		}
		return f.id
	}
	return e.Observe(now, ownWord(now, SaysFault, f.fault.Fault, f.fault.Err.Error()))
}

// ownWord is the loop's own observation of the storage.
func ownWord(now time.Time, says Saying, fault StorageFault, msg string) Observation {
	return Observation{
		Source: string(ProducerAgent), At: now, Says: says, CodeRaw: string(fault), Msg: CleanText(msg, maxMsg),
		Key: Key{Producer: ProducerAgent, Name: string(fault)},
	}
}

// recovered goes on: what told the fault is durable, and the fault is over.
func (l *Loop) recovered(ctx context.Context, told *turn, pub Publication) error {
	f := l.failure
	l.failure, l.owed = nil, 0
	told.tell(pub)
	t := turn{loop: l}
	t.begin()
	t.add(l.opts.Engine.Observe(t.now, ownWord(t.now, SaysOver, f.fault.Fault, "")))
	t.add(l.opts.Engine.Tick(t.now))
	err := l.settle(&t, t.finish(ctx))
	if err == nil && l.failure == nil {
		l.say(nil)
	}
	return err
}
