package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// rankInput is what a ranking is made from; an equal input gives an equal
// ranking, so a repeat that brings nothing new costs a comparison.
type rankInput struct {
	rule     *Rule
	msg      string
	facts    Facts
	spaced   int
	openSet  int
	skew     time.Duration
	evidence int
	// order is the result in short: it changes when order or a verdict does.
	order string
}

// rerank brings the causes into order by the rule's own order, by what else is
// known, and by evidence. o is the newest observation, or nil when something
// else made a look necessary.
func (p *problem) rerank(o *Observation) {
	in := rankInput{
		rule: p.rule, msg: p.Diagnosis.Msg, facts: p.Diagnosis.Facts, spaced: p.Spaced,
		openSet: p.dev.openSet, skew: p.rankedFor.skew, evidence: p.evidenceSet,
		order: p.rankedFor.order,
	}
	if o != nil {
		skew, _ := o.Skew()
		in.skew = skew.Abs().Truncate(time.Minute)
	}
	if in == p.rankedFor {
		return
	}
	p.Diagnosis.Causes = p.judge(p.hypotheses(in))
	p.Diagnosis.Action = p.Diagnosis.Leading().Action
	in.order = orderOf(p.Diagnosis.Causes)
	p.rankedFor = in
}

// hypotheses are the rule's causes, those first that something known speaks
// for, otherwise in the rule's order.
func (p *problem) hypotheses(in rankInput) []Hypothesis {
	first := make([]Hypothesis, 0, len(p.rule.Causes))
	var rest []Hypothesis
	for i := range p.rule.Causes {
		c := &p.rule.Causes[i]
		h := Hypothesis{Cause: c.Name, Action: c.Action, Verdict: VerdictPossible, Checks: checksOf(c)}
		if w := p.holds(c, in); w != nil {
			h.Reason = w.ID
			first = append(first, h)
			continue
		}
		rest = append(rest, h)
	}
	return append(first, rest...)
}

// holds finds the first entry of a cause's FirstIf that is true now.
func (p *problem) holds(c *Cause, in rankInput) *When {
	for i := range c.FirstIf {
		w := &c.FirstIf[i]
		if w.Reports > 0 && in.spaced < w.Reports || w.Skew > 0 && in.skew < w.Skew {
			continue
		}
		if w.Matches != nil && !w.Matches.MatchString(field(w.Field, in)) {
			continue
		}
		if len(w.Open) > 0 && !p.dev.hasOpen(w.Open) {
			continue
		}
		return w
	}
	return nil
}

func (d *device) hasOpen(conditions []string) bool {
	return slices.ContainsFunc(d.problems, func(p *problem) bool {
		return p.open() && slices.Contains(conditions, p.Diagnosis.Condition)
	})
}

// Fields are the payload fields that a rule may look at.
func Fields() []string { return []string{"msg", "model", "fw", "pid", "did", "mac", "ip"} }

func field(name string, in rankInput) string {
	switch name {
	case "msg":
		return in.msg
	case "model":
		return in.facts.Model
	case "fw":
		return in.facts.FW
	case "pid":
		return in.facts.PID
	case "did":
		return in.facts.DID
	case "mac":
		return in.facts.MAC
	case "ip":
		return in.facts.IP
	}
	return ""
}

// judge turns hypotheses into ranked causes: confirmed ones first, excluded
// ones last, and of those that are left the first is the likely one.
func (p *problem) judge(hs []Hypothesis) []RankedCause {
	ranked := make([]RankedCause, 0, len(hs))
	for _, h := range hs {
		ranked = append(ranked, RankedCause{
			Cause: h.Cause, Action: h.Action, Verdict: p.verdict(h), Reason: h.Reason,
		})
	}
	slices.SortStableFunc(ranked, func(a, b RankedCause) int { return weight(a.Verdict) - weight(b.Verdict) })
	if len(ranked) > 0 && ranked[0].Verdict == VerdictPossible {
		ranked[0].Verdict = VerdictLikely
	}
	return ranked
}

