package mqtt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

const (
	// testEvery is how often a message to ourselves is sent while connected.
	testEvery = 5 * time.Second
	// echoWait is how long behind its acknowledgement it may take to come back.
	// Two that do not in a row are a denial: noticed within 10 s.
	echoWait   = 1500 * time.Millisecond
	testMisses = 2
)

// selfTest is what a session knows of whether the broker drops what it
// acknowledges to us. Mosquitto does that with everything that its access list
// forbids, also when the list is changed while we are connected.
//
// Three things are watched. A message to ourselves, all the time. The topics
// that we stay subscribed to or subscribe to for a moment, as messages are
// published on them: state, and event. And the retained topic of the last
// snapshot that was sent, which is looked up. Nothing is published for it that
// an app would get.
type selfTest struct {
	// due is when the next message to ourselves is sent, or given up.
	due time.Time
	// out: one is under way, since.
	out    bool
	since  time.Time
	misses int
	// denied is the topic on which nothing gets through, or empty. frozen: what
	// is published may be lost, so the cursor stands.
	denied string
	frozen atomic.Bool
	// listening: subscribed to our own events until one comes back, which is
	// the event eventSeq; 0: none was sent yet. deaf: the broker does not let us
	// listen.
	listening bool
	eventSeq  int64
	deaf      bool
	// proven is the topic and content of the last snapshot that was looked up.
	proven string
}

// deny names what does not get through. What was sent since the last proof is
// sent again when it does.
func (f *outflow) deny(topic string) {
	t := &f.test
	t.denied = topic
	if topic == f.loopback() || topic == f.root+"event" {
		t.frozen.Store(true)
		f.past.doubted = true
	}
	f.link.note(LinkDenied, fmt.Errorf("what we publish on %s does not come back: %w", topic, errDenied))
}

// selfTest does what is due of the test; errAgain: what was denied gets
// through again.
func (f *outflow) selfTest(ctx context.Context) error {
	t := &f.test
	if t.out {
		waits, acked := f.echoes.waits(f.loopback())
		switch {
		case !waits:
			t.out, t.misses = false, 0
			t.due = t.since.Add(f.testEvery)
			return f.proofs(ctx)
		case acked.IsZero(): // on its way: a broker that stands still is found out elsewhere
			t.due = time.Now().Add(f.echoWait / 4)
			return nil
		case time.Since(acked) < f.echoWait:
			t.due = acked.Add(f.echoWait)
			return nil
		}
		t.out = false
		t.due = time.Now() // the next at once
		if t.misses++; t.misses == testMisses && t.denied == "" {
			f.deny(f.loopback())
		}
		if t.misses >= testMisses {
			t.due = time.Now().Add(f.testEvery)
			return nil
		}
	}
	if err := f.heardEvent(ctx); err != nil {
		return err
	}
	if time.Now().Before(t.due) {
		return nil
	}
	m := message{topic: f.loopback(), payload: []byte(uuid.NewString())}
	t.out, t.since, t.due = true, time.Now(), time.Now().Add(f.echoWait/4)
	return f.post(ctx, m, suspect{}, f.echoes.expect(m))
}

// proofs looks at the other topics, after a message to ourselves came back: an
// echo that was due before it was sent does not come any more.
func (f *outflow) proofs(ctx context.Context) error {
	t := &f.test
	if t.denied != "" {
		return f.tryAgain(ctx)
	}
	if f.shut && f.heard.Load() {
		f.shut = false
		f.link.note(LinkConnected, nil)
	}
	for _, topic := range []string{f.root + "state", f.root + "event"} {
		waits, acked := f.echoes.waits(topic)
		if waits && !acked.IsZero() && t.since.Sub(acked) > f.echoWait {
			f.deny(topic)
			return nil
		}
	}
	if t.deaf {
		f.deny(f.root + "event")
		return nil
	}
	if err := f.heardEvent(ctx); err != nil {
		return err
	}
	if f.sent > f.past.proven {
		if err := f.listen(ctx); err != nil {
			return err
		}
	}
	there, err := f.shownThere(ctx)
	if err == nil && !there {
		f.deny(f.shown.topic)
	}
	return err
}

// shownThere tells whether the last snapshot that was sent is what the broker
// retains.
func (f *outflow) shownThere(ctx context.Context) (bool, error) {
	key := f.shown.topic + "\n" + string(f.shown.payload)
	if f.shown.topic == "" || f.test.proven == key {
		return true, nil
	}
	if err := f.w.drain(ctx); err != nil { // it must be there before it is asked for
		return false, err
	}
	f.back.start(f.s)
	defer f.back.finish()
	if err := f.readTopics(ctx, []string{f.shown.topic}); err != nil {
		return false, err
	}
	_, same := f.back.settle(f.shown.topic, f.shown.payload)
	if same {
		f.test.proven = key
	}
	return same || f.dropped, nil
}

// tryAgain publishes once more on the topic that was denied.
func (f *outflow) tryAgain(ctx context.Context) error {
	t := &f.test
	switch t.denied {
	case f.loopback():
		return errAgain // it has just come back
	case f.root + "state":
		if waits, _ := f.echoes.waits(t.denied); !waits {
			return errAgain
		}
		return f.sendState(ctx)
	case f.root + "event":
		if t.deaf {
			t.deaf = false
			if err := f.listen(ctx); err != nil || t.deaf {
				return err
			}
			return errAgain
		}
		if waits, _ := f.echoes.waits(t.denied); !waits {
			return errAgain
		}
		first, err := f.opts.Outbox.After(ctx, f.past.proven, 1)
		if err != nil {
			return nil //nolint:nilerr // the store's troubles are told by others, and are no reason to go
		}
		if len(first) == 0 {
			return nil // it was given up
		}
		m := message{topic: t.denied, payload: first[0].Body}
		return f.post(ctx, m, suspect{topic: m.topic, seq: first[0].Seq}, f.echoes.expect(m))
	}
	if err := f.show(ctx, message{f.shown.topic, bytes.Clone(f.shown.payload), true}, nil); err != nil {
		return err
	}
	there, err := f.shownThere(ctx)
	if err == nil && there {
		return errAgain
	}
	return err
}

// listen subscribes to our own events: the next one is to be seen to get
// through. A broker that does not let us listen is named, and not left.
func (f *outflow) listen(ctx context.Context) error {
	t := &f.test
	if t.deaf || t.listening {
		return nil
	}
	err := f.s.subscribe(ctx, []string{f.root + "event"})
	if errors.Is(err, errDenied) {
		t.deaf = true
		return nil
	}
	t.listening, t.eventSeq = err == nil, 0
	return err
}

// heardEvent ends the listening when an event came back.
func (f *outflow) heardEvent(ctx context.Context) error {
	t := &f.test
	if !t.listening || t.eventSeq == 0 {
		return nil
	}
	if waits, _ := f.echoes.waits(f.root + "event"); waits {
		return nil
	}
	if t.denied == f.root+"event" {
		return nil // the next proof finds it out
	}
	t.listening = false
	if !f.past.doubted {
		f.past.proven = max(f.past.proven, t.eventSeq)
	}
	return f.s.unsubscribe(ctx, []string{f.root + "event"})
}
