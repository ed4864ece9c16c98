package diagnose

import "time"

// This file is the life of a symptom: it appears, repeats, is held back,
// flaps, and ends.

// fault takes a report of a code, a named error, or a loss.
func (e *Engine) fault(now time.Time, d *device, o *Observation, out *Outcome) {
	m := e.opts.Rules.Match(o.Key)
	if m.Ignored {
		return
	}
	p := d.find(m.Rule.Condition)
	if p == nil {
		p = &problem{dev: d}
		p.Diagnosis.Condition = m.Rule.Condition
		d.problems = append(d.problems, p)
	}
	p.rule = m.Rule
	switch {
	case o.Retained && (p.open() || p.Pending != nil):
		// The last known state of what is known already: no news.
	case o.Retained:
		e.openStale(now, p, m, o, out)
	case p.open():
		e.supersede(now, p, out)
		e.repeat(now, p, m, o, out)
	case p.Pending != nil:
		p.lastAt = now
	case p.rule.Hold > 0:
		e.hold(now, p, o, out)
	default:
		e.supersede(now, p, out)
		p.onset(now)
		e.open(now, now, p, m, o, out)
	}
}

// onset notes that the fault appeared, for flapping.
func (p *problem) onset(at time.Time) {
	keep := p.Openings[:0:0]
	for _, t := range p.Openings {
		if at.Sub(t.Time) < p.rule.Flap.Within {
			keep = append(keep, t)
		}
	}
	p.Openings = append(keep, Stamp{at})
	p.Faulty = true
}

// hold keeps a condition back until it has lasted: a device that drops off
// for seconds is no news. The onset counts for flapping all the same.
func (e *Engine) hold(now time.Time, p *problem, o *Observation, out *Outcome) {
	p.onset(now)
	kept := *o
	p.Pending = &kept
	p.heldFrom, p.lastAt = now, now
	e.schedule(now, p)
	e.keep(p.dev, out)
}

// supersede ends the older conditions that this one overrules.
func (e *Engine) supersede(now time.Time, p *problem, out *Outcome) {
	for _, name := range p.rule.Supersedes {
		if old := p.dev.find(name); old != nil && old.open() {
			e.close(now, old, BySuperseded, out)
		}
	}
}

// open starts a new occurrence. The condition began at since, which is earlier
// than now where it was held back.
func (e *Engine) open(now, since time.Time, p *problem, m Match, o *Observation, out *Outcome) {
	e.begin(now, p, m, o)
	p.Diagnosis.Reports = 1
	p.Diagnosis.FirstSeen = Stamp{earlier(o.When(), since)}
	p.Told = true
	p.Spaced, p.SpacedFrom, p.SpacedAt = 1, Stamp{now}, Stamp{now}
	if f := p.rule.Flap; f.Openings > 0 && len(p.Openings) >= f.Openings {
		p.Diagnosis.Flapping = &Flapping{Since: p.Openings[0], Changes: 2*len(p.Openings) - 1}
	}
	e.settle(now, p, o)
	out.Changes = append(out.Changes, p.change(Raised, now))
	e.ask(p, out)
	e.reconsider(now, p, out)
	e.touch(now, p.dev, out)
}

// openStale lists a diagnosis that rests on a retained message only: it is in
// the snapshot, and has no event until a live report comes.
func (e *Engine) openStale(now time.Time, p *problem, m Match, o *Observation, out *Outcome) {
	e.begin(now, p, m, o)
	p.Diagnosis.FirstSeen = Stamp{o.When()}
	p.Diagnosis.Stale = true
	p.Told = false
	p.Faulty = true
	p.Spaced = 0
	e.settle(now, p, o)
	e.touch(now, p.dev, out)
}

// begin fills in what every new occurrence has; a person's decisions and the
// count of occurrences stay.
func (e *Engine) begin(now time.Time, p *problem, m Match, o *Observation) {
	prior := p.Diagnosis
	p.Diagnosis = Diagnosis{
		ID:        e.opts.NewID(now),
		Gateway:   e.opts.Gateway,
		Device:    DeviceID(p.dev.id),
		Scope:     ScopeDevice,
		Condition: p.rule.Condition,
		Family:    m.Family,
		Severity:  p.rule.EarlySeverity,
		Kind:      p.rule.Kind,
		Audience:  p.rule.Audience,
		Status:    Suspected,
		Evidence:  []Evidence{},
		LastOK:    prior.LastOK,

		Occurrence:   prior.Occurrence + 1,
		Acknowledged: prior.Acknowledged,
		Ignored:      prior.Ignored,
		Notes:        prior.Notes,
		Rule:         p.rule.Ref,
	}
	e.adoptSiteWide(p)
	p.newest(m, o)
	p.Pending = nil
	p.hidden = false
	p.openedAt, p.lastAt = now, now
	p.asked = nil
	p.dev.openSet++
}

// settle ranks the causes of a fresh occurrence and sets its timer.
func (e *Engine) settle(now time.Time, p *problem, o *Observation) {
	p.Diagnosis.Evidence = skewEvidence(p.Diagnosis.Evidence, o)
	p.rerank(o)
	e.schedule(now, p)
}

// newest takes over what the newest report says.
func (p *problem) newest(m Match, o *Observation) {
	d := &p.Diagnosis
	switch {
	case o.Key.Name != "":
		d.Code = nil
	case d.Code == nil || *d.Code != m.Code:
		// A new variable, not a write: copies of the diagnosis share it.
		d.Code = &m.Code
	}
	d.Family = m.Family
	d.CodeRaw = o.CodeRaw
	d.Msg = o.Msg
	d.SourceTS = o.SourceTS
	d.Facts = p.dev.facts
	if when := o.When(); when.After(d.LastSeen.Time) {
		d.LastSeen = Stamp{when}
	}
}

