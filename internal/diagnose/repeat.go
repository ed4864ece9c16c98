package diagnose

import "time"

// This file is what a further report of an open condition does: mostly, it
// counts.

// repeat takes another live report of what is open already. Only what a
// reader would act on makes an event; the rest moves counters.
func (e *Engine) repeat(now time.Time, p *problem, m Match, o *Observation, out *Outcome) {
	d := &p.Diagnosis
	before := *d
	wasStale := d.Stale
	d.Stale = false
	d.Reports += o.reports()
	p.lastAt = now
	if p.backToFault() {
		e.keep(p, out)
	}
	p.newest(m, o)
	d.Evidence = skewEvidence(d.Evidence, o)
	p.space(now)
	if !e.suspect {
		p.measure(o)
	}
	p.rerank()
	if !p.Told {
		// Until now it rested on a retained message: this is its first report.
		p.onset(now)
		p.openedAt = now
		e.tell(now, p, out)
		return
	}
	if d.Flapping == nil {
		p.confirmByReports()
		if d.differs(&before) {
			e.change(Changed, now, p, out)
			wasStale = true
		}
	}
	if !wasStale {
		e.count(now, p)
		return
	}
	e.schedule(p)
	e.moved(now, p, out)
}

// backToFault counts a flapping condition's return, and tells whether it is one.
func (p *problem) backToFault() bool {
	if p.Faulty {
		return false
	}
	p.Faulty = true
	p.flip()
	return true
}

// flip counts a change of a flapping condition. The struct is replaced, not
// written to, for copies of the diagnosis share it.
func (p *problem) flip() {
	if f := p.Diagnosis.Flapping; f != nil {
		p.Diagnosis.Flapping = &Flapping{Since: f.Since, Changes: f.Changes + 1}
	}
}

// space counts a report as evidence of its own, unless it comes on the heels
// of the one before.
func (p *problem) space(now time.Time) {
	c := p.rule.Confirm
	if p.Spaced > 0 && now.Sub(p.SpacedAt.Time) < c.Spacing {
		return
	}
	p.Spaced++
	p.SpacedAt = Stamp{now}
	if c.Reports <= 0 {
		return
	}
	recent := p.Recent
	if over := len(recent) + 1 - c.Reports; over > 0 {
		recent = recent[over:]
	}
	// A new slice: records share the old one.
	p.Recent = append(append(make([]Stamp, 0, c.Reports), recent...), Stamp{now})
}

// confirmByReports confirms when the last reports, as many as the rule asks
// for, came close enough together.
func (p *problem) confirmByReports() {
	c := p.rule.Confirm
	if c.Reports <= 0 || len(p.Recent) < c.Reports {
		return
	}
	if c.Within == 0 || p.SpacedAt.Sub(p.Recent[len(p.Recent)-c.Reports].Time) <= c.Within {
		p.confirm()
	}
}

// confirm takes a suspected condition as proved by repetition or time.
func (p *problem) confirm() {
	if p.Diagnosis.Status == Suspected {
		p.Diagnosis.Status = Confirmed
		p.Diagnosis.Severity = p.rule.Severity
		p.Lasting = true
	}
}
