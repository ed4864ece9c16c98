package rules

import (
	"slices"
	"time"

	"fieldmedic/internal/diagnose"

	"go.yaml.in/yaml/v4"
)

// This file reads a cause: its action, what speaks for and against it, and what
// moves it up.

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
	at := w.id.at
	if w.id.name == "" {
		at = d.at(n)
	}
	if has(n, "field") != has(n, "matches") {
		d.add(at, "field and matches belong together")
	}
	if !slices.ContainsFunc([]string{"open", "field", "matches", "reports", "skew"}, func(k string) bool { return has(n, k) }) {
		d.add(at, "%q holds always (open, field with matches, reports or skew)", w.id.name)
	}
	switch {
	case w.id.name == "":
	case slices.ContainsFunc(c.firstIf, func(o *whenDef) bool { return o.id.name == w.id.name }):
		d.add(at, "%q is there twice", w.id.name)
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