func weight(v Verdict) int {
	switch v {
	case VerdictConfirmed:
		return 0
	case VerdictExcluded:
		return 2
	case VerdictLikely, VerdictPossible:
	}
	return 1
}

// verdict is what the evidence says of one hypothesis. A refutation outweighs
// an older support: checks are listed in the order in which they answered.
func (p *problem) verdict(h Hypothesis) Verdict {
	v := h.Verdict
	c := p.rule.cause(h.Cause)
	for _, ev := range p.Diagnosis.Evidence {
		switch {
		case names(c.SupportedBy, ev):
			v = VerdictConfirmed
		case names(c.RefutedBy, ev):
			v = VerdictExcluded
		}
	}
	return v
}

func (r *Rule) cause(name string) *Cause {
	for i := range r.Causes {
		if r.Causes[i].Name == name {
			return &r.Causes[i]
		}
	}
	return &Cause{}
}

func names(rs []CheckResult, ev Evidence) bool {
	return slices.ContainsFunc(rs, func(r CheckResult) bool {
		return r.Check == ev.Check && slices.Contains(r.Results, ev.Result)
	})
}

func checksOf(c *Cause) []string {
	var kinds []string
	for _, rs := range [][]CheckResult{c.SupportedBy, c.RefutedBy} {
		for _, r := range rs {
			if !slices.Contains(kinds, r.Check) {
				kinds = append(kinds, r.Check)
			}
		}
	}
	return kinds
}

func orderOf(causes []RankedCause) string {
	var b strings.Builder
	for _, c := range causes {
		b.WriteString(c.Cause)
		b.WriteByte('=')
		b.WriteString(string(c.Verdict))
		b.WriteByte(' ')
	}
	return b.String()
}

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

// maxEvidence bounds what is kept of one occurrence.
const maxEvidence = 16

// Conclude takes the answer of a check. It confirms or excludes causes; when
// every check that was asked for has answered and none could tell, the
// diagnosis is undetermined: never a guess.
func (e *Engine) Conclude(now time.Time, ev Evidence) Outcome {
	var out Outcome
	p := e.occurrence(ev.Diagnosis)
	if p == nil {
		return out // it ended while the check ran
	}
	before := p.face()
	p.asked = slices.DeleteFunc(slices.Clone(p.asked), func(k string) bool { return k == ev.Check })
	ev.Verdict = p.relation(ev)
	p.Diagnosis.Evidence = withEvidence(p.Diagnosis.Evidence, ev)
	p.evidenceSet++
	p.rerank(nil)
	p.determine()
	if p.Told && p.face() != before {
		out.Changes = append(out.Changes, p.change(Changed, now))
	}
	e.schedule(now, p)
	e.touch(now, p.dev, &out)
	return out
}

func (e *Engine) occurrence(id string) *problem {
	for _, d := range e.devices {
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
	if ev.Verdict == NotApplicable {
		return NotApplicable
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

func (p *problem) determine() {
	d := &p.Diagnosis
	leading := d.Leading().Verdict
	switch {
	case leading == VerdictConfirmed:
		d.Status = Confirmed
		d.Severity = p.rule.Severity
	case len(p.asked) == 0 && d.Status == Suspected:
		d.Status = Undetermined
	}
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
		if old.Check == "timestamp" {
			return list
		}
	}
	return withEvidence(list, Evidence{
		Check: "timestamp", Target: o.Device, Verdict: Inconclusive, Result: "unbelievable",
		Observed: fmt.Sprintf("[ts] (%s, %s off the gateway) within %s",
			Stamp{o.Reported}, skew.Round(time.Minute), MaxSkew),
		At: Stamp{o.At},
	})
}

// reconsider ranks the device's other open conditions anew, after one opened
// or ended.
func (e *Engine) reconsider(now time.Time, moved *problem, out *Outcome) {
	for _, p := range moved.dev.problems {
		if p == moved || !p.open() || p.rule == nil {
			continue
		}
		before := p.face()
		p.rerank(nil)
		if p.Told && p.Diagnosis.Flapping == nil && p.face() != before {
			out.Changes = append(out.Changes, p.change(Changed, now))
		}
	}
}
