package mqtt

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"fieldmedic/internal/diagnose"
)

const (
	// lookedUpAtOnce are topics that are asked for by name. It stays below what
	// a broker queues for one client.
	lookedUpAtOnce = 100
	// manyStrays found at once let expect more that the broker did not send.
	manyStrays = 100
)

// reconcile makes the retained topics what the store says: what is missing or
// differs is published, what is nobody's is retracted, and the rest is left
// alone. Only then `online` is said. Nothing is overwritten while another
// agent is online under our id.
func (f *outflow) reconcile(ctx context.Context) error {
	f.back.start(f.s, f.root+"state", f.root+"self/watermark")
	defer f.back.finish()
	if err := f.claim(ctx); err != nil {
		f.s.leave() // not ours yet: the will must not speak
		return err
	}
	f.resume(ctx, f.back.read(f.root+"self/watermark"))
	f.w = newWindow(f.s)
	defer f.w.close()
	f.waiting.infoStands(func(info []byte) bool { _, same := f.back.settle(f.root+"info", info); return same })
	if err := f.reconcileDevices(ctx); err != nil {
		return fmt.Errorf("compare the retained topics: %w", err)
	}
	if err := f.waiting.rival(); err != nil {
		return err
	}
	if err := f.sendState(ctx); err != nil {
		return err
	}
	if err := f.w.drain(ctx); err != nil {
		return err
	}
	if err := f.prove(ctx); err != nil || f.test.denied != "" {
		return err
	}
	if err := f.cleanFormer(ctx); err != nil {
		return fmt.Errorf("retract what lies under a former topic: %w", err)
	}
	if f.shut = time.Now().Before(f.poison.shut); f.shut {
		f.link.note(LinkDenied, fmt.Errorf("the connection is closed on every message on %sevent: %w", f.root, errDenied))
		return nil
	}
	f.link.note(LinkConnected, nil)
	return nil
}

// prove makes sure that what was published got through: a broker acknowledges
// what its access list forbids, and drops it.
func (f *outflow) prove(ctx context.Context) error {
	if f.dropped {
		f.deny(f.loopback())
		return nil
	}
	for until := time.Now().Add(f.echoWait); ; {
		if err := f.fence(ctx); err != nil { // what is behind the state is here when this ends
			return err
		}
		waits, _ := f.echoes.waits(f.root + "state")
		if !waits {
			break
		}
		if time.Now().After(until) {
			f.deny(f.root + "state")
			return nil
		}
		sleep(ctx, f.echoWait/10) // not every broker keeps the order between topics
	}
	if f.test.deaf {
		f.deny(f.root + "event")
		return nil
	}
	there, err := f.shownThere(ctx)
	if err == nil && !there {
		f.deny(f.shown.topic)
	}
	return err
}

// claim reads our own topics but the devices', and makes sure that they are
// ours. It stays subscribed to `state`, to see another agent come up, and to
// the topic that ends a reading.
func (f *outflow) claim(ctx context.Context) error {
	if err := f.s.subscribe(ctx, []string{f.loopback(), f.root + "state"}); err != nil {
		return err
	}
	if err := f.readTopics(ctx, []string{f.root + "info", f.root + "site", f.root + "self/watermark"}); err != nil {
		return err
	}
	if f.foreign(f.back.read(f.root + "state")) {
		return errConflict
	}
	return f.listen(ctx)
}

// reconcileDevices compares the devices' topics, and the site's. One
// subscription gets all of them, as far as the broker's queue holds them; what
// it did not hold is looked up by name. Strays are searched for until there are
// few: those retracted make room in the queue.
func (f *outflow) reconcileDevices(ctx context.Context) error {
	for before := math.MaxInt; ; {
		if err := f.readTopics(ctx, []string{f.root + "device/+"}); err != nil {
			return err
		}
		if err := f.adopt(ctx); err != nil {
			return err
		}
		// A broker queues more than that: fewer are all that there are.
		complete := f.dropped || f.back.count() < lookedUpAtOnce
		if err := f.compare(ctx, complete); err != nil || !f.unread.IsZero() {
			return err
		}
		strays := f.back.strays()
		if err := f.retract(ctx, strays); err != nil {
			return err
		}
		if err := f.w.drain(ctx); err != nil || len(strays) < manyStrays {
			return err
		}
		if len(strays) >= before { // as many as before: the broker drops what retracts them
			f.dropped = true
			return nil
		}
		before = len(strays)
	}
}

