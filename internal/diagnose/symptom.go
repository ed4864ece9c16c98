package diagnose

import (
	"cmp"
	"time"
)

// This file is how a symptom appears: at once, held back, from a retained
// message only, or as one that flaps.

// fault takes a report of a code, a named error, or a loss.
func (e *Engine) fault(now time.Time, d *device, o *Observation, out *Outcome) {
	m := e.opts.Rules.Match(o.Key)
	if m.Ignored {
		return
	}
	p := d.find(m.Rule.Condition)
	if p == nil {
		if !e.room(d, m) {
			out.Refused = RefusedTooManyConditions
			return
		}
		p = &problem{dev: d}
		p.Diagnosis.Condition = m.Rule.Condition
		d.problems = append(d.problems, p)
	}
	p.rule = m.Rule
	switch {
	case o.Retained:
		if p.news(o) {
			e.openStale(now, p, m, o, out)
		}
	case p.open():
		e.supersede(now, p, out)
		e.repeat(now, p, m, o, out)
	case p.Pending != nil:
		latest := *o
		p.latest = &latest
		p.lastAt = now
		p.held += o.reports()
	default:
		p.onset(now)
		if p.rule.Hold > 0 && !p.flaps() {
			e.hold(now, p, o, out)
			return
		}
		p.held = o.reports()
		e.supersede(now, p, out)
		e.open(now, now, p, m, o, out)
	}
}

// news tells whether a retained fault says something that is not known. What
// is open or held back is known. What ended is known, too: the broker keeps
// the fault for ever, and each connect would bring it back. Only a message
// that says by itself that it is younger than the end is news then.
func (p *problem) news(o *Observation) bool {
	switch {
	case p.open(), p.Pending != nil:
		return false
	case p.Diagnosis.Status == "":
		return true
	}
	return !o.Reported.IsZero() && o.When().Equal(o.Reported) && o.Reported.After(p.Diagnosis.ClearedAt.Time)
}

// onset notes that the fault appeared, for flapping.
func (p *problem) onset(at time.Time) {
	keep := p.Openings[:0:0]
	for _, t := range p.Openings {
		if at.Sub(t.Time) <= p.rule.Flap.Within {
			keep = append(keep, t)
		}
	}
	p.Openings = append(keep, Stamp{at})
	p.Faulty = true
}

// flaps tells that the onsets came so close together that one word is enough.
func (p *problem) flaps() bool {
	f := p.rule.Flap
	return f.Openings > 0 && len(p.Openings) >= f.Openings
}

// flag marks an occurrence that flaps from its start.
func (p *problem) flag() {
	if p.flaps() {
		p.Diagnosis.Flapping = &Flapping{Since: p.Openings[0], Changes: 2*len(p.Openings) - 1}
	}
}

// hold keeps a condition back until it has lasted: a device that drops off
// for seconds is no news. The onset counts for flapping all the same: what
// comes and goes for ever would never last long enough to be told.
func (e *Engine) hold(now time.Time, p *problem, o *Observation, out *Outcome) {
	kept := *o
	p.Pending = &kept
	p.heldFrom, p.lastAt, p.held, p.latest = now, now, o.reports(), nil
	e.schedule(p)
	e.keep(p, out)
}

// release drops what was held back: it did not last.
func (e *Engine) release(p *problem, out *Outcome) {
	p.Pending, p.latest = nil, nil
	p.Faulty = false
	e.schedule(p)
	e.keep(p, out)
}

// supersede ends the older conditions that this one overrules.
func (e *Engine) supersede(now time.Time, p *problem, out *Outcome) {
	for _, name := range p.rule.Supersedes {
		old := p.dev.find(name)
		switch {
		case old == nil || old == p:
		case old.Pending != nil:
			e.release(old, out)
		case old.open():
			e.close(now, old, BySuperseded, out)
		}
	}
}

// open starts a new occurrence. The condition began at since, which is earlier
// than now where it was held back.
func (e *Engine) open(now, since time.Time, p *problem, m Match, o *Observation, out *Outcome) {
	e.begin(now, p, m, o, out)
	p.Diagnosis.Reports = p.held
	p.Diagnosis.FirstSeen = Stamp{earlier(o.When(), since)}
	p.space(now)
	p.settle(o)
	e.tell(now, p, out)
	if p.rule.Confirm.Reports == 1 && p.Diagnosis.Flapping == nil {
		// It raises as suspected like any other; that one report is enough is
		// the next word.
		p.confirmByReports()
		e.change(Changed, now, p, out)
	}
}

