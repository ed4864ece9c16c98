package diagnose

import (
	"maps"
	"slices"
	"time"
)

// This file is how devices come and go: admitted, heard, removed, evicted.

const (
	// heardEvery is how often the time a device was last heard is stored when
	// nothing else of it changes: page and command line, which read the store,
	// and a restart must not take a quiet, healthy device for a silent one.
	heardEvery = time.Hour
	// maxConditions bounds the identities kept of one device: a device that
	// sends random codes must not fill the memory. The vendor's list has 193.
	maxConditions = 256
	// maxWithUnknown is the bound for codes that no rule knows, so that a
	// flood of them leaves room for the known ones.
	maxWithUnknown = maxConditions / 2
)

// admit makes room for a new device, or answers nil when there is none.
func (e *Engine) admit(now time.Time, id string, out *Outcome) *device {
	if len(e.devices) >= e.opts.MaxDevices && !e.evict(now, out) {
		return nil
	}
	d := &device{id: id}
	e.devices[id] = d
	return d
}

// evict frees the places of devices that nobody heard for a week and that
// have nothing open. A full site under a flood of new ids must not pay a scan
// for each of them, so it looks once a minute at most.
func (e *Engine) evict(now time.Time, out *Outcome) bool {
	if e.suspect || now.Before(e.nextScan) {
		return false // a week cannot be told by a clock that jumped
	}
	e.nextScan = now.Add(evictEvery)
	for _, id := range e.ids() {
		d := e.devices[id]
		if !d.inventory && now.Sub(d.lastHeard) > ForgetAfter && !d.anyOpen() {
			e.remove(d, out)
		}
	}
	return len(e.devices) < e.opts.MaxDevices
}

func (d *device) anyOpen() bool {
	return slices.ContainsFunc(d.problems, func(p *problem) bool { return p.open() || p.Pending != nil })
}

// hear notes that the device spoke, and by which source. A retained message
// makes the device known, but it was not heard by it.
func (e *Engine) hear(now time.Time, d *device, o *Observation, out *Outcome) {
	if d == e.own {
		e.hearOwn(now, o)
		return
	}
	if !slices.Contains(d.sources, o.Source) {
		d.sources = append(d.sources, o.Source)
		e.touch(now, d, out)
	}
	if !d.heard {
		d.heard = true
		e.touch(now, d, out)
	}
	if !o.Retained || d.lastHeard.IsZero() {
		d.lastHeard = now
	}
	if d.lastHeard.Sub(d.savedHeard) >= heardEvery {
		d.savedHeard = d.lastHeard
		out.Kept = append(out.Kept, d.id)
	}
	if o.Facts != (Facts{}) {
		d.facts = d.facts.with(o.Facts)
	}
}

// with returns f with what newer tells laid over it.
func (f Facts) with(newer Facts) Facts {
	lay := func(to *string, from string) {
		if from != "" {
			*to = from
		}
	}
	lay(&f.DID, newer.DID)
	lay(&f.PID, newer.PID)
	lay(&f.MAC, newer.MAC)
	lay(&f.IP, newer.IP)
	lay(&f.Model, newer.Model)
	lay(&f.FW, newer.FW)
	return f
}

// leave takes a source off a device; with none left the device is retired. A
// source that is not configured any more has nothing left to say.
func (e *Engine) leave(now time.Time, d *device, source string, out *Outcome) {
	left := slices.DeleteFunc(slices.Clone(d.sources), func(s string) bool {
		return s == source || e.sources != nil && !slices.Contains(e.sources, s)
	})
	if len(left) == len(d.sources) {
		return // it was not there
	}
	d.sources = left
	if len(left) > 0 {
		e.touch(now, d, out)
		return
	}
	e.retire(now, d, out)
}

// retire clears what is open on a device and lets it go. A device of the
// inventory keeps its place and its snapshot, as one that was never heard.
func (e *Engine) retire(now time.Time, d *device, out *Outcome) {
	for _, p := range d.problems {
		if p.Pending != nil {
			p.Pending, p.latest = nil, nil
			p.dirty = true
		}
		if p.open() {
			e.close(now, p, ByRetired, out)
		}
	}
	e.touch(now, d, out)
	if d.inventory {
		d.sources, d.heard = nil, false
		return
	}
	e.remove(d, out)
}

