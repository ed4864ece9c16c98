package diagnose

import (
	"cmp"
	"slices"
	"time"
)

// rankInput is what a ranking is made from, besides the report's own words: an
// equal input gives an equal ranking, so a repeat that brings nothing new costs
// a comparison.
type rankInput struct {
	rule     *Rule
	spaced   int
	openSet  int
	skew     time.Duration
	evidence int
}

// rerank brings the causes into order by the rule's own order, by what else is
// known, and by evidence.
func (p *problem) rerank() {
	in := rankInput{rule: p.rule, spaced: p.Spaced, skew: p.Skew, evidence: p.evidenceSet}
	if p.rule.looksAround() {
		in.openSet = p.dev.openSet
	}
	if in == p.rankedFor && !p.reworded {
		return
	}
	p.rankedFor, p.reworded = in, false
	p.Diagnosis.Causes = p.rank()
	p.Diagnosis.Action = p.Diagnosis.Leading().Action
}

// measure notes how far the newest report's clock is off.
func (p *problem) measure(o *Observation) {
	skew, _ := o.Skew()
	p.Skew = skew.Abs().Truncate(time.Minute)
}

// looksAround tells that the ranking depends on other open conditions.
func (r *Rule) looksAround() bool {
	return slices.ContainsFunc(r.Causes, func(c Cause) bool {
		return slices.ContainsFunc(c.FirstIf, func(w When) bool { return len(w.Open) > 0 })
	})
}

// rank turns the rule's causes into ranked ones: confirmed ones first, excluded
// ones last, and of those between the first is the likely one, which is one
// that something known speaks for, otherwise the rule's first.
func (p *problem) rank() []RankedCause {
	var room [8]RankedCause // most rankings come out as one that is there already
	ranked := room[:0]
	for i := range p.rule.Causes {
		h := p.hypothesis(&p.rule.Causes[i])
		ranked = append(ranked, RankedCause{Cause: h.Cause, Action: h.Action, Verdict: h.Verdict, Reason: h.Reason})
	}
	slices.SortStableFunc(ranked, func(a, b RankedCause) int {
		return cmp.Or(weight(a.Verdict)-weight(b.Verdict), unspoken(a)-unspoken(b))
	})
	if len(ranked) > 0 && ranked[0].Verdict == VerdictPossible {
		ranked[0].Verdict = VerdictLikely
	}
	switch {
	case slices.Equal(ranked, p.rule.Ranking):
		return p.rule.Ranking
	case slices.Equal(ranked, p.Diagnosis.Causes):
		return p.Diagnosis.Causes
	}
	return slices.Clone(ranked)
}

func unspoken(c RankedCause) int {
	if c.Reason == "" {
		return 1
	}
	return 0
}

// hypothesis is that c explains the symptom.
func (p *problem) hypothesis(c *Cause) Hypothesis {
	h := Hypothesis{Cause: c.Name, Action: c.Action, Verdict: p.verdict(c), Checks: checksOf(c)}
	if w := p.holds(c); w != nil {
		h.Reason = w.ID
	}
	return h
}

// holds finds the first entry of a cause's FirstIf that is true now.
func (p *problem) holds(c *Cause) *When {
	for i := range c.FirstIf {
		w := &c.FirstIf[i]
		if w.Reports > 0 && p.Spaced < w.Reports || w.Skew > 0 && p.Skew < w.Skew {
			continue
		}
		if w.Matches != nil && !w.Matches.MatchString(p.Diagnosis.field(w.Field)) {
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

func (d *Diagnosis) field(name string) string {
	switch name {
	case "msg":
		return d.Msg
	case "model":
		return d.Facts.Model
	case "fw":
		return d.Facts.FW
	case "pid":
		return d.Facts.PID
	case "did":
		return d.Facts.DID
	case "mac":
		return d.Facts.MAC
	case "ip":
		return d.Facts.IP
	}
	return ""
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

// verdict is what the evidence says of one cause. A refutation outweighs an
// older support: checks are listed in the order in which they answered.
func (p *problem) verdict(c *Cause) Verdict {
	v := VerdictPossible
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
