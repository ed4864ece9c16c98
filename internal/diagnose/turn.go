package diagnose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// turn gathers what one turn brings about.
type turn struct {
	loop    *Loop
	now     time.Time
	started time.Time // for how long it takes
	took    []Delivery
	oldest  time.Duration // when the oldest of took came, by the inbox's clock
	asked   chan error
	answers []Response
	changes []Change
	touched map[string]struct{}
	order   []string // of touched and kept devices
	shown   map[string]struct{}
	batch   Batch
	commit  time.Duration
	last    []Snapshot
}

// begin reads the clock, once for the turn, and lets the engine follow where it
// jumped.
func (t *turn) begin() {
	t.started = time.Now()
	l := t.loop
	if l.opts.Clock == nil {
		t.now = l.opts.Now()
		return
	}
	r := l.opts.Clock()
	t.now = r.Now
	if r.Step != 0 {
		l.owed += r.Step
		t.add(l.opts.Engine.Shift(r.Now, r.Step))
	}
	l.opts.Engine.SetClockSuspect(r.Suspect)
}

// forget drops what the turn gathered so far.
func (t *turn) forget() { *t = turn{loop: t.loop, now: t.now, started: t.started} }

// drain takes what has arrived, up to a batch. A removal ends the batch:
// the same id may come back with the next message, as another device.
func (t *turn) drain() {
	for len(t.took) < batchSize && len(t.batch.Removed) == 0 {
		p, ok := t.loop.inbox.take()
		if !ok {
			return
		}
		if len(t.took) == 0 || p.since < t.oldest {
			t.oldest = p.since
		}
		t.take(p.Delivery)
	}
}

// take steps the engine with one delivery.
func (t *turn) take(d Delivery) {
	t.took = append(t.took, d)
	answer := Response{}
	switch {
	case d.Refused != nil:
		t.loop.opts.Refused(*d.Refused)
	case d.Request != nil:
		out, err := t.loop.opts.Engine.Decide(t.now, *d.Request)
		t.add(out)
		answer = Response{Transaction: d.Request.Transaction, OK: err == nil}
		if err != nil {
			answer.Error = err.Error()
		}
	case d.Observation != nil:
		out := t.loop.opts.Engine.Observe(t.now, encodable(*d.Observation))
		if out.Refused != "" {
			t.loop.opts.Refused(RefusedInput{
				At: t.now, Topic: d.Observation.Device, Source: d.Observation.Source, Reason: out.Refused,
			})
		}
		t.add(out)
	}
	t.answers = append(t.answers, answer)
}

// encodable drops a payload's own time that cannot be stored and read again,
// whoever read the payload: it is a hint, and is not to stop the rest.
func encodable(o Observation) Observation {
	if o.SourceTS != nil && !digits(o.SourceTS) && !json.Valid(o.SourceTS) {
		o.SourceTS = nil
	}
	if !writable(o.Reported) {
		o.Reported = time.Time{}
	}
	return o
}

// add gathers an outcome.
func (t *turn) add(out Outcome) {
	t.changes = append(t.changes, out.Changes...)
	t.batch.Removed = append(t.batch.Removed, out.Removed...)
	t.last = append(t.last, out.Last...)
	for condition, sd := range out.SiteWide {
		if t.batch.SiteWide == nil {
			t.batch.SiteWide = make(map[string]*SiteDecisions)
		}
		t.batch.SiteWide[condition] = sd
	}
	for _, id := range out.Touched {
		t.mark(id)
		t.shown[id] = struct{}{}
	}
	for _, id := range out.Kept {
		t.mark(id)
	}
}

func (t *turn) mark(id string) {
	if t.touched == nil {
		t.touched = make(map[string]struct{})
		t.shown = make(map[string]struct{})
	}
	if _, ok := t.touched[id]; !ok {
		t.touched[id] = struct{}{}
		t.order = append(t.order, id)
	}
}

// finish makes the turn durable, publishes it, and lets it be acknowledged.
func (t *turn) finish(ctx context.Context) error {
	o := &t.loop.opts
	pub := t.assemble()
	if !t.batch.Empty() {
		start := time.Now()
		// A stop must not tear a batch: what is decided is committed.
		if err := o.Journal.Commit(context.WithoutCancel(ctx), &t.batch); err != nil {
			return fmt.Errorf("make %d changes durable: %w", len(t.changes), err)
		}
		t.commit = max(time.Since(start), 1) // zero says that nothing was stored
	}
	t.loop.owed = 0
	t.tell(pub)
	return nil
}

// tell publishes what is durable, and lets it be acknowledged.
func (t *turn) tell(pub Publication) {
	o := &t.loop.opts
	if !t.batch.Empty() || len(pub.Snapshots) > 0 {
		o.Publish(pub)
	}
	for i, d := range t.took {
		if d.Ack != nil {
			d.Ack()
		}
		if d.Respond != nil {
			d.Respond(t.answers[i])
		}
	}
	if t.asked != nil {
		t.asked <- nil
	}
	if cap(t.changes) <= 2*batchSize { // a reload may have changed every device
		clear(t.changes)
		t.loop.changes = t.changes
	}
	turn := Turn{
		Deliveries: len(t.took), Changes: len(t.changes), Devices: len(t.order), Commit: t.commit, Took: time.Since(t.started),
	}
	if len(t.took) > 0 {
		turn.Waited = time.Since(t.loop.inbox.made) - t.oldest
	}
	o.Turned(turn)
}

// assemble numbers the changes, encodes them once, and copies what is to be
// stored and shown.
func (t *turn) assemble() Publication {
	l := t.loop
	t.batch.Entries = make([]LogEntry, 0, len(t.changes))
	for i := range t.changes {
		entry, err := l.entry(&t.changes[i])
		if err != nil { // to end for it would be to end again with the next copy
			if l.opts.Unencodable != nil {
				l.opts.Unencodable(t.changes[i], err)
			}
			continue
		}
		t.batch.Entries = append(t.batch.Entries, entry)
	}
	t.batch.Devices = make([]DeviceRecord, 0, len(t.order))
	pub := Publication{
		Seq: l.seq, Removed: t.batch.Removed, Snapshots: append(make([]Snapshot, 0, len(t.last)+len(t.shown)), t.last...),
	}
	for _, id := range t.order {
		if rec, ok := l.opts.Engine.save(id); ok {
			t.batch.Devices = append(t.batch.Devices, rec)
		}
		if _, shown := t.shown[id]; !shown {
			continue
		}
		if s, ok := l.opts.Engine.Snapshot(id); ok {
			pub.Snapshots = append(pub.Snapshots, s)
		}
	}
	return pub
}

// entry gives a change its number and its bytes.
func (l *Loop) entry(c *Change) (LogEntry, error) {
	seq := l.seq + 1
	d := &c.Diagnosis
	ev := Event{
		Schema: Schema, EventID: l.opts.EventID(seq), Seq: seq, Epoch: l.opts.Epoch(),
		Type: c.Type, At: Stamp{c.At}, Diagnosis: d, ClockSuspect: c.ClockSuspect,
	}
	e := encoder{b: l.scratch[:0], words: l.opts.Words}
	e.event(&ev)
	if e.err != nil {
		return LogEntry{}, fmt.Errorf("encode event %d of condition %s: %w", seq, d.Condition, e.err)
	}
	l.scratch = e.b
	l.seq = seq
	return LogEntry{
		Seq: seq, At: c.At, Severity: d.Severity, Device: string(d.Device), Condition: d.Condition, Type: c.Type,
		EventID: ev.EventID, Body: bytes.Clone(e.b),
	}, nil
}