// tell sends the raised event of an occurrence.
func (e *Engine) tell(now time.Time, p *problem, out *Outcome) {
	p.Told = true
	p.flag()
	e.change(Raised, now, p, out)
	e.ask(p, out)
	e.schedule(p)
	e.moved(now, p, out)
}

// openStale lists a diagnosis that rests on a retained message only: it is in
// the snapshot, and has no event until a live report comes.
func (e *Engine) openStale(now time.Time, p *problem, m Match, o *Observation, out *Outcome) {
	e.begin(now, p, m, o, out)
	p.Diagnosis.FirstSeen = Stamp{o.When()}
	p.Diagnosis.Stale = true
	p.Faulty = true
	p.settle(o)
	e.schedule(p)
	e.moved(now, p, out)
}

// begin fills in what every new occurrence has; a person's decisions and the
// count of occurrences stay.
func (e *Engine) begin(now time.Time, p *problem, m Match, o *Observation, out *Outcome) {
	prior := p.Diagnosis
	p.Diagnosis = Diagnosis{
		ID:        e.opts.NewID(now),
		Device:    DeviceID(p.dev.id),
		LastOK:    prior.LastOK,
		Condition: p.rule.Condition,

		Occurrence:   prior.Occurrence + 1,
		Acknowledged: prior.Acknowledged,
		Ignored:      prior.Ignored,
		Notes:        prior.Notes,
	}
	p.fill(e.opts.Gateway)
	p.Diagnosis.Scope = p.scope()
	e.adoptSiteWide(now, p, out)
	p.newest(m, o)
	p.Pending, p.latest, p.Told, p.Lasting = nil, nil, false, false
	p.Spaced, p.SpacedAt, p.Recent = 0, Stamp{}, nil
	p.hidden = false
	p.openedAt, p.lastAt = now, now
	p.asked = nil
	p.rankedFor = rankInput{}
	p.dev.openSet++
}

// fill writes what the rule says of every fresh diagnosis.
func (p *problem) fill(gateway string) {
	d := &p.Diagnosis
	d.Gateway, d.Scope = gateway, cmp.Or(p.rule.Scope, ScopeDevice)
	d.Severity, d.Kind, d.Audience = p.rule.EarlySeverity, p.rule.Kind, p.rule.Audience
	d.Status, d.Rule = Suspected, p.rule.Ref
	d.Evidence = []Evidence{}
}

// settle ranks the causes of a fresh occurrence.
func (p *problem) settle(o *Observation) {
	p.Diagnosis.Evidence = skewEvidence(p.Diagnosis.Evidence, o)
	p.measure(o)
	p.rerank()
}

// newest takes over what the newest report says.
func (p *problem) newest(m Match, o *Observation) {
	d := &p.Diagnosis
	switch {
	case o.Key.Name != "":
		d.Code = nil
	case d.Code == nil || *d.Code != m.Code:
		// A new variable, not a write: copies of the diagnosis share it.
		d.Code = new(m.Code)
	}
	p.reworded = p.reworded || d.Msg != o.Msg || d.Facts != p.dev.facts
	d.Family = m.Family
	d.CodeRaw = o.CodeRaw
	d.Msg = o.Msg
	d.SourceTS = o.SourceTS
	d.Facts = p.dev.facts
	if when := o.When(); when.After(d.LastSeen.Time) {
		d.LastSeen = Stamp{when}
	}
}

// Presumed is the diagnosis of a match by itself, as a first report would make
// it, with no device, no time and no evidence: suspected, with the rule's
// causes ranked and the action of the leading one. codeRaw is the code or name
// as it was given.
func Presumed(m Match, gateway, codeRaw string) Diagnosis {
	p := &problem{dev: &device{}, rule: m.Rule}
	p.Diagnosis.Condition = m.Rule.Condition
	p.fill(gateway)
	o := Observation{Key: Key{Code: m.Code}, CodeRaw: codeRaw}
	if m.Code == 0 {
		o.Key.Name = codeRaw // a named error has no number
	}
	p.newest(m, &o)
	p.Spaced = 1
	p.settle(&o)
	return p.Diagnosis
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
