package mqtt

import (
	"context"

	"fieldmedic/internal/diagnose"
)

// snapshotsAtOnce are sent before events are looked for again. Under load
// events go first: they are all to be sent, while snapshots of one device
// coalesce.
const snapshotsAtOnce = 64

// sendSnapshots sends the oldest of the waiting snapshots.
func (f *outflow) sendSnapshots(ctx context.Context) (bool, error) {
	batch := f.waiting.dequeue(snapshotsAtOnce)
	for i, o := range batch {
		if err := f.sendWaiting(ctx, o); err != nil {
			f.waiting.putBack(batch[i:])
			return false, err
		}
	}
	return f.waiting.more(), nil
}

func (f *outflow) sendWaiting(ctx context.Context, o *outgoing) error {
	topic := f.topicOf(o.snapshot.Device)
	if o.empty {
		if f.shown.topic == topic {
			f.shown.topic = ""
		}
		return f.post(ctx, message{topic: topic, retained: true}, suspect{}, nil)
	}
	if o.bare {
		snap, known, err := f.opts.Snapshot(ctx, string(o.snapshot.Device))
		if err != nil { // the store cannot be read: everything is compared when it can
			f.cannotRead(err)
			return nil
		}
		if !known {
			return nil // it is gone, and its topic is emptied
		}
		o = &outgoing{snapshot: snap}
	}
	room, ok := f.spare.Get().(*[]byte)
	if !ok {
		room = new([]byte)
	}
	body, err := o.snapshot.EncodeTo(*room, f.opts.Gateway, f.opts.Words())
	if err != nil {
		f.opts.Log.Error("a snapshot is not published", "err", err)
		return nil
	}
	// The broker has it: nobody reads these bytes any more.
	return f.show(ctx, message{topic, body, true}, func() { *room = body; f.spare.Put(room) })
}

// show sends a snapshot, unless the broker closed the connection on it before.
func (f *outflow) show(ctx context.Context, m message, done func()) error {
	if f.poison.bars(m) {
		return nil
	}
	f.shown.topic, f.shown.payload = m.topic, append(f.shown.payload[:0], m.payload...)
	return f.post(ctx, m, suspect{topic: m.topic, retained: true, size: len(m.payload), hash: f.poison.hash(m.payload)}, done)
}

// topicOf is the retained topic of a device, or of the site for the empty id.
func (p *Publisher) topicOf(id diagnose.DeviceID) string {
	if id == "" {
		return p.root + "site"
	}
	return p.root + "device/" + EscapeID(string(id))
}
