package rules

import (
	"slices"
	"time"

	"fieldmedic/internal/diagnose"

	"go.yaml.in/yaml/v4"
)

// rule reads one rule; common is what the pack's defaults say.
func (d *decoder) rule(n *yaml.Node, p *pack, common diagnose.Rule) {
	r := &ruleDef{pack: p, rule: common}
	var sources []string
	d.object(n, append(d.common(&r.rule),
		field{"condition", true, d.name(&r.condition)},
		field{"disabled", false, d.flag(&r.disabled)},
		field{"codes", false, d.codes(&r.codes)},
		field{"names", false, d.vendorNames(&r.names)},
		field{"sources", false, d.texts(&sources)},
		field{"early_severity", false, oneOf(d, &r.rule.EarlySeverity, "severity", severities())},
		field{"hold", false, d.span(&r.rule.Hold, 0)},
		field{"deprecated", false, d.flag(&r.rule.Deprecated)},
		field{"supersedes", false, d.names(&r.supersedes)},
		field{"explained_by", false, d.names(&r.explainedBy)},
		field{"steps", false, d.steps(&r.steps)},
		field{"causes", false, d.list(func(n *yaml.Node) { d.cause(n, r) })},
	)...)
	if r.condition.name == "" {
		return
	}
	p.rules = append(p.rules, r)
	if !r.disabled {
		d.checkRule(r, len(sources))
	} else if !p.site {
		d.add(r.condition.at, "disabled in a shipped pack (remove the rule)")
	}
}

// checkRule looks at what a rule says by itself.
func (d *decoder) checkRule(r *ruleDef, sources int) {
	at, v := r.condition.at, &r.rule
	if sources == 0 {
		d.add(at, "no sources (say where it comes from, at least one)")
	}
	for _, missing := range []struct{ key, value string }{
		{"severity", string(v.Severity)}, {"kind", string(v.Kind)}, {"audience", string(v.Audience)},
	} {
		if missing.value == "" {
			d.add(at, "no %s (here or in the pack's defaults)", missing.key)
		}
	}
	if v.EarlySeverity == "" {
		v.EarlySeverity = v.Severity
	}
	if v.EarlySeverity.Rank() < v.Severity.Rank() {
		d.add(at, "early_severity %s is worse than severity %s", v.EarlySeverity, v.Severity)
	}
	d.checkEnd(r)
	d.checkFamily(r)
	if len(r.causes) == 0 {
		d.add(at, "no causes (at least one)")
	}
	for _, c := range r.causes {
		d.checkSteps(r, c)
	}
}

// checkEnd refuses a rule that can never clear, or that clears before its own
// second report could come.
func (d *decoder) checkEnd(r *ruleDef) {
	c, confirm := r.rule.Clear, r.rule.Confirm
	switch {
	case c == diagnose.Clear{}:
		d.add(r.condition.at, "nothing ends it (clear: with signal, quiet or manual)")
	case c.Quiet > 0 && confirm.Reports > 1 && c.Quiet <= confirm.Spacing:
		d.add(r.condition.at, "quiet %v ends it before reports %v apart can confirm it", c.Quiet, confirm.Spacing)
	}
}

// checkFamily holds apart what belongs to availability and what to codes.
func (d *decoder) checkFamily(r *ruleDef) {
	at := r.condition.at
	switch r.pack.family {
	case diagnose.FamilyAvailability, diagnose.FamilySite, diagnose.FamilyAgent:
		if len(r.codes) > 0 {
			d.add(r.codes[0].at, "codes in family %s (names)", r.pack.family)
		}
	case diagnose.FamilyUnknown:
	default:
		if len(r.codes)+len(r.names) == 0 {
			d.add(at, "neither codes nor names: nothing raises it")
		}
	}
	if r.pack.family == diagnose.FamilyAvailability {
		if len(r.names) == 0 {
			d.add(at, "no names: nothing raises it")
		}
		return
	}
	if r.rule.Hold > 0 {
		d.add(at, "hold in family %s (availability only: a code raises at once)", r.pack.family)
	}
	if r.rule.Clear.OnOnline {
		d.add(at, "signal online in family %s (availability only; a code is disproved by success)", r.pack.family)
	}
}

// checkSteps wants something to do for each reader.
func (d *decoder) checkSteps(r *ruleDef, c *causeDef) {
	for i, reader := range diagnose.Audiences() {
		if len(c.steps[i]) == 0 && len(r.steps[i]) == 0 {
			d.add(c.name.at, "cause %q has no steps for the %s (in the cause, or in the rule's steps)", c.name.name, reader)
		}
	}
}

