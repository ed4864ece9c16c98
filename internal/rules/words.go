package rules

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// This file finds the words of each rule: which file has them, what is
// missing, and what nobody uses.

// key is one text that a rule needs: a step, or something of its condition.
type key struct {
	step, condition, cause, when string
	at                           place // where the rule says so
}

func (k key) String() string {
	switch {
	case k.step != "":
		return "steps." + k.step
	case k.when != "":
		return "conditions." + k.condition + ".causes." + k.cause + ".when." + k.when
	case k.cause != "":
		return "conditions." + k.condition + ".causes." + k.cause
	}
	return "conditions." + k.condition
}

// keys are the texts that a rule needs.
func (r *ruleDef) keys() []key {
	ks := []key{{condition: r.condition.name, at: r.condition.at}}
	steps := func(rs readerSteps) {
		for _, list := range rs {
			for _, id := range list {
				ks = append(ks, key{step: id.name, at: id.at})
			}
		}
	}
	steps(r.steps)
	for _, c := range r.causes {
		ks = append(ks, key{condition: r.condition.name, cause: c.name.name, at: c.name.at})
		for _, w := range c.firstIf {
			ks = append(ks, key{condition: r.condition.name, cause: c.name.name, when: w.id.name, at: w.id.at})
		}
		steps(c.steps)
	}
	return ks
}

// has tells whether a text file has a key.
func (t *textFile) has(k key) bool {
	if k.step != "" {
		return t.steps[k.step] != nil
	}
	condition := t.conditions[k.condition]
	if condition == nil || k.cause == "" {
		return condition != nil
	}
	cause := condition.causes[k.cause]
	if cause == nil || k.when == "" {
		return cause != nil
	}
	_, ok := cause.when[k.when]
	return ok
}

// checkWords holds every text file against the rules: nothing missing, and
// nothing that no rule uses, which is mostly a misspelt name.
func (b *book) checkWords(c *collector) {
	for _, p := range b.packs {
		for _, lang := range slices.Sorted(maps.Keys(p.texts)) {
			b.checkMissing(p, p.texts[lang], c)
			p.checkUnused(p.texts[lang], c)
		}
		if p.site {
			b.checkWordless(p, c)
		}
		p.checkWaits(c)
	}
}

// checkWaits wants a wait to be for a step that some rule has.
func (p *pack) checkWaits(c *collector) {
	for _, w := range p.waits {
		if !slices.ContainsFunc(p.rules, func(r *ruleDef) bool {
			return slices.ContainsFunc(r.keys(), func(k key) bool { return k.step == w.step.name })
		}) {
			c.add(w.step.at, "no rule of %s has the step %q", p.file, w.step.name)
		}
	}
}

func (b *book) checkMissing(p *pack, t *textFile, c *collector) {
	told := map[string]bool{}
	for _, r := range p.rules {
		if r.disabled {
			continue
		}
		for _, k := range r.keys() {
			name := k.String()
			if told[name] || b.inherits(r, t.language, k) || t.has(k) {
				continue
			}
			// One missing condition is one mistake, not one for each of its causes.
			if k.cause != "" && !t.has(key{condition: k.condition}) || k.when != "" && !t.has(key{condition: k.condition, cause: k.cause}) {
				continue
			}
			told[name] = true
			c.add(t.placeNear(k), "no words for %s, which the rule at %v uses", name, k.at)
		}
	}
}

// inherits tells whether a site rule finds a text in the shipped rule whose
// place it takes.
func (b *book) inherits(r *ruleDef, lang string, k key) bool {
	t := b.inherited(r, lang)
	return t != nil && t.has(k)
}

// inherited are the shipped words of the rule that r replaces, or nil.
func (b *book) inherited(r *ruleDef, lang string) *textFile {
	old := b.shipped[r.condition.name]
	if !r.pack.site || old == nil {
		return nil
	}
	return old.pack.textFor(lang)
}

// textFor is the pack's text file that serves a language, or nil.
func (p *pack) textFor(lang string) *textFile {
	return p.texts[pick(lang, func(l string) bool { return p.texts[l] != nil })]
}

// placeNear is where a missing key would stand: beside its siblings, else the
// file as a whole.
func (t *textFile) placeNear(k key) place {
	if condition := t.conditions[k.condition]; condition != nil {
		if cause := condition.causes[k.cause]; cause != nil {
			return cause.at
		}
		return condition.at
	}
	return place{file: t.file}
}

// checkWordless wants words for every site rule in some language: its own, or
// those of the shipped rule it replaces.
func (b *book) checkWordless(p *pack, c *collector) {
	for _, r := range p.rules {
		if r.disabled || len(p.texts) > 0 {
			continue
		}
		if lang, _ := b.source(r, english); lang == "" {
			beside := strings.TrimSuffix(path.Base(p.file), ending) + textMark + english + ending
			c.add(r.condition.at, "no words for %q (%s beside it; a rule finds shipped words only for the condition, causes and steps of the rule it replaces)",
				r.condition.name, beside)
		}
	}
}

func (p *pack) checkUnused(t *textFile, c *collector) {
	used := map[string]bool{}
	for _, r := range p.rules {
		for _, k := range r.keys() {
			used[k.String()] = true
		}
	}
	known := slices.Sorted(maps.Keys(used))
	unused := func(k key, at place) bool {
		name := k.String()
		if used[name] {
			return false
		}
		near := ""
		if len(c.found) < maxHints {
			if n := Nearest(last(name), siblings(name, known)); n != "" {
				near = fmt.Sprintf(" (did you mean %q?)", n)
			}
		}
		c.add(at, "no rule of %s uses %s%s", p.file, name, near)
		return true
	}
	for _, id := range t.stepOrder {
		unused(key{step: id}, t.steps[id].at)
	}
	for _, name := range t.conditionOrder {
		condition := t.conditions[name]
		if unused(key{condition: name}, condition.at) {
			continue
		}
		for _, id := range condition.order {
			cause := condition.causes[id]
			if unused(key{condition: name, cause: id}, cause.at) {
				continue
			}
			for _, w := range cause.order {
				unused(key{condition: name, cause: id, when: w}, cause.whenAt[w])
			}
		}
	}
}

// siblings are the names of known beside which name stands, without what they
// share with it.
func siblings(name string, known []string) []string {
	parent := strings.TrimSuffix(name, last(name))
	var names []string
	for _, k := range known {
		if last(k) != "" && k == parent+last(k) {
			names = append(names, last(k))
		}
	}
	return names
}

// last is what follows the last dot of a name.
func last(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// source finds the words of a rule for a language: which language they are
// really in, and the files to look them up in, first the rule's own. The
// language is "" when there are no words at all.
func (b *book) source(r *ruleDef, want string) (string, []*textFile) {
	order := []string{want}
	order = append(order, b.languages...)
	order = append(order, english)
	if r.pack.site {
		order = append(order, slices.Sorted(maps.Keys(r.pack.texts))...)
	}
	if !r.pack.site {
		order = []string{want, english}
	}
	for _, lang := range order {
		var files []*textFile
		for _, t := range []*textFile{r.pack.textFor(lang), b.inherited(r, lang)} {
			if t != nil {
				files = append(files, t)
			}
		}
		if complete(r, files) {
			return files[0].language, files
		}
	}
	return "", nil
}

// complete tells whether all texts of a rule are in one of the files.
func complete(r *ruleDef, files []*textFile) bool {
	return len(files) > 0 && !slices.ContainsFunc(r.keys(), func(k key) bool {
		return !slices.ContainsFunc(files, func(t *textFile) bool { return t.has(k) })
	})
}
