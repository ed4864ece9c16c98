package diagnose

import (
	"container/heap"
	"slices"
	"time"
)

// This file is how the engine lives with a clock that jumps: see
// docs/adr/0008-clock.md.

// SetClockSuspect tells whether the gateway's clock is to be believed. While it
// is not, nothing ends that ends at a time of day: no decision of a person runs
// out and no place of a silent device is given away; a payload's own time is
// compared with nothing; and changes are marked. To be called with the first
// reading of the clock, and whenever the answer changes; at a jump, after Shift.
func (e *Engine) SetClockSuspect(suspect bool) {
	e.unset = suspect && (e.unset || !e.clockKnown)
	e.clockKnown = true
	if suspect == e.suspect {
		return
	}
	e.suspect = suspect
	if suspect {
		return // the timers find nothing due
	}
	for _, d := range e.inOrder() {
		for _, p := range d.problems {
			if p.Diagnosis.Acknowledged != nil || p.Diagnosis.Ignored != nil {
				e.schedule(p)
			}
		}
	}
}

// Shift tells that the clock jumped by step, and shows now since. All that is
// running keeps the length that it has left, and all times that diagnoses tell
// move along, so that what happened a minute ago still did. A clock that jumps
// forth and back leaves nothing behind. The time until which a decision of a
// person holds is a time of day, and does not move.
//
// Where the clock was suspect from the start it was never set before, and what
// was restored was not stamped by it: only what came since moves then, and what
// would lie in the future.
//
// Every device that shows something is touched; the others are kept.
func (e *Engine) Shift(now time.Time, step time.Duration) Outcome {
	var out Outcome
	if step == 0 {
		return out
	}
	s := shift{step: step, now: now}
	if e.unset {
		s.from = e.started
	}
	e.clockKnown = true
	e.started, e.nextScan = s.time(e.started), s.time(e.nextScan)
	for i := range e.repeats {
		e.repeats[i].since = s.time(e.repeats[i].since)
	}
	for _, d := range e.inOrder() {
		s.device(d, &out)
	}
	for _, p := range e.timers {
		p.due = p.due.Add(step)
		if next := p.next(e.suspect); next.Before(p.due) {
			p.due = next
		}
	}
	heap.Init(&e.timers) // which moves nothing where all moved alike
	for condition, sd := range e.siteWide {
		moved := SiteDecisions{Acknowledged: s.decision(sd.Acknowledged), Ignored: s.decision(sd.Ignored)}
		if out.SiteWide == nil {
			out.SiteWide = make(map[string]*SiteDecisions)
		}
		out.SiteWide[condition] = e.keepSiteWide(condition, moved)
	}
	return out
}

// shift moves times by step; those before from stay, unless they would lie in
// the future. What copies share is replaced, and not written to.
type shift struct {
	step  time.Duration
	from  time.Time
	now   time.Time
	moved bool
}

func (s *shift) time(t time.Time) time.Time {
	if t.IsZero() || t.Before(s.from) && !t.After(s.now) {
		return t
	}
	s.moved = true
	return t.Add(s.step)
}

func (s *shift) stamp(t *Stamp) { t.Time = s.time(t.Time) }

func (s *shift) stamps(list []Stamp) []Stamp {
	list = slices.Clone(list)
	for i := range list {
		s.stamp(&list[i])
	}
	return list
}

// device moves all of a device but its timers.
func (s *shift) device(d *device, out *Outcome) {
	s.moved = false
	updated := d.updatedAt
	d.updatedAt, d.lastHeard = s.time(d.updatedAt), s.time(d.lastHeard)
	d.savedHeard, d.unsaved = s.time(d.savedHeard), s.time(d.unsaved)
	deviceMoved := s.moved
	shown := false
	for _, p := range d.problems {
		s.moved = false
		s.problem(p)
		p.dirty = p.dirty || s.moved
		deviceMoved = deviceMoved || s.moved
		shown = shown || s.moved && p.shown()
	}
	switch {
	case shown, s.step < 0 && d.updatedAt != updated:
		// A reader that goes by updated_at would take what comes after a step
		// back for old.
		out.Touched = append(out.Touched, d.id)
	case deviceMoved:
		out.Kept = append(out.Kept, d.id)
	}
}

func (s *shift) problem(p *problem) {
	p.heldFrom, p.lastAt, p.openedAt = s.time(p.heldFrom), s.time(p.lastAt), s.time(p.openedAt)
	s.stamp(&p.SpacedAt)
	p.Openings, p.Recent = s.stamps(p.Openings), s.stamps(p.Recent)
	p.Pending, p.latest = s.observation(p.Pending), s.observation(p.latest)
	d := &p.Diagnosis
	for _, t := range []*Stamp{&d.FirstSeen, &d.LastSeen, &d.LastOK, &d.ClearedAt} {
		s.stamp(t)
	}
	if f := d.Flapping; f != nil {
		d.Flapping = &Flapping{Since: Stamp{s.time(f.Since.Time)}, Changes: f.Changes}
	}
	d.Acknowledged, d.Ignored = s.decision(d.Acknowledged), s.decision(d.Ignored)
	d.Evidence, d.Notes = slices.Clone(d.Evidence), slices.Clone(d.Notes)
	for i := range d.Evidence {
		s.stamp(&d.Evidence[i].At)
	}
	for i := range d.Notes {
		s.stamp(&d.Notes[i].At)
	}
}

func (s *shift) decision(dec *Decision) *Decision {
	if dec == nil {
		return nil
	}
	moved := *dec
	s.stamp(&moved.At)
	return &moved
}

// observation moves the payload's own time along, too: what lies between the
// two was measured before the jump.
func (s *shift) observation(o *Observation) *Observation {
	if o == nil {
		return nil
	}
	moved := *o
	moved.At = s.time(o.At)
	if moved.At != o.At && !o.Reported.IsZero() {
		moved.Reported = o.Reported.Add(s.step)
	}
	return &moved
}

// Reset empties the engine, for Restore: what it knows of devices, and what
// people decided, is forgotten. What it was told to work with stays: options,
// rules, names of sources, ids of the inventory, and how the clock stands.
func (e *Engine) Reset() {
	e.devices = make(map[string]*device)
	e.siteWide = make(map[string]*SiteDecisions)
	e.own = nil
	e.timers, e.repeats = nil, nil
	e.nextScan = time.Time{}
}
