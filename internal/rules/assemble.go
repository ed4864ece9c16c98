package rules

import (
	"fmt"
	"maps"
	"slices"

	"fieldmedic/internal/diagnose"
)

// book is all packs laid over each other, with what holds between rules
// checked. It is what a Set is made of.
type book struct {
	*library
	// rules in force by condition, and their order: that of the files.
	rules map[string]*ruleDef
	order []*ruleDef
	// off are the conditions that a site rule switched off.
	off []*ruleDef
	// shipped are the shipped rules by condition, replaced ones too.
	shipped map[string]*ruleDef
	// exact says whose a code is, ranged whose a range of codes is.
	exact  map[int32]claim
	ranged []claim
	// named are the rules by vendor's name, in the name space of nameKey.
	named map[string]claim
	// steps are those that were compiled.
	steps map[stepKey]*step
}

// claim is a rule's word that codes or a name are its own.
type claim struct {
	codes codes
	at    place
	rule  *ruleDef
}

// assemble lays the packs over each other and checks what each may say of the
// others.
func assemble(l *library, c *collector) *book {
	b := &book{
		library: l, rules: map[string]*ruleDef{}, shipped: map[string]*ruleDef{},
		exact: map[int32]claim{}, named: map[string]claim{},
	}
	for _, p := range l.packs {
		for _, r := range p.rules {
			b.enter(r, c)
		}
	}
	b.checkOff(c)
	b.order = slices.DeleteFunc(b.order, func(r *ruleDef) bool { return b.rules[r.condition.name] != r })
	for _, r := range b.order {
		b.claimCodes(r, c)
		b.claimNames(r, c)
	}
	b.checkRanges(c)
	b.checkAliases(c)
	b.checkTemplates(c)
	if !l.torn {
		b.checkReferences(c)
	}
	return b
}

func (p place) String() string { return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.col) }

// enter takes a rule in; a site rule takes the place of the shipped one.
func (b *book) enter(r *ruleDef, c *collector) {
	name := r.condition.name
	first := b.rules[name]
	if i := slices.IndexFunc(b.off, func(o *ruleDef) bool { return o.condition.name == name }); i >= 0 {
		first = b.off[i]
	}
	if first != nil && first.pack.site == r.pack.site {
		c.add(r.condition.at, "condition %q is there twice (first at %v)", name, first.condition.at)
		return
	}
	switch {
	case r.disabled && r.pack.site:
		b.off = append(b.off, r)
		delete(b.rules, name)
		return
	case !r.pack.site:
		b.shipped[name] = r
	}
	b.rules[name] = r
	b.order = append(b.order, r)
}

// checkOff refuses to switch off what is not there: a misspelt name would
// leave the rule on. A site's own rule, with codes of its own, may be off.
func (b *book) checkOff(c *collector) {
	for _, r := range b.off {
		name := r.condition.name
		switch {
		case isTemplate(name):
			c.add(r.condition.at, "%s cannot be disabled (an unknown code is never hidden; give the code a rule of its own)", name)
		case b.shipped[name] == nil && len(r.codes)+len(r.names) == 0 && !b.torn:
			c.add(r.condition.at, "no condition %q to disable%s", name, hint(name, slices.Sorted(maps.Keys(b.shipped))))
		}
	}
}

// claimCodes notes the codes of a rule. An exact number beats a range; two of
// a kind are a mistake.
func (b *book) claimCodes(r *ruleDef, c *collector) {
	for _, codes := range r.codes {
		mine := claim{codes, codes.at, r}
		if codes.low == codes.high {
			other, taken := b.exact[codes.low]
			if taken {
				b.quarrel("code "+codes.String(), mine, other, c)
				continue
			}
			b.exact[codes.low] = mine
			continue
		}
		if i := slices.IndexFunc(b.ranged, func(o claim) bool {
			return o.codes.low <= codes.high && codes.low <= o.codes.high
		}); i >= 0 {
			b.quarrel("range "+codes.String(), mine, b.ranged[i], c)
			continue
		}
		b.ranged = append(b.ranged, mine)
	}
}

func (b *book) claimNames(r *ruleDef, c *collector) {
	for _, n := range r.names {
		key := nameKey(r.pack.family, n.name)
		mine := claim{at: n.at, rule: r}
		if other, taken := b.named[key]; taken {
			b.quarrel("name "+n.name, mine, other, c)
			continue
		}
		b.named[key] = mine
	}
}

