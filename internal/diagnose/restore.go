package diagnose

import (
	"maps"
	"slices"
	"time"
)

// This file is what goes in and out of the engine whole: restored state, a new
// rule set, and copies for the store and the publisher.

// Restore gives a fresh engine what the store kept. Open diagnoses are stale
// until a live report comes; quiet times start anew, for nobody listened while
// the agent was away.
//
// What an earlier Inventory told still holds, for Restore after Reset.
//
// The outcome touches every device that has something open, for its snapshot
// says stale now, and retires conditions whose rule is gone.
func (e *Engine) Restore(now time.Time, r Restored) Outcome {
	var out Outcome
	maps.Copy(e.siteWide, r.SiteWide)
	if e.started.IsZero() {
		e.started = now
	}
	for i := range r.Devices {
		rec := &r.Devices[i]
		d := &device{
			id: rec.ID, sources: rec.Sources, lastHeard: rec.LastHeard.Time, savedHeard: rec.LastHeard.Time,
			updatedAt: rec.UpdatedAt.Time, heard: rec.heard(), facts: rec.Facts, inventory: e.listed[rec.ID],
			problems: make([]*problem, 0, len(rec.Problems)),
		}
		for _, kept := range rec.Problems {
			e.restoreProblem(now, d, kept)
		}
		if d.id == "" {
			e.own = d
		} else {
			e.devices[d.id] = d
		}
		e.adoptRules(now, d, &out)
		if d.anyOpen() {
			e.touch(now, d, &out)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.listed)) {
		if e.devices[id] == nil {
			d := &device{id: id, inventory: true}
			e.devices[id] = d
			e.touch(now, d, &out)
		}
	}
	return out
}

func (e *Engine) restoreProblem(now time.Time, d *device, kept Problem) {
	p := &problem{Problem: kept, dev: d}
	p.lastAt, p.openedAt, p.heldFrom, p.held = now, now, now, 1
	d.problems = append(d.problems, p)
	if p.open() {
		p.Diagnosis.Stale = true
		p.dirty = true
	} else if p.Diagnosis.Status == Cleared {
		p.hidden = now.Sub(p.Diagnosis.ClearedAt.Time) >= ClearedShown
	}
}

// SetRules swaps the rule set. A condition whose rule is gone is retired;
// others are judged by the new rule from now on. Every device that shows
// something is touched, for its words may be new.
func (e *Engine) SetRules(now time.Time, rules Rulebook) Outcome {
	var out Outcome
	e.opts.Rules = rules
	for _, d := range e.inOrder() {
		e.adoptRules(now, d, &out)
		if slices.ContainsFunc(d.problems, (*problem).shown) {
			e.touch(now, d, &out)
		}
	}
	return out
}

func (e *Engine) adoptRules(now time.Time, d *device, out *Outcome) {
	set := d.openSet
	for _, p := range d.problems {
		e.adoptRule(now, p, out)
	}
	if d.openSet != set {
		e.reconsider(now, d, out)
	}
}

func (e *Engine) adoptRule(now time.Time, p *problem, out *Outcome) {
	p.rule = e.opts.Rules.Rule(p.Diagnosis.Condition)
	switch {
	case p.rule == nil:
		p.dirty = p.dirty || p.Pending != nil
		p.Pending, p.latest = nil, nil
		p.rule = &Rule{Condition: p.Diagnosis.Condition}
		if p.open() {
			e.close(now, p, ByRetired, out)
		}
	case p.open():
		before := p.Diagnosis
		p.Diagnosis.Rule, p.Diagnosis.Scope = p.rule.Ref, p.scope()
		p.Diagnosis.Kind, p.Diagnosis.Audience = p.rule.Kind, p.rule.Audience
		p.Diagnosis.Severity = p.rule.EarlySeverity
		if p.Diagnosis.Status == Confirmed {
			p.Diagnosis.Severity = p.rule.Severity
		}
		p.rerank()
		if p.Told && p.Diagnosis.differs(&before) {
			e.change(Changed, now, p, out)
			e.moved(now, p, out)
		} else if before.Rule != p.rule.Ref {
			e.moved(now, p, out)
		}
	}
	e.schedule(p)
}

// Snapshot is a copy of what is to be shown of a device, or with the empty id
// of the agent and the site; false when it is not known.
func (e *Engine) Snapshot(id string) (Snapshot, bool) {
	d := e.device(id)
	if d == nil {
		return Snapshot{}, false
	}
	return d.snapshot(d.updatedAt), true
}

// shown tells that a snapshot lists the problem.
func (p *problem) shown() bool { return p.open() || p.Diagnosis.Status == Cleared && !p.hidden }

func (d *device) snapshot(at time.Time) Snapshot {
	s := Snapshot{Device: DeviceID(d.id), UpdatedAt: at, Heard: d.heard}
	n := 0
	for _, p := range d.problems {
		if p.shown() {
			n++
		}
	}
	s.Diagnoses = make([]Diagnosis, 0, n)
	for _, p := range d.problems {
		if p.shown() {
			s.Diagnoses = append(s.Diagnoses, p.Diagnosis)
		}
	}
	Sort(s.Diagnoses)
	return s
}

// Record is a copy of everything that is kept of a device; false when it is
// not known.
func (e *Engine) Record(id string) (DeviceRecord, bool) {
	d := e.device(id)
	if d == nil {
		return DeviceRecord{}, false
	}
	rec := d.record()
	for _, p := range d.problems {
		rec.Problems = append(rec.Problems, p.Problem)
	}
	return rec, true
}

// save is what of a device is not stored yet; false when it is not known. The
// caller stores it, or the engine must not be used any more.
func (e *Engine) save(id string) (DeviceRecord, bool) {
	d := e.device(id)
	if d == nil {
		return DeviceRecord{}, false
	}
	rec := d.record()
	for _, p := range d.problems {
		if p.dirty {
			p.dirty = false
			rec.Problems = append(rec.Problems, p.Problem)
		}
	}
	rec.Gone, d.gone = d.gone, nil
	d.savedHeard = d.lastHeard
	return rec, true
}

func (d *device) record() DeviceRecord {
	return DeviceRecord{
		ID: d.id, Sources: slices.Clone(d.sources), LastHeard: Stamp{d.lastHeard},
		UpdatedAt: Stamp{d.updatedAt}, Facts: d.facts,
	}
}

// heard tells that the device spoke: a source has it, or it is the agent.
func (r *DeviceRecord) heard() bool { return len(r.Sources) > 0 || r.ID == "" }

// Snapshot is what a record shows at a time: open problems, and those that
// ended of late. It is how those who read the store see a device.
func (r *DeviceRecord) Snapshot(now time.Time) Snapshot {
	s := Snapshot{Device: DeviceID(r.ID), UpdatedAt: r.UpdatedAt.Time, Heard: r.heard()}
	for i := range r.Problems {
		d := &r.Problems[i].Diagnosis
		if d.Status == "" || !d.Open() && now.Sub(d.ClearedAt.Time) >= ClearedShown {
			continue
		}
		s.Diagnoses = append(s.Diagnoses, *d)
	}
	Sort(s.Diagnoses)
	return s
}