// steps reads step ids by reader.
func (d *decoder) steps(dst *readerSteps) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var fields []field
		for i, reader := range diagnose.Audiences() {
			fields = append(fields, field{string(reader), false, d.names(&dst[i])})
		}
		d.object(n, fields...)
	}
}

// vendorNames reads the vendor's string errors or availability words; they
// are compared as squeezed.
func (d *decoder) vendorNames(dst *[]ident) func(*yaml.Node) {
	return d.list(func(n *yaml.Node) {
		var s string
		if d.text(&s)(n); s == "" {
			return
		}
		key := squeeze(s)
		if key == "" || len(key) > maxName {
			d.add(d.at(n), "%s is no name (1 to %d letters and digits)", shorten(s), maxName)
			return
		}
		*dst = append(*dst, ident{key, d.at(n)})
	})
}

func (d *decoder) cause(n *yaml.Node, r *ruleDef) {
	c := &causeDef{}
	d.object(n,
		field{"cause", true, d.name(&c.name)},
		field{"action", true, oneOf(d, &c.cause.Action, "action", diagnose.Actions())},
		field{"supported_by", false, d.results(&c.cause.SupportedBy)},
		field{"refuted_by", false, d.results(&c.cause.RefutedBy)},
		field{"first_if", false, d.list(func(n *yaml.Node) { d.when(n, c) })},
		field{"steps", false, d.steps(&c.steps)},
	)
	if c.name.name == "" {
		return
	}
	c.cause.Name = c.name.name
	if slices.ContainsFunc(r.causes, func(o *causeDef) bool { return o.name.name == c.name.name }) {
		d.add(c.name.at, "cause %q is there twice", c.name.name)
		return
	}
	r.causes = append(r.causes, c)
	d.checkResults(c)
}

// checkResults refuses a result that speaks both for and against a cause.
func (d *decoder) checkResults(c *causeDef) {
	for _, pro := range c.cause.SupportedBy {
		for _, against := range c.cause.RefutedBy {
			if pro.Check != against.Check {
				continue
			}
			for _, word := range pro.Results {
				if slices.Contains(against.Results, word) {
					d.add(c.name.at, "%s %s both supports and refutes %q", pro.Check, word, c.name.name)
				}
			}
		}
	}
}

// results reads check results: [{check: hello, results: [locked]}].
func (d *decoder) results(dst *[]diagnose.CheckResult) func(*yaml.Node) {
	return d.list(func(n *yaml.Node) {
		var check ident
		var words []ident
		d.object(n,
			field{"check", true, d.name(&check)},
			field{"results", true, d.names(&words)},
		)
		if check.name == "" {
			return
		}
		if len(words) == 0 {
			d.add(d.at(n), "check %q without results (at least one)", check.name)
			return
		}
		*dst = append(*dst, diagnose.CheckResult{Check: check.name, Results: bare(words)})
	})
}

func (d *decoder) when(n *yaml.Node, c *causeDef) {
	w := &whenDef{}
	var fieldName string
	d.object(n,
		field{"id", true, d.name(&w.id)},
		field{"open", false, d.names(&w.open)},
		field{"field", false, oneOf(d, &fieldName, "payload field", diagnose.Fields())},
		field{"matches", false, d.pattern(&w.when.Matches)},
		field{"reports", false, d.count(&w.when.Reports, 2, maxReports)},
		field{"skew", false, d.span(&w.when.Skew, time.Second)},
	)
	w.when.ID, w.when.Field = w.id.name, fieldName
	switch {
	case w.id.name == "":
		return
	case has(n, "field") != has(n, "matches"):
		d.add(w.id.at, "field and matches belong together")
	case !slices.ContainsFunc([]string{"open", "field", "reports", "skew"}, func(k string) bool { return has(n, k) }):
		d.add(w.id.at, "%q holds always (open, field with matches, reports or skew)", w.id.name)
	case slices.ContainsFunc(c.firstIf, func(o *whenDef) bool { return o.id.name == w.id.name }):
		d.add(w.id.at, "%q is there twice", w.id.name)
	default:
		c.firstIf = append(c.firstIf, w)
	}
}

// has tells whether a mapping has a key, well-formed or not.
func has(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

func bare(ids []ident) []string {
	if len(ids) == 0 {
		return nil
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.name
	}
	return names
}

// squeeze makes names comparable: upper case, letters and digits only. Senders
// spell the vendor's words in many ways.
func squeeze(s string) string { return string(appendSqueezed(nil, s)) }

func appendSqueezed(b []byte, s string) []byte {
	for i := range len(s) {
		switch ch := s[i]; {
		case ch >= 'a' && ch <= 'z':
			b = append(b, ch-'a'+'A')
		case ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9':
			b = append(b, ch)
		}
	}
	return b
}
