package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"fieldmedic/internal/diagnose"
)

// compile makes a Set of a book without mistakes.
func compile(b *book) *Set {
	b.steps = map[stepKey]*step{}
	s := &Set{
		languages: b.languages, byName: inOrder(b.languages), missing: map[string][]string{},
		codes: map[int32]diagnose.Match{}, names: map[string]diagnose.Match{},
		beyond: map[int32]diagnose.Family{}, rules: map[string]*entry{}, completions: newCompletions(),
	}
	for _, p := range b.packs {
		if p.span != (codes{}) {
			s.families = append(s.families, familyRange{p.span.low, p.span.high, p.family})
		}
		for _, code := range p.beyond {
			s.beyond[code.low] = p.family
		}
	}
	for _, r := range b.off {
		b.ignore(s, r)
	}
	for _, r := range b.order {
		rule := r.compile()
		s.rules[rule.Condition] = &entry{rule: rule, words: b.compileWords(s, r)}
		s.answer(r, diagnose.Match{Rule: rule, Known: true})
	}
	s.addAliases(b)
	for code := range b.exact {
		s.exact = append(s.exact, code)
	}
	slices.Sort(s.exact)
	s.addPacks(b)
	return s
}

// inOrder are the indexes of names, in the order of these.
func inOrder(names []string) []int {
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(names[a], names[b]) })
	return order
}

// ignore makes the codes of a switched-off rule raise nothing, unless a rule
// in force, which is entered later, takes them.
func (b *book) ignore(s *Set, r *ruleDef) {
	for _, def := range []*ruleDef{b.shipped[r.condition.name], r} {
		if def != nil {
			s.answer(def, diagnose.Match{Rule: def.compile(), Known: true, Ignored: true})
		}
	}
}

// answer enters what a rule's codes and names are answered with.
func (s *Set) answer(r *ruleDef, m diagnose.Match) {
	for _, codes := range r.codes {
		if codes.low != codes.high {
			s.ranges = append(s.ranges, ranged{codes.low, codes.high, m})
			continue
		}
		m.Code, m.Family = codes.low, s.family(codes.low, r.pack.family)
		s.codes[m.Code] = m
	}
	m.Code, m.Family = 0, m.Rule.Family
	for _, n := range r.names {
		s.names[nameKey(r.pack.family, n.name)] = m
	}
}

// addAliases enters other spellings with the answer for the code they mean.
func (s *Set) addAliases(b *book) {
	for _, p := range b.packs {
		for _, a := range p.aliases {
			s.codes[a.from] = s.Match(diagnose.Key{Code: a.to})
		}
	}
}

func (s *Set) addPacks(b *book) {
	for _, p := range b.packs {
		n := 0
		for _, r := range p.rules {
			if b.rules[r.condition.name] == r {
				n++
			}
		}
		s.packs = append(s.packs, Pack{Name: p.name.name, Version: p.version, Site: p.site, Rules: n})
	}
}

// compile makes the rule that the engine reads.
func (r *ruleDef) compile() *diagnose.Rule {
	rule := r.rule
	rule.Condition = r.condition.name
	rule.Ref = r.pack.ref(rule.Condition)
	rule.Family = r.pack.family
	if rule.Scope == "" {
		rule.Scope = diagnose.ScopeDevice
	}
	rule.Supersedes = bare(r.supersedes)
	rule.ExplainedBy = bare(r.explainedBy)
	for _, c := range r.causes {
		cause := c.cause
		for _, w := range c.firstIf {
			when := w.when
			when.Open = bare(w.open)
			cause.FirstIf = append(cause.FirstIf, when)
		}
		rule.Causes = append(rule.Causes, cause)
	}
	rule.RankPlainly()
	return &rule
}

func (p *pack) ref(condition string) string {
	return p.name.name + "/" + condition + "@" + strconv.Itoa(p.version)
}

// compileWords are the words of a rule in each configured language. Where one
// has none, the words of another stand in, and the pack is noted as missing.
func (b *book) compileWords(s *Set, r *ruleDef) []*words {
	made := map[string]*words{}
	all := make([]*words, len(b.languages))
	for i, want := range b.languages {
		lang, files := b.source(r, want)
		if made[lang] == nil {
			made[lang] = b.wordsOf(r, files)
		}
		all[i] = made[lang]
		spoken := pick(want, func(l string) bool { return l == lang }) != ""
		if !spoken && !slices.Contains(s.missing[want], r.pack.name.name) {
			s.missing[want] = append(s.missing[want], r.pack.name.name)
		}
	}
	return all
}

func (b *book) wordsOf(r *ruleDef, files []*textFile) *words {
	w := &words{causes: map[string]*causeWords{}}
	condition := find(files, key{condition: r.condition.name}).conditions[r.condition.name]
	w.title, w.summary = condition.title, condition.summary
	w.rest = b.stepsOf(r, r.steps, files)
	for _, c := range r.causes {
		text := find(files, key{condition: r.condition.name, cause: c.name.name}).conditions[r.condition.name].causes[c.name.name]
		cw := &causeWords{because: text.because, when: map[string]template{}}
		for _, d := range c.firstIf {
			k := key{condition: r.condition.name, cause: c.name.name, when: d.id.name}
			cw.when[k.when] = find(files, k).conditions[k.condition].causes[k.cause].when[k.when]
		}
		mine := c.steps
		for i := range mine {
			if len(mine[i]) == 0 {
				mine[i] = r.steps[i]
			}
		}
		cw.steps = b.stepsOf(r, mine, files)
		w.causes[c.name.name] = cw
	}
	return w
}

// find is the first file that has the key; complete has seen that one does.
func find(files []*textFile, k key) *textFile {
	return files[slices.IndexFunc(files, func(t *textFile) bool { return t.has(k) })]
}

func (b *book) stepsOf(r *ruleDef, ids readerSteps, files []*textFile) [3]steps {
	var all [3]steps
	for i, list := range ids {
		for _, id := range list {
			text := find(files, key{step: id.name}).steps[id.name]
			all[i] = append(all[i], b.step(id.name, text, b.within(r, id.name)))
		}
	}
	return all
}

// stepKey is what makes a step the same. Words belong to one step each; only a
// site rule may wait longer for a shipped step, or not at all.
type stepKey struct {
	text   *stepText
	within int
}

// step is the one step of these words and this wait.
func (b *book) step(id string, text *stepText, within *int) *step {
	k := stepKey{text, -1}
	if within != nil {
		k.within = *within
	}
	if b.steps[k] == nil {
		s := &step{id: id, within: within, text: text}
		s.json = s.quote()
		b.steps[k] = s
	}
	return b.steps[k]
}

// within is how many seconds the agent's own signal takes after a step, by the
// rule's pack or that of the rule it replaces; nil when there is none.
func (b *book) within(r *ruleDef, step string) *int {
	packs := []*pack{r.pack}
	if old := b.shipped[r.condition.name]; old != nil {
		packs = append(packs, old.pack)
	}
	for _, p := range packs {
		if i := slices.IndexFunc(p.waits, func(w wait) bool { return w.step.name == step }); i >= 0 {
			return new(int(p.waits[i].within / time.Second))
		}
	}
	return nil
}