// adopt offers what the broker retains of the devices to whoever lost it.
func (f *outflow) adopt(ctx context.Context) error {
	if f.opts.Adopt == nil {
		return nil
	}
	prefix := f.root + "device/"
	offer := func(kept []stray) (taken bool) {
		for _, k := range kept {
			if id, ok := UnescapeID(strings.TrimPrefix(k.topic, prefix)); ok && f.opts.Adopt(ctx, id, k.body) {
				taken = true
			}
		}
		return taken
	}
	kept, bare := f.back.kept(prefix)
	if !offer(kept) {
		return nil
	}
	for batch := range slices.Chunk(bare, lookedUpAtOnce) {
		f.back.letGo()
		if err := f.readTopics(ctx, batch); err != nil {
			return err
		}
		kept, _ := f.back.kept(prefix)
		offer(kept)
	}
	return nil
}

// cannotRead puts comparing off: a store that cannot be read must not take the
// connection down that says so.
func (f *outflow) cannotRead(err error) {
	f.unread = time.Now().Add(storeAgain)
	f.tellStore("compare what is retained", err)
}

// compare publishes what is missing or differs. Where the broker may have more
// than it sent, what is missing is looked up first.
func (f *outflow) compare(ctx context.Context, complete bool) error {
	var missing []message
	var failed error // of the connection, and not of the store
	err := f.opts.Snapshots(ctx, func(snap diagnose.Snapshot) error {
		m := message{topic: f.topicOf(snap.Device), retained: true}
		body, err := snap.Encode(f.opts.Gateway, f.opts.Words())
		m.payload = body
		found, same := f.back.settle(m.topic, body)
		if err != nil {
			f.opts.Log.Error("a snapshot is not published", "err", err)
			return nil
		}
		switch {
		case same:
			return nil
		case found || complete:
			failed = f.show(ctx, m, nil)
			return failed
		}
		if missing = append(missing, m); len(missing) < lookedUpAtOnce {
			return nil
		}
		failed = f.lookUp(ctx, missing)
		missing = missing[:0]
		return failed
	})
	switch {
	case err == nil:
		return f.lookUp(ctx, missing)
	case failed != nil || ctx.Err() != nil:
		return err
	}
	f.cannotRead(err)
	return nil
}

// lookUp asks for topics by name, and publishes what is missing or differs.
func (f *outflow) lookUp(ctx context.Context, missing []message) error {
	if len(missing) == 0 {
		return nil
	}
	topics := make([]string, len(missing))
	for i, m := range missing {
		topics[i] = m.topic
	}
	if err := f.readTopics(ctx, topics); err != nil {
		return err
	}
	for _, m := range missing {
		if _, same := f.back.settle(m.topic, m.payload); same {
			continue
		}
		if err := f.show(ctx, m, nil); err != nil {
			return err
		}
	}
	return nil
}

// retract ends the topics of devices that are not known any more: they are
// first published as cleared, for consumers that only see states, then
// emptied.
func (f *outflow) retract(ctx context.Context, strays []stray) error {
	for _, stray := range strays {
		cleared, ok := retracted(stray.body)
		if stray.body == nil {
			cleared, ok = f.bare(stray.topic)
		}
		if ok {
			if err := f.post(ctx, message{stray.topic, cleared, true}, suspect{}, nil); err != nil {
				return err
			}
		}
		if err := f.post(ctx, message{stray.topic, nil, true}, suspect{}, nil); err != nil {
			return err
		}
	}
	return nil
}

// retracted is a snapshot with everything in it cleared; false when the body
// is no snapshot.
func retracted(body []byte) ([]byte, bool) {
	var s diagnose.SnapshotJSON
	if json.Unmarshal(body, &s) != nil || s.Schema != diagnose.Schema {
		return nil, false
	}
	now := diagnose.Stamp{Time: time.Now()}
	s.Health, s.Action, s.UpdatedAt = diagnose.HealthOK, diagnose.ActNone, now
	for i := range s.Diagnoses {
		d := &s.Diagnoses[i].Diagnosis
		if d.Open() {
			d.Status, d.ClearedAt, d.ClearedBy, d.Stale = diagnose.Cleared, now, diagnose.ByRetired, false
		}
	}
	out, err := json.Marshal(s)
	return out, err == nil
}

// bare is a snapshot that lists nothing, for a topic whose body was too much
// to keep.
func (f *outflow) bare(topic string) ([]byte, bool) {
	_, level, found := strings.Cut(topic, "/device/")
	device, ok := UnescapeID(level)
	if !found || !ok {
		return nil, false
	}
	out, err := json.Marshal(diagnose.SnapshotJSON{
		Schema: diagnose.Schema, Gateway: f.opts.Gateway, Device: diagnose.DeviceID(device),
		Health: diagnose.HealthOK, Action: diagnose.ActNone, UpdatedAt: diagnose.Stamp{Time: time.Now()},
		Diagnoses: []diagnose.DiagnosisJSON{},
	})
	return out, err == nil
}
