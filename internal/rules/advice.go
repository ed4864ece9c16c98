package rules

import (
	"slices"

	"fieldmedic/internal/diagnose"
)

// words are one condition's texts in one language.
type words struct {
	title, summary template
	causes         map[string]*causeWords
	// rest are the rule's default steps, for when no cause is left.
	rest [3]steps
}

type causeWords struct {
	because template
	when    map[string]template
	// steps by reader, in the order of diagnose.Audiences.
	steps [3]steps
}

// steps are a reader's steps. As long as none has a placeholder, ready is all
// of them, and every diagnosis shares it.
type steps struct {
	ready []diagnose.Step
	parts []stepWords
	vary  bool
}

type stepWords struct {
	step diagnose.Step
	text *stepText
}

// add appends a step, rendered now if it is the same for every diagnosis.
func (s *steps) add(id string, text *stepText, within *int) {
	part := stepWords{diagnose.Step{ID: id, WithinS: within}, text}
	if text.vary() {
		s.vary = true
	} else {
		part.step = part.render(&diagnose.Diagnosis{})
		part.text = nil
	}
	s.parts = append(s.parts, part)
	s.ready = append(s.ready, part.step)
}

func (t *stepText) vary() bool {
	return !t.title.fixed() || !t.workedIf.fixed() || slices.ContainsFunc(t.details, func(d template) bool { return !d.fixed() })
}

// render fills the step's texts; one without placeholders is ready as it is.
func (p stepWords) render(d *diagnose.Diagnosis) diagnose.Step {
	step := p.step
	if p.text == nil {
		return step
	}
	step.Title, step.WorkedIf = p.text.title.render(d), p.text.workedIf.render(d)
	step.Details = make([]string, len(p.text.details))
	for i, detail := range p.text.details {
		step.Details[i] = detail.render(d)
	}
	return step
}

func (s steps) render(d *diagnose.Diagnosis) []diagnose.Step {
	switch {
	case len(s.parts) == 0:
		return []diagnose.Step{}
	case !s.vary:
		return slices.Clip(s.ready)
	}
	rendered := make([]diagnose.Step, len(s.parts))
	for i, p := range s.parts {
		rendered[i] = p.render(d)
	}
	return rendered
}

// Title is the condition in one line, in the first language. A condition that
// has no rule any more keeps its name.
func (s *Set) Title(d *diagnose.Diagnosis) string {
	e := s.entry(d.Condition)
	if e == nil {
		return d.Condition
	}
	return e.words[0].title.render(d)
}

// Because is why cause c may be it, in the first language: the sentence of
// what moved the cause up, where something did. It is "" for a cause that the
// rule does not have (any more).
func (s *Set) Because(d *diagnose.Diagnosis, c diagnose.RankedCause) string {
	e := s.entry(d.Condition)
	if e == nil {
		return ""
	}
	return e.words[0].sentence(d, c)
}

func (w *words) sentence(d *diagnose.Diagnosis, c diagnose.RankedCause) string {
	cause := w.causes[c.Cause]
	if cause == nil {
		return ""
	}
	if when, ok := cause.when[c.Reason]; ok {
		return when.render(d)
	}
	return cause.because.render(d)
}

// Advice is the advice on the leading cause by configured language. Its lists
// may be shared between diagnoses; nobody may write to them.
func (s *Set) Advice(d *diagnose.Diagnosis) map[string]diagnose.Advice {
	all := make(map[string]diagnose.Advice, len(s.languages))
	e := s.entry(d.Condition)
	for i, lang := range s.languages {
		if e == nil {
			all[lang] = diagnose.Advice{
				Title: d.Condition, Because: []string{},
				User: []diagnose.Step{}, Technician: []diagnose.Step{}, Developer: []diagnose.Step{},
			}
			continue
		}
		all[lang] = s.advise(d, e.words[i], i)
	}
	return all
}

func (s *Set) advise(d *diagnose.Diagnosis, w *words, lang int) diagnose.Advice {
	leading := d.Leading()
	by := s.stepsFor(w, leading.Cause, lang)
	return diagnose.Advice{
		Title:      w.title.render(d),
		Summary:    w.summary.render(d),
		Because:    w.reasons(d),
		User:       by[0].render(d),
		Technician: by[1].render(d),
		Developer:  by[2].render(d),
	}
}

// stepsFor are the steps of the leading cause. Where every cause is excluded,
// or the rule does not have it any more, they are the rule's default steps,
// and where it has none, those for a code that nobody knows: the action is
// contact-support then, and these say what support needs.
func (s *Set) stepsFor(w *words, cause string, lang int) [3]steps {
	if c := w.causes[cause]; c != nil {
		return c.steps
	}
	by := w.rest
	unknown := s.rules[unknownCode]
	last := unknown.words[lang].causes[unknown.rule.Causes[0].Name]
	for i := range by {
		if len(by[i].parts) == 0 {
			by[i] = last.steps[i]
		}
	}
	return by
}

// reasons are the sentences of all causes that are not excluded, the leading
// one first.
func (w *words) reasons(d *diagnose.Diagnosis) []string {
	sentences := make([]string, 0, len(d.Causes))
	for _, c := range d.Causes {
		if c.Verdict == diagnose.VerdictExcluded {
			continue
		}
		if s := w.sentence(d, c); s != "" {
			sentences = append(sentences, s)
		}
	}
	return sentences
}