// repeat takes another live report of what is open already. Only what a
// reader would act on makes an event; the rest moves counters.
func (e *Engine) repeat(now time.Time, p *problem, m Match, o *Observation, out *Outcome) {
	d := &p.Diagnosis
	before := p.face()
	wasStale := d.Stale
	d.Stale = false
	d.Reports++
	p.lastAt = now
	p.backToFault()
	p.newest(m, o)
	d.Evidence = skewEvidence(d.Evidence, o)
	p.space(now)
	p.rerank(o)
	switch {
	case !p.Told:
		// Until now it rested on a retained message: this is its first report.
		p.Told = true
		p.onset(now)
		p.openedAt = now
		out.Changes = append(out.Changes, p.change(Raised, now))
		e.ask(p, out)
	case d.Flapping == nil:
		p.confirmByReports()
		if p.face() != before {
			out.Changes = append(out.Changes, p.change(Changed, now))
		} else if !wasStale {
			e.count(now, p.dev)
			return
		}
	default:
		e.count(now, p.dev)
		return
	}
	e.schedule(now, p)
	e.touch(now, p.dev, out)
}

// backToFault counts a flapping condition's return.
func (p *problem) backToFault() {
	if p.Faulty {
		return
	}
	p.Faulty = true
	p.flip()
}

// flip counts a change of a flapping condition. The struct is replaced, not
// written to, for copies of the diagnosis share it.
func (p *problem) flip() {
	if f := p.Diagnosis.Flapping; f != nil {
		p.Diagnosis.Flapping = &Flapping{Since: f.Since, Changes: f.Changes + 1}
	}
}

// space counts a report for confirmation, unless it comes on the heels of the
// one before, or the series grew too old, in which case a new one starts.
func (p *problem) space(now time.Time) {
	c := p.rule.Confirm
	switch {
	case p.Spaced == 0 || c.Within > 0 && now.Sub(p.SpacedFrom.Time) > c.Within:
		p.Spaced, p.SpacedFrom, p.SpacedAt = 1, Stamp{now}, Stamp{now}
	case now.Sub(p.SpacedAt.Time) >= c.Spacing:
		p.Spaced++
		p.SpacedAt = Stamp{now}
	}
}

func (p *problem) confirmByReports() {
	if c := p.rule.Confirm; c.Reports > 0 && p.Spaced >= c.Reports {
		p.confirm()
	}
}

func (p *problem) confirm() {
	if p.Diagnosis.Status == Suspected {
		p.Diagnosis.Status = Confirmed
		p.Diagnosis.Severity = p.rule.Severity
	}
}

// disprove ends what a success, or an "online", proves to be over.
func (e *Engine) disprove(now time.Time, d *device, says Saying, out *Outcome) {
	for _, p := range d.problems {
		c := &p.ruleOrZero().Clear
		if says == SaysSuccess && !c.OnSuccess || says == SaysOnline && !c.OnOnline {
			continue
		}
		switch {
		case p.Pending != nil:
			p.Pending = nil
			p.Faulty = false
			e.keep(d, out)
		case !p.open():
		case p.Diagnosis.Flapping != nil:
			e.pause(now, p)
		default:
			p.Diagnosis.LastOK = Stamp{now}
			p.Faulty = false
			e.close(now, p, BySignal, out)
		}
	}
}

// pause notes a success of a flapping condition, which does not end it.
func (e *Engine) pause(now time.Time, p *problem) {
	p.Diagnosis.LastOK = Stamp{now}
	if p.Faulty {
		p.Faulty = false
		p.flip()
		e.schedule(now, p)
	}
	e.count(now, p.dev)
}

// close ends an occurrence.
func (e *Engine) close(now time.Time, p *problem, by ClearedBy, out *Outcome) {
	p.Diagnosis.Status = Cleared
	p.Diagnosis.ClearedAt = Stamp{now}
	p.Diagnosis.ClearedBy = by
	p.Diagnosis.Stale = false
	p.asked = nil
	p.dev.openSet++
	if by == ByQuiet || by == ByManual || by == ByRetired {
		// What was said to be over by anything but a signal starts afresh:
		// an old burst is no flapping of tomorrow's first report.
		p.Openings = nil
	}
	if p.Told {
		out.Changes = append(out.Changes, p.change(Cleaned, now))
	}
	e.schedule(now, p)
	e.reconsider(now, p, out)
	e.touch(now, p.dev, out)
}

func (p *problem) change(t ChangeType, now time.Time) Change {
	return Change{Type: t, At: now, Diagnosis: p.Diagnosis}
}

// ruleOrZero is the rule, or one that nothing ends by signal, for a condition
// whose rule is gone.
func (p *problem) ruleOrZero() *Rule {
	if p.rule == nil {
		return &Rule{}
	}
	return p.rule
}

// face is the part of a diagnosis whose change is an event (contract 4).
type face struct {
	status       Status
	severity     Severity
	action       Action
	causes       string
	explainedBy  NullString
	flapping     bool
	code         int32
	hasCode      bool
	acknowledged Decision
	ignored      Decision
}

func (p *problem) face() face {
	d := &p.Diagnosis
	f := face{
		status: d.Status, severity: d.Severity, action: d.Action, causes: p.rankedFor.order,
		explainedBy: d.ExplainedBy, flapping: d.Flapping != nil,
	}
	if d.Code != nil {
		f.code, f.hasCode = *d.Code, true
	}
	if d.Acknowledged != nil {
		f.acknowledged = *d.Acknowledged
	}
	if d.Ignored != nil {
		f.ignored = *d.Ignored
	}
	return f
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
