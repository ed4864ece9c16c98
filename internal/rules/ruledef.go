package rules

import (
	"fieldmedic/internal/diagnose"

	"go.yaml.in/yaml/v4"
)

// rule reads one rule; common is what the pack's defaults say.
func (d *decoder) rule(n *yaml.Node, p *pack, common shared) {
	r := &ruleDef{pack: p, shared: common}
	// Where its mistakes are told should it have no name.
	r.condition.at = d.at(n)
	var sources []string
	d.object(n, append(d.common(&r.shared),
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
	if n.Kind != yaml.MappingNode {
		return
	}
	if r.condition.name != "" {
		p.rules = append(p.rules, r)
	}
	if !r.disabled {
		r.nameItself()
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
