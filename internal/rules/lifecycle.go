package rules

import (
	"time"

	"fieldmedic/internal/diagnose"

	"go.yaml.in/yaml/v4"
)

// This file reads how a condition is graded, confirmed and ended: what a rule
// says, or its pack's defaults.

// shared is what a rule has from its pack's defaults when it does not say
// otherwise.
type shared struct {
	rule diagnose.Rule
	// over: the agent itself says when it has ended. The engine takes such a
	// word for any rule, so that it is no part of diagnose.Rule.
	over bool
}

// defaults reads what rules of the pack have when they do not say otherwise.
func (d *decoder) defaults(s *shared) func(*yaml.Node) {
	return func(n *yaml.Node) { d.object(n, d.common(s)...) }
}

// common are the keys that a rule and the defaults share. A group (confirm,
// clear, flap) replaces the default's group as a whole.
func (d *decoder) common(s *shared) []field {
	r := &s.rule
	audiences := diagnose.Audiences()
	return []field{
		{"scope", false, oneOf(d, &r.Scope, "scope", scopes())},
		{"severity", false, oneOf(d, &r.Severity, "severity", severities())},
		{"kind", false, oneOf(d, &r.Kind, "kind", kinds())},
		{"audience", false, oneOf(d, &r.Audience, "reader", audiences)},
		{"confirm", false, d.confirm(&r.Confirm)},
		{"clear", false, d.clear(s)},
		{"flap", false, d.flap(&r.Flap)},
	}
}

const maxReports = 10_000

func (d *decoder) confirm(dst *diagnose.Confirm) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var v diagnose.Confirm
		d.object(n,
			field{"reports", false, d.count(&v.Reports, 1, maxReports)},
			field{"within", false, d.span(&v.Within, time.Second)},
			field{"spacing", false, d.span(&v.Spacing, 0)},
			field{"held", false, d.span(&v.Held, time.Second)},
		)
		d.checkConfirm(d.at(n), v)
		*dst = v
	}
}

// checkConfirm refuses bounds that can never be met.
func (d *decoder) checkConfirm(at place, v diagnose.Confirm) {
	needs := v.Spacing * time.Duration(max(0, v.Reports-1))
	switch {
	case v.Reports > 1 && v.Within == 0:
		d.add(at, "%d reports without a time (add within)", v.Reports)
	case v.Reports <= 1 && v.Within > 0:
		d.add(at, "within without reports (add reports, 2 or more)")
	case v.Within > 0 && needs > v.Within:
		d.add(at, "%d reports %v apart take %v, which is longer than within %v", v.Reports, v.Spacing, needs, v.Within)
	case v.Reports == 0 && v.Held == 0:
		d.add(at, "nothing confirms (reports with within, or held)")
	}
}

func (d *decoder) clear(dst *shared) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var v shared
		c := &v.rule.Clear
		d.object(n,
			field{"signal", false, d.signals(&v)},
			field{"quiet", false, d.span(&c.Quiet, time.Second)},
			field{"manual", false, d.flag(&c.Manual)},
		)
		dst.rule.Clear, dst.over = *c, v.over
		signal := c.OnSuccess || c.OnOnline || v.over
		switch {
		case c.Manual && (signal || c.Quiet > 0):
			d.add(d.at(n), "manual beside signal or quiet (manual: true means a person only)")
		case !c.Manual && !signal && c.Quiet == 0:
			d.add(d.at(n), "nothing ends it (signal: [success], quiet: 24h, or manual: true)")
		}
	}
}

func (d *decoder) signals(v *shared) func(*yaml.Node) {
	known := []string{"success", "online", "over"}
	c := &v.rule.Clear
	return d.list(func(n *yaml.Node) {
		var word string
		oneOf(d, &word, "signal", known)(n)
		c.OnSuccess = c.OnSuccess || word == known[0]
		c.OnOnline = c.OnOnline || word == known[1]
		v.over = v.over || word == known[2]
	})
}

func (d *decoder) flap(dst *diagnose.Flap) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var v diagnose.Flap
		d.object(n,
			field{"openings", true, d.count(&v.Openings, 2, maxReports)},
			field{"within", true, d.span(&v.Within, time.Second)},
			field{"quiet", true, d.span(&v.Quiet, time.Second)},
		)
		*dst = v
	}
}

// checkEnd refuses a rule that can never clear, or that clears before its own
// second report could come.
func (d *decoder) checkEnd(r *ruleDef) {
	c, confirm := r.rule.Clear, r.rule.Confirm
	switch {
	case c == diagnose.Clear{} && !r.over:
		d.add(r.condition.at, "nothing ends it (clear: with signal, quiet or manual)")
	case c.Quiet > 0 && confirm.Reports > 1 && c.Quiet <= confirm.Spacing:
		d.add(r.condition.at, "quiet %v ends it before reports %v apart can confirm it", c.Quiet, confirm.Spacing)
	}
}
