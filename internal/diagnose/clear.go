package diagnose

import (
	"slices"
	"time"
)

// This file is how a condition ends, and what of a change is an event.

// disprove ends what a success, or an "online", proves to be over.
func (e *Engine) disprove(now time.Time, d *device, says Saying, out *Outcome) {
	for _, p := range d.problems {
		c := &p.rule.Clear
		if says == SaysSuccess && !c.OnSuccess || says == SaysOnline && !c.OnOnline {
			continue
		}
		e.end(now, p, out)
	}
}

// end is what a proof does to a condition that it disproves.
func (e *Engine) end(now time.Time, p *problem, out *Outcome) {
	switch {
	case p.Pending != nil:
		e.release(p, out)
	case !p.open():
	case p.Diagnosis.Flapping != nil:
		e.pause(now, p, out)
	default:
		p.Diagnosis.LastOK = Stamp{now}
		p.Faulty = false
		e.close(now, p, BySignal, out)
	}
}

// pause notes a success of a flapping condition, which does not end it.
func (e *Engine) pause(now time.Time, p *problem, out *Outcome) {
	p.Diagnosis.LastOK = Stamp{now}
	if p.Faulty {
		p.Faulty = false
		p.flip()
		e.schedule(p)
		// Whether the last word was a fault decides how it ends: that is no
		// counter that may fall back.
		e.keep(p, out)
	}
	if p.Diagnosis.Stale {
		p.Diagnosis.Stale = false
		e.moved(now, p, out)
		return
	}
	e.count(now, p)
}

// close ends an occurrence. What other conditions of the device make of it is
// reconsidered by the caller, once, when all that ends has ended.
func (e *Engine) close(now time.Time, p *problem, by ClearedBy, out *Outcome) {
	p.Diagnosis.Status = Cleared
	p.Diagnosis.ClearedAt = Stamp{now}
	p.Diagnosis.ClearedBy = by
	p.Diagnosis.Stale = false
	p.asked = nil
	p.dev.openSet++
	if p.Diagnosis.Flapping != nil {
		// The old burst was told: it does not make tomorrow's first report
		// flap.
		p.Openings = nil
	}
	if p.Told {
		e.change(Cleaned, now, p, out)
	}
	e.schedule(p)
	e.moved(now, p, out)
}

// change adds a transition of a diagnosis to what has come about.
func (e *Engine) change(t ChangeType, now time.Time, p *problem, out *Outcome) {
	out.Changes = append(out.Changes, Change{Type: t, At: now, Diagnosis: p.Diagnosis, ClockSuspect: e.suspect})
}

// differs tells that a change since before is an event (contract 4). Stale does
// not count: becoming stale by a restart, and the live report that ends it,
// send none, and there is no other way.
func (d *Diagnosis) differs(before *Diagnosis) bool {
	return d.Status != before.Status || d.Severity != before.Severity || d.Action != before.Action ||
		d.ExplainedBy != before.ExplainedBy || (d.Flapping == nil) != (before.Flapping == nil) ||
		!same(d.Code, before.Code) || !same(d.Acknowledged, before.Acknowledged) || !same(d.Ignored, before.Ignored) ||
		!slices.EqualFunc(d.Causes, before.Causes, func(a, b RankedCause) bool {
			return a.Cause == b.Cause && a.Verdict == b.Verdict
		})
}

// same tells that both are nil, or both point to the same value.
func same[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