// remove forgets a device. The last snapshot, which tells what was cleared,
// goes with the outcome, for the engine cannot be asked any more.
func (e *Engine) remove(d *device, out *Outcome) {
	delete(e.devices, d.id)
	d.unsaved = time.Time{}
	for _, p := range d.problems {
		e.unschedule(p)
	}
	gone := func(id string) bool { return id == d.id }
	out.Touched = slices.DeleteFunc(out.Touched, gone)
	out.Kept = slices.DeleteFunc(out.Kept, gone)
	out.Removed = append(out.Removed, d.id)
	out.Last = append(out.Last, d.snapshot(d.updatedAt))
}

// room makes place for one more identity of a device; false when there is
// none. The one that ended first, is not shown any more and bears no word of a
// person is given up.
func (e *Engine) room(d *device, m Match) bool {
	limit := maxConditions
	if !m.Known {
		limit = maxWithUnknown
	}
	if len(d.problems) < limit {
		return true
	}
	victim := -1
	for i, p := range d.problems {
		if !p.shown() && p.Pending == nil && !p.spokenOf() &&
			(victim < 0 || p.Diagnosis.ClearedAt.Before(d.problems[victim].Diagnosis.ClearedAt.Time)) {
			victim = i
		}
	}
	if victim < 0 {
		return false
	}
	p := d.problems[victim]
	e.unschedule(p)
	d.problems = slices.Delete(d.problems, victim, victim+1)
	d.gone = append(d.gone, p.Diagnosis.Condition)
	return true
}

// spokenOf tells that a person left a word on it, which must not be lost.
func (p *problem) spokenOf() bool {
	d := &p.Diagnosis
	return d.Acknowledged != nil || d.Ignored != nil || len(d.Notes) > 0
}

// touch marks that the device's snapshot differs now.
func (e *Engine) touch(now time.Time, d *device, out *Outcome) {
	d.updatedAt = now
	d.unsaved = time.Time{}
	if n := len(out.Touched); n == 0 || out.Touched[n-1] != d.id {
		out.Touched = append(out.Touched, d.id)
	}
}

// moved marks that a problem changed, and with it the device's snapshot.
func (e *Engine) moved(now time.Time, p *problem, out *Outcome) {
	p.dirty = true
	e.touch(now, p.dev, out)
}

// keep marks that a problem must be stored although the snapshot is the same.
func (e *Engine) keep(p *problem, out *Outcome) {
	p.dirty = true
	out.Kept = append(out.Kept, p.dev.id)
}

// count marks that only counters and times moved: they are saved later.
func (e *Engine) count(now time.Time, p *problem) {
	p.dirty = true
	if d := p.dev; d.unsaved.IsZero() {
		d.unsaved = now
		e.repeats = append(e.repeats, repeat{d: d, since: now})
	}
}

// Inventory tells the engine the whole list of devices that it knows whether
// they spoke or not; they are never given up for others. A device that leaves
// the list and never spoke is removed. Those that the limit of devices leaves
// no place for are in the outcome's NoPlace. To be called after Restore, and
// after each change of the list.
func (e *Engine) Inventory(now time.Time, ids []string) Outcome {
	var out Outcome
	listed := make(map[string]bool, len(ids))
	for _, id := range ids {
		listed[id] = true
	}
	for _, id := range e.ids() {
		d := e.devices[id]
		if d.inventory = listed[id]; !d.inventory && !d.heard && !d.anyOpen() {
			e.remove(d, &out)
		}
	}
	for _, id := range ids {
		if id == "" || !listed[id] || e.devices[id] != nil {
			continue
		}
		d := e.admit(now, id, &out)
		if d == nil {
			out.NoPlace = append(out.NoPlace, id)
			delete(listed, id)
			continue
		}
		d.inventory = true
		e.touch(now, d, &out)
	}
	e.listed = listed
	return out
}

// Sources tells the engine the names of all configured sources: a device that
// was removed at all of these is removed, whatever older sources knew it.
// Without it every name that was ever seen counts.
func (e *Engine) Sources(names []string) { e.sources = slices.Clone(names) }

// ids lists the known devices in a stable order; the agent is none of them.
func (e *Engine) ids() []string { return slices.Sorted(maps.Keys(e.devices)) }

// Devices counts the known devices. The agent itself is none of them.
func (e *Engine) Devices() int { return len(e.devices) }

// CountOpen counts the open diagnoses by severity, the agent's own and the
// site's among them. It looks at every device.
func (e *Engine) CountOpen() map[Severity]int {
	n := make(map[Severity]int)
	for d := range e.all() {
		for _, p := range d.problems {
			if p.open() {
				n[p.Diagnosis.Severity]++
			}
		}
	}
	return n
}
