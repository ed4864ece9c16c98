package mqtt

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"fieldmedic/internal/diagnose"
)

// errDropped says that the broker acknowledges and drops what we publish, or
// does not let us read it.
var errDropped = fmt.Errorf("our own message on self/loopback does not come back: %w", errDenied)

// reconcile makes the retained topics what the store says: what is missing or
// differs is published, what is nobody's is retracted, and the rest is left
// alone. Only then `online` is said. Nothing is overwritten while another
// agent is online under our id.
func (f *outflow) reconcile(ctx context.Context) error {
	found, err := f.read(ctx)
	if err == nil && f.foreign(found.state) {
		err = errConflict
	}
	if err != nil {
		f.s.leave() // not ours yet: the will must not speak
		return err
	}
	f.resume(found.mark)
	f.w = newWindow(f.s)
	defer f.w.close()
	f.waiting.infoStands(func(info []byte) bool { return found.same(f.root+"info", info) })
	delete(found.hashes, f.root+"info")
	if err := f.compare(ctx, found); err != nil {
		return fmt.Errorf("compare the retained topics: %w", err)
	}
	if err := f.retract(ctx, found); err != nil {
		return err
	}
	if err := f.waiting.rival(); err != nil {
		return err
	}
	if err := f.w.send(ctx, message{f.root + "state", f.state(true), true}, nil); err != nil {
		return err
	}
	if err := f.w.drain(ctx); err != nil {
		return err
	}
	if !found.complete {
		f.link.note(LinkDenied, errDropped)
		return nil
	}
	f.link.note(LinkConnected, nil)
	return nil
}

// compare publishes what is missing or differs, and leaves in found what
// nobody knows.
func (f *outflow) compare(ctx context.Context, found *retained) error {
	return f.opts.Snapshots(ctx, func(snap diagnose.Snapshot) error {
		topic := f.topicOf(snap.Device)
		body, err := snap.Encode(f.opts.Gateway, f.opts.Words())
		if err != nil {
			f.opts.Log.Error("a snapshot is not published", "err", err)
			delete(found.hashes, topic)
			return nil
		}
		same := found.same(topic, body)
		delete(found.hashes, topic)
		if same {
			return nil
		}
		return f.w.send(ctx, message{topic, body, true}, nil)
	})
}

// retract ends the topics of devices that are not known any more: they are
// first published as cleared, for consumers that only see states, then
// emptied.
func (f *outflow) retract(ctx context.Context, found *retained) error {
	topics := make([]string, 0, len(found.hashes))
	for topic := range found.hashes {
		topics = append(topics, topic)
	}
	slices.Sort(topics)
	for _, topic := range topics {
		body, kept := found.bodies[topic]
		cleared, ok := retracted(body)
		if !kept {
			cleared, ok = f.bare(topic)
		}
		if ok {
			if err := f.w.send(ctx, message{topic, cleared, true}, nil); err != nil {
				return err
			}
		}
		if err := f.w.send(ctx, message{topic, nil, true}, nil); err != nil {
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
	device, ok := UnescapeID(strings.TrimPrefix(topic, f.root+"device/"))
	if !ok {
		return nil, false
	}
	out, err := json.Marshal(diagnose.SnapshotJSON{
		Schema: diagnose.Schema, Gateway: f.opts.Gateway, Device: diagnose.DeviceID(device),
		Health: diagnose.HealthOK, Action: diagnose.ActNone, UpdatedAt: diagnose.Stamp{Time: time.Now()},
		Diagnoses: []diagnose.DiagnosisJSON{},
	})
	return out, err == nil
}
