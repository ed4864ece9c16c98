package diagnose

import (
	"errors"
	"fmt"
	"time"
)

// This file is what people say to the engine, and how long it holds.

// maxNotes bounds the remarks kept of one identity.
const maxNotes = 20

// Decide carries out a request. The error's sentence is fit for the response;
// nothing has changed then.
func (e *Engine) Decide(now time.Time, r Request) (Outcome, error) {
	var out Outcome
	switch r.Verb {
	case Recheck:
		return out, errors.New("there are no checks to run in this version")
	case ReportOutcome, Resend:
		return out, fmt.Errorf("%s is not available in this version", r.Verb)
	case Forget:
		return e.forget(now, r)
	case Acknowledge, Unacknowledge, Ignore, Unignore, AddNote, Resolve:
	default:
		return out, fmt.Errorf("unknown verb %q (one of %s)", r.Verb, verbList())
	}
	if !r.Until.IsZero() && !r.Until.After(now) && !e.suspect {
		return out, fmt.Errorf("until is %s, which is past (a time to come, or null for no end)", r.Until)
	}
	if r.Scope == string(ScopeSite) {
		return e.decideSiteWide(now, r)
	}
	targets, err := e.targets(r)
	if err != nil {
		return out, err
	}
	for _, p := range targets {
		e.apply(now, p, r, &out)
	}
	if r.Verb == Resolve {
		e.reconsider(now, targets[0].dev, &out)
	}
	return out, nil
}

// targets finds what a request of scope device is about.
func (e *Engine) targets(r Request) ([]*problem, error) {
	d, who := e.own, "the site"
	if r.Device != nil {
		if d = e.devices[*r.Device]; d == nil {
			return nil, fmt.Errorf("device %q is not known", *r.Device)
		}
		who = fmt.Sprintf("device %q", *r.Device)
	}
	if r.Condition != nil {
		p := d.find(*r.Condition)
		if p == nil || p.Diagnosis.Status == "" {
			return nil, fmt.Errorf("%s never had the condition %q", who, *r.Condition)
		}
		if r.Verb == Resolve && !p.open() {
			return nil, fmt.Errorf("condition %q of %s is not open", *r.Condition, who)
		}
		return []*problem{p}, nil
	}
	var open []*problem
	for _, p := range d.list() {
		if p.open() {
			open = append(open, p)
		}
	}
	switch {
	case len(open) > 0:
		return open, nil
	case r.Device == nil:
		return nil, errors.New("nothing is open at the site (name a device, or scope site for a condition on every device)")
	}
	return nil, fmt.Errorf("nothing is open on %s", who)
}

// apply carries one decision to one identity.
func (e *Engine) apply(now time.Time, p *problem, r Request, out *Outcome) {
	if r.Verb == Resolve {
		e.close(now, p, ByManual, out)
		return
	}
	before := p.Diagnosis
	d := &p.Diagnosis
	decision := &Decision{By: r.By, At: Stamp{now}, Note: r.Note, Until: r.Until}
	switch r.Verb {
	case Acknowledge:
		d.Acknowledged = decision
	case Unacknowledge:
		d.Acknowledged = nil
	case Ignore:
		d.Ignored = decision
	case Unignore:
		d.Ignored = nil
	case AddNote:
		p.note(Note{By: r.By, At: Stamp{now}, Note: r.Note})
	}
	e.decided(now, p, &before, out)
}

// decided tells a decision that changed what the diagnosis looks like.
func (e *Engine) decided(now time.Time, p *problem, before *Diagnosis, out *Outcome) {
	if p.Told && p.open() && p.Diagnosis.differs(before) {
		e.change(Changed, now, p, out)
	}
	e.schedule(p)
	e.moved(now, p, out)
}

// note adds a remark; the list is replaced, for copies share it.
func (p *problem) note(n Note) {
	old := p.Diagnosis.Notes
	if len(old) >= maxNotes {
		old = old[len(old)-maxNotes+1:]
	}
	p.Diagnosis.Notes = append(append([]Note{}, old...), n)
}

