package diagnose

import (
	"fmt"
	"slices"
	"time"
)

// This file is the door of checks: which are asked for, and what an answer
// does to a diagnosis.

// maxEvidence bounds what is kept of one occurrence.
const maxEvidence = 16

// checkTimestamp is the evidence that the engine finds by itself: a payload
// whose clock cannot be believed.
const checkTimestamp = "timestamp"

// ask lists the checks that can change a fresh diagnosis' ranking, each kind
// once.
func (e *Engine) ask(p *problem, out *Outcome) {
	if !e.opts.Checks {
		return
	}
	for i := range p.rule.Causes {
		for _, kind := range checksOf(&p.rule.Causes[i]) {
			if slices.Contains(p.asked, kind) {
				continue
			}
			p.asked = append(p.asked, kind)
			out.Checks = append(out.Checks, Check{Diagnosis: p.Diagnosis.ID, Kind: kind, Device: p.dev.id})
		}
	}
}

// Conclude takes the answer of a check. It confirms or excludes causes; when
// every check that was asked for has answered and none could tell, the
// diagnosis is undetermined: never a guess.
//
// A check that could not tell, or did not apply, says so in the verdict; else
// the verdict is left empty, and the rule says what the result means.
func (e *Engine) Conclude(now time.Time, ev Evidence) Outcome {
	var out Outcome
	p := e.occurrence(ev.Diagnosis)
	if p == nil {
		return out // it ended while the check ran
	}
	before := p.Diagnosis
	p.asked = slices.DeleteFunc(slices.Clone(p.asked), func(k string) bool { return k == ev.Check })
	ev.Verdict = p.relation(ev)
	p.Diagnosis.Evidence = withEvidence(p.Diagnosis.Evidence, ev)
	p.evidenceSet++
	p.rerank()
	p.determine()
	if p.Told && p.Diagnosis.differs(&before) {
		e.change(Changed, now, p, &out)
	}
	e.schedule(p)
	e.moved(now, p, &out)
	return out
}

func (e *Engine) occurrence(id string) *problem {
	for d := range e.all() {
		for _, p := range d.problems {
			if p.open() && p.Diagnosis.ID == id {
				return p
			}
		}
	}
	return nil
}

// relation is what a result says: it supports when some cause counts it as
// support, refutes when one counts it against itself, and else tells nothing.
func (p *problem) relation(ev Evidence) EvidenceVerdict {
	if !ev.tells() {
		return ev.Verdict
	}
	verdict := Inconclusive
	for i := range p.rule.Causes {
		c := &p.rule.Causes[i]
		switch {
		case names(c.SupportedBy, ev):
			return Supports
		case names(c.RefutedBy, ev):
			verdict = Refutes
		}
	}
	return verdict
}

// tells is false for an answer that says by itself that it says nothing.
func (ev *Evidence) tells() bool { return ev.Verdict != Inconclusive && ev.Verdict != NotApplicable }

// determine draws the status from the verdicts on the causes.
func (p *problem) determine() {
	d := &p.Diagnosis
	switch {
	case d.Leading().Verdict == VerdictConfirmed:
		d.Status, d.Severity = Confirmed, p.rule.Severity
		return
	case p.Lasting:
		return // the symptom is proved, whatever its cause
	case d.Status == Confirmed:
		// What had confirmed it was refuted since.
		d.Status, d.Severity = Suspected, p.rule.EarlySeverity
	}
	if len(p.asked) > 0 || !p.tried() {
		return
	}
	d.Status = Undetermined
	if p.narrowed() {
		d.Status = Suspected
	}
}

// tried tells that some check applied and has answered.
func (p *problem) tried() bool {
	return slices.ContainsFunc(p.Diagnosis.Evidence, func(ev Evidence) bool {
		return ev.Check != checkTimestamp && ev.Verdict != NotApplicable
	})
}

// narrowed tells that checks left one cause by excluding all others: nothing
// proves it, but they could tell.
func (p *problem) narrowed() bool {
	left := 0
	for _, c := range p.Diagnosis.Causes {
		if c.Verdict != VerdictExcluded {
			left++
		}
	}
	return left == 1 && len(p.Diagnosis.Causes) > 1
}

// withEvidence returns a new list with ev in the place of an older answer of
// the same check on the same target.
func withEvidence(list []Evidence, ev Evidence) []Evidence {
	kept := make([]Evidence, 0, len(list)+1)
	for _, old := range list {
		if old.Check != ev.Check || old.Target != ev.Target {
			kept = append(kept, old)
		}
	}
	if len(kept) >= maxEvidence {
		kept = kept[1:]
	}
	return append(kept, ev)
}

// skewEvidence notes a payload's clock that is too far off to be believed.
func skewEvidence(list []Evidence, o *Observation) []Evidence {
	skew, ok := o.Skew()
	if !ok || skew.Abs() <= MaxSkew {
		return list
	}
	for _, old := range list {
		if old.Check == checkTimestamp {
			return list
		}
	}
	return withEvidence(list, Evidence{
		Check: checkTimestamp, Target: o.Device, Verdict: Inconclusive, Result: "unbelievable",
		Observed: fmt.Sprintf("[ts] (%s, %s off the gateway) within %s",
			Stamp{o.Reported}, skew.Round(time.Minute), MaxSkew),
		At: Stamp{o.At},
	})
}

// reconsider ranks a device's open conditions anew, after one opened or ended.
// Most rules do not look at others: they cost a glance.
func (e *Engine) reconsider(now time.Time, d *device, out *Outcome) {
	for _, p := range d.problems {
		if !p.open() || !p.rule.looksAround() {
			continue
		}
		before := p.Diagnosis
		p.rerank()
		if !p.Diagnosis.differs(&before) {
			continue
		}
		if p.Told && p.Diagnosis.Flapping == nil {
			e.change(Changed, now, p, out)
		}
		e.moved(now, p, out)
	}
}