// quarrel tells of two claims on the same thing.
func (b *book) quarrel(what string, mine, other claim, c *collector) {
	owner := other.rule.condition.name
	switch {
	case mine.rule == other.rule:
		c.add(mine.at, "%s is there twice (first at %v)", what, other.at)
	case mine.rule.pack.site && !other.rule.pack.site:
		c.add(mine.at, "%s belongs to the shipped rule %q at %v (replace that rule as a whole with condition: %s, or switch it off with disabled: true)",
			what, owner, other.at, owner)
	default:
		c.add(mine.at, "%s belongs to %q already, at %v (one rule a code)", what, owner, other.at)
	}
}

// checkRanges wants each code to be of one family.
func (b *book) checkRanges(c *collector) {
	var seen []*pack
	for _, p := range b.packs {
		if p.span == (codes{}) {
			continue
		}
		for _, o := range seen {
			if o.span.low <= p.span.high && p.span.low <= o.span.high {
				c.add(p.span.at, "range %v overlaps range %v of pack %q at %v", p.span, o.span, o.name.name, o.span.at)
			}
		}
		seen = append(seen, p)
	}
	owner := map[int32]*pack{}
	for _, p := range b.packs {
		for _, code := range p.beyond {
			if o := owner[code.low]; o != nil {
				c.add(code.at, "code %v is beyond the range of pack %q already", code, o.name.name)
			}
			if family, in := b.familyOf(code.low); in {
				c.add(code.at, "code %v lies in the range of family %s", code, family)
			}
			owner[code.low] = p
		}
	}
}

// familyOf is the family whose range holds a code.
func (b *book) familyOf(code int32) (diagnose.Family, bool) {
	for _, p := range b.packs {
		if p.span != (codes{}) && p.span.holds(code) {
			return p.family, true
		}
	}
	return "", false
}

// checkAliases wants an alias to be of no other use, and to mean something.
func (b *book) checkAliases(c *collector) {
	seen := map[int32]alias{}
	for _, p := range b.packs {
		for _, a := range p.aliases {
			if first, twice := seen[a.from]; twice {
				c.add(a.at, "alias %d is there twice (first at %v)", a.from, first.at)
			}
			if owner, taken := b.exact[a.from]; taken {
				c.add(owner.at, "code %d is another spelling of %d, says %v (name %d)", a.from, a.to, a.at, a.to)
			}
			if !b.spoken(a.to) && !b.torn {
				c.add(a.at, "alias of %d, which no rule knows", a.to)
			}
			seen[a.from] = a
		}
	}
}

// spoken tells whether some rule names the code, in force or not.
func (b *book) spoken(code int32) bool {
	for _, p := range b.packs {
		for _, r := range p.rules {
			if slices.ContainsFunc(r.codes, func(k codes) bool { return k.holds(code) }) {
				return true
			}
		}
	}
	return false
}

// checkTemplates wants the rules of unknown codes and names: without them
// something could go unheard.
func (b *book) checkTemplates(c *collector) {
	for _, name := range templates() {
		r := b.rules[name]
		if r == nil {
			if !b.torn && b.shipped[name] == nil {
				c.add(place{}, "no rule %q in any pack of family %s", name, diagnose.FamilyUnknown)
			}
			continue
		}
		if len(r.codes)+len(r.names) > 0 {
			c.add(r.condition.at, "%s has codes or names (none: it is for what no rule knows)", name)
		}
		if r.pack.family != diagnose.FamilyUnknown {
			c.add(r.condition.at, "%s in family %s (%s)", name, r.pack.family, diagnose.FamilyUnknown)
		}
	}
}

// checkReferences wants every condition that a rule speaks of to be one.
func (b *book) checkReferences(c *collector) {
	known := slices.Collect(maps.Keys(b.shipped))
	for _, r := range append(slices.Clone(b.order), b.off...) {
		known = append(known, r.condition.name)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for _, r := range b.order {
		for _, ref := range r.references() {
			switch _, found := slices.BinarySearch(known, ref.name); {
			case !found:
				near := ""
				if len(c.found) < maxHints {
					near = hint(ref.name, known)
				}
				c.add(ref.at, "no condition %q%s", ref.name, near)
			case ref.name == r.condition.name:
				c.add(ref.at, "condition %q speaks of itself", ref.name)
			}
		}
	}
}

// references are the other conditions that a rule speaks of.
func (r *ruleDef) references() []ident {
	refs := slices.Concat(r.supersedes, r.explainedBy)
	for _, cause := range r.causes {
		for _, w := range cause.firstIf {
			refs = append(refs, w.open...)
		}
	}
	return refs
}
