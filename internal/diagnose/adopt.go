package diagnose

import (
	"slices"
	"time"
)

// This file is how diagnoses come back that only the broker still has.

// maxMsg bounds the vendor's text, in runes (contract section 4).
const maxMsg = 256

// Adopt takes over the open diagnoses of a retained snapshot of our own that
// the engine does not know, for a damaged store lost them. They are stale, and
// there is no event: they were told before. What the engine knows of, open or
// ended, is newer and stays; so does all that the agent says of itself. Words,
// severity and ranking are made anew by the rules, for anybody who may write to
// the topic may have written it.
func (e *Engine) Adopt(now time.Time, s SnapshotJSON) Outcome {
	var out Outcome
	if s.Gateway != e.opts.Gateway || s.Device == "" {
		return out
	}
	d := e.devices[string(s.Device)]
	var adopted []*problem
	for i := range s.Diagnoses {
		j := &s.Diagnoses[i].Diagnosis
		rule := e.opts.Rules.Rule(j.Condition)
		if rule == nil || !j.adoptable() || d.knows(j.Condition) {
			continue
		}
		if d == nil {
			if d = e.admit(now, string(s.Device), &out); d == nil {
				out.Refused = RefusedTooManyDevices
				return out
			}
			// It was heard, and nobody knows when: its week begins anew.
			d.heard, d.lastHeard, d.facts = true, now, j.Facts
		}
		if !e.room(d, Match{Rule: rule, Known: true}) {
			out.Refused = RefusedTooManyConditions
			break
		}
		adopted = append(adopted, e.adopt(now, d, rule, j))
	}
	if len(adopted) == 0 {
		return out
	}
	d.openSet += len(adopted)
	for _, p := range adopted {
		p.rerank() // now that all are there, for one may look at another
		e.schedule(p)
		e.moved(now, p, &out)
	}
	e.reconsider(now, d, &out)
	return out
}

// knows tells that there is, or was, such a condition.
func (d *device) knows(condition string) bool {
	p := d.find(condition)
	return p != nil && (p.Diagnosis.Status != "" || p.Pending != nil)
}

// adoptable tells that it is one that the engine may have made.
func (d *Diagnosis) adoptable() bool {
	return d.ID != "" && slices.Contains([]Status{Suspected, Confirmed, Undetermined}, d.Status)
}

// adopt makes a diagnosis one of the device's, open and told.
func (e *Engine) adopt(now time.Time, d *device, rule *Rule, j *Diagnosis) *problem {
	p := d.find(j.Condition)
	if p == nil {
		p = &problem{}
		d.problems = append(d.problems, p)
	}
	*p = problem{dev: d, rule: rule}
	p.Diagnosis = *j
	p.Told, p.Faulty, p.Lasting = true, true, j.Status == Confirmed
	p.lastAt, p.openedAt, p.heldFrom, p.held = now, now, now, 1
	a := &p.Diagnosis
	a.Gateway, a.Device, a.Scope = e.opts.Gateway, DeviceID(d.id), ScopeDevice
	a.Rule, a.Kind, a.Audience, a.Severity = rule.Ref, rule.Kind, rule.Audience, rule.EarlySeverity
	if a.Status == Confirmed {
		a.Severity = rule.Severity
	}
	a.Msg, a.Title = CleanText(a.Msg, maxMsg), ""
	a.Occurrence, a.Reports = max(1, a.Occurrence), max(0, a.Reports)
	a.ClearedAt, a.ClearedBy, a.ExplainedBy, a.Members, a.MembersTotal = Stamp{}, "", "", nil, 0
	a.Evidence = append([]Evidence{}, a.Evidence[max(0, len(a.Evidence)-maxEvidence):]...)
	a.Notes = a.Notes[max(0, len(a.Notes)-maxNotes):]
	for _, t := range []*Stamp{&a.FirstSeen, &a.LastSeen, &a.LastOK} {
		if t.After(now) {
			t.Time = now
		}
	}
	a.Stale = true
	return p
}
