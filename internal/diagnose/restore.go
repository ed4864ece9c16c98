package diagnose

import (
	"maps"
	"slices"
	"time"
)

// This file is what goes in and out of the engine whole: restored state, a new
// rule set, the inventory, and copies for the store and the publisher.

// Restore gives a fresh engine what the store kept. Open diagnoses are stale
// until a live report comes; quiet times start anew, for nobody listened while
// the agent was away.
//
// The outcome touches every device that has something open, for its snapshot
// says stale now, and retires conditions whose rule is gone.
func (e *Engine) Restore(now time.Time, r Restored) Outcome {
	var out Outcome
	for condition, sd := range r.SiteWide {
		e.siteWide[condition] = sd
	}
	for i := range r.Devices {
		rec := &r.Devices[i]
		d := &device{
			id: rec.ID, sources: rec.Sources, lastHeard: rec.LastHeard.Time, updatedAt: rec.UpdatedAt.Time,
			heard: len(rec.Sources) > 0, facts: rec.Facts,
		}
		for _, kept := range rec.Problems {
			e.restoreProblem(now, d, kept)
		}
		e.devices[d.id] = d
		for _, p := range d.problems {
			e.adoptRule(now, p, &out)
		}
		if d.anyOpen() {
			e.touch(now, d, &out)
		}
	}
	return out
}

func (e *Engine) restoreProblem(now time.Time, d *device, kept Problem) {
	p := &problem{Problem: kept, dev: d}
	p.lastAt, p.openedAt, p.heldFrom = now, now, now
	d.problems = append(d.problems, p)
	if p.open() {
		p.Diagnosis.Stale = true
		p.rankedFor.order = orderOf(p.Diagnosis.Causes)
	} else {
		p.hidden = now.Sub(p.Diagnosis.ClearedAt.Time) >= ClearedShown
	}
}

// SetRules swaps the rule set. A condition whose rule is gone is retired;
// others are judged by the new rule from now on.
func (e *Engine) SetRules(now time.Time, rules Rulebook) Outcome {
	var out Outcome
	e.opts.Rules = rules
	for _, id := range e.ids() {
		for _, p := range e.devices[id].problems {
			e.adoptRule(now, p, &out)
		}
	}
	return out
}

func (e *Engine) adoptRule(now time.Time, p *problem, out *Outcome) {
	p.rule = e.opts.Rules.Rule(p.Diagnosis.Condition)
	switch {
	case p.rule == nil:
		p.Pending = nil
		p.rule = &Rule{Condition: p.Diagnosis.Condition}
		if p.open() {
			e.close(now, p, ByRetired, out)
		}
	case p.open():
		before, ref := p.face(), p.Diagnosis.Rule
		p.Diagnosis.Rule = p.rule.Ref
		p.Diagnosis.Kind, p.Diagnosis.Audience = p.rule.Kind, p.rule.Audience
		p.Diagnosis.Severity = p.rule.EarlySeverity
		if p.Diagnosis.Status != Suspected {
			p.Diagnosis.Severity = p.rule.Severity
		}
		p.rerank(nil)
		if p.Told && p.face() != before {
			out.Changes = append(out.Changes, p.change(Changed, now))
			e.touch(now, p.dev, out)
		} else if ref != p.rule.Ref {
			e.touch(now, p.dev, out)
		}
	}
	e.schedule(now, p)
}

// Inventory makes the engine know devices that may never have spoken; they
// are never given up for others.
func (e *Engine) Inventory(now time.Time, ids []string) Outcome {
	var out Outcome
	for _, id := range ids {
		d := e.devices[id]
		if d == nil {
			d = &device{id: id}
			e.devices[id] = d
			e.touch(now, d, &out)
		}
		d.inventory = true
	}
	return out
}

// ids lists the known devices in a stable order.
func (e *Engine) ids() []string { return slices.Sorted(maps.Keys(e.devices)) }

// Devices counts the known devices.
func (e *Engine) Devices() int { return len(e.devices) }

// Snapshot is a copy of what is to be shown of a device; false when it is not
// known.
func (e *Engine) Snapshot(id string) (Snapshot, bool) {
	d := e.devices[id]
	if d == nil {
		return Snapshot{}, false
	}
	return d.snapshot(d.updatedAt), true
}

func (d *device) snapshot(at time.Time) Snapshot {
	s := Snapshot{Device: DeviceID(d.id), UpdatedAt: at, Heard: d.heard}
	for _, p := range d.problems {
		if p.open() || p.Diagnosis.Status == Cleared && !p.hidden {
			s.Diagnoses = append(s.Diagnoses, p.Diagnosis)
		}
	}
	Sort(s.Diagnoses)
	return s
}

// Record is a copy of what is to be stored of a device; false when it is not
// known. Problems that ended long ago and did not change are left out.
func (e *Engine) Record(id string) (DeviceRecord, bool) {
	d := e.devices[id]
	if d == nil {
		return DeviceRecord{}, false
	}
	rec := DeviceRecord{
		ID: d.id, Sources: slices.Clone(d.sources), LastHeard: Stamp{d.lastHeard},
		UpdatedAt: Stamp{d.updatedAt}, Facts: d.facts,
	}
	for _, p := range d.problems {
		if p.hidden && !p.decided || p.Diagnosis.Status == "" && len(p.Openings) == 0 {
			continue // stored before, or nothing to store
		}
		p.decided = false
		rec.Problems = append(rec.Problems, p.Problem)
	}
	return rec, true
}

// Snapshot is what a record shows at a time: open problems, and those that
// ended of late. It is how those who read the store see a device.
func (r *DeviceRecord) Snapshot(now time.Time) Snapshot {
	s := Snapshot{Device: DeviceID(r.ID), UpdatedAt: r.UpdatedAt.Time, Heard: len(r.Sources) > 0}
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