// decideSiteWide makes a decision hold for a condition on every device, now
// and later.
func (e *Engine) decideSiteWide(now time.Time, r Request) (Outcome, error) {
	var out Outcome
	if r.Condition == nil {
		return out, errors.New("condition is missing (scope site needs the condition's name)")
	}
	if e.opts.Rules.Rule(*r.Condition) == nil {
		return out, fmt.Errorf("no rule makes a condition %q", *r.Condition)
	}
	sd := SiteDecisions{}
	if old := e.siteWide[*r.Condition]; old != nil {
		sd = *old
	}
	decision := &Decision{By: r.By, At: Stamp{now}, Note: r.Note, Until: r.Until}
	switch r.Verb {
	case Acknowledge:
		sd.Acknowledged = decision
	case Unacknowledge:
		sd.Acknowledged = nil
	case Ignore:
		sd.Ignored = decision
	case Unignore:
		sd.Ignored = nil
	case AddNote, Resolve:
		// These are words on what is there, not decisions that stay.
	}
	out.SiteWide = map[string]*SiteDecisions{*r.Condition: e.keepSiteWide(*r.Condition, sd)}
	e.everywhere(now, r, &out)
	return out, nil
}

func (e *Engine) keepSiteWide(condition string, sd SiteDecisions) *SiteDecisions {
	if sd == (SiteDecisions{}) {
		delete(e.siteWide, condition)
		return nil
	}
	e.siteWide[condition] = &sd
	return &sd
}

// everywhere applies a site-wide request to each device that has the condition,
// and to the agent where it is one of its own.
func (e *Engine) everywhere(now time.Time, r Request, out *Outcome) {
	for _, d := range e.inOrder() {
		p := d.find(*r.Condition)
		if p == nil || p.Diagnosis.Status == "" || r.Verb == Resolve && !p.open() {
			continue
		}
		e.apply(now, p, r, out)
		if r.Verb == Resolve {
			e.reconsider(now, p.dev, out)
		}
	}
}

// over tells that a decision's time ran out.
func (dec *Decision) over(now time.Time) bool {
	return dec != nil && !dec.Until.IsZero() && !now.Before(dec.Until.Time)
}

// adoptSiteWide gives a fresh occurrence the decisions that hold everywhere.
func (e *Engine) adoptSiteWide(now time.Time, p *problem, out *Outcome) {
	e.expireSiteWide(now, p.Diagnosis.Condition, out)
	sd := e.siteWide[p.Diagnosis.Condition]
	if sd == nil {
		return
	}
	if p.Diagnosis.Acknowledged == nil {
		p.Diagnosis.Acknowledged = sd.Acknowledged
	}
	if p.Diagnosis.Ignored == nil {
		p.Diagnosis.Ignored = sd.Ignored
	}
}

// expireDecisions ends decisions whose time ran out.
func (e *Engine) expireDecisions(now time.Time, p *problem, out *Outcome) {
	if e.suspect {
		return
	}
	before := p.Diagnosis
	d := &p.Diagnosis
	ackOver, ignoreOver := d.Acknowledged.over(now), d.Ignored.over(now)
	if !ackOver && !ignoreOver {
		return
	}
	if ackOver {
		d.Acknowledged = nil
	}
	if ignoreOver {
		d.Ignored = nil
	}
	e.expireSiteWide(now, d.Condition, out)
	e.decided(now, p, &before, out)
}

// expireSiteWide ends the decisions that hold everywhere for one condition, as
// far as their time ran out.
func (e *Engine) expireSiteWide(now time.Time, condition string, out *Outcome) {
	old := e.siteWide[condition]
	if e.suspect || old == nil || !old.Acknowledged.over(now) && !old.Ignored.over(now) {
		return
	}
	sd := *old
	if sd.Acknowledged.over(now) {
		sd.Acknowledged = nil
	}
	if sd.Ignored.over(now) {
		sd.Ignored = nil
	}
	if out.SiteWide == nil {
		out.SiteWide = make(map[string]*SiteDecisions)
	}
	out.SiteWide[condition] = e.keepSiteWide(condition, sd)
}

// forget drops a device as if it had been removed at every source.
func (e *Engine) forget(now time.Time, r Request) (Outcome, error) {
	var out Outcome
	if r.Device == nil {
		return out, errors.New("device is missing (forget needs the id of one device)")
	}
	d := e.devices[*r.Device] // the agent is not among them
	if d == nil {
		return out, fmt.Errorf("device %q is not known", *r.Device)
	}
	e.retire(now, d, &out)
	return out, nil
}
