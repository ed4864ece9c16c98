package diagnose

import (
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
	if o != nil {
		skew, _ := o.Skew()
		p.Skew = skew.Abs().Truncate(time.Minute)
	}
	in := rankInput{
		rule: p.rule, msg: p.Diagnosis.Msg, facts: p.Diagnosis.Facts, spaced: p.Spaced,
		skew: p.Skew, evidence: p.evidenceSet, order: p.rankedFor.order,
	}
	if p.rule.looksAround() {
		in.openSet = p.dev.openSet
	}
	if in == p.rankedFor {
		return
	}
	p.Diagnosis.Causes = p.judge(p.hypotheses(in))
	p.Diagnosis.Action = p.Diagnosis.Leading().Action
	in.order = orderOf(p.Diagnosis.Causes)
	p.rankedFor = in
}

// looksAround tells that the ranking depends on other open conditions.
func (r *Rule) looksAround() bool {
	return slices.ContainsFunc(r.Causes, func(c Cause) bool {
		return slices.ContainsFunc(c.FirstIf, func(w When) bool { return len(w.Open) > 0 })
	})
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
		case !ev.tells():
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
