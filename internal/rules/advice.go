package rules

import (
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

// steps are what one reader is to do.
type steps []*step

// step is one step of a text file; all that have it share it.
type step struct {
	id     string
	within *int
	text   *stepText
	json   quoted
}

// render fills the step's texts.
func (s *step) render(d *diagnose.Diagnosis) diagnose.Step {
	made := diagnose.Step{
		ID: s.id, Title: s.text.title.render(d), Details: make([]string, len(s.text.details)),
		WorkedIf: s.text.workedIf.render(d), WithinS: s.within,
	}
	for i, detail := range s.text.details {
		made.Details[i] = detail.render(d)
	}
	return made
}

func (s steps) render(d *diagnose.Diagnosis) []diagnose.Step {
	made := make([]diagnose.Step, len(s))
	for i, step := range s {
		made[i] = step.render(d)
	}
	return made
}

func (s steps) append(b []byte, d *diagnose.Diagnosis) []byte {
	b = append(b, '[')
	for i, step := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = step.json.append(b, d)
	}
	return append(b, ']')
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

// Advice is the advice on the leading cause by configured language.
func (s *Set) Advice(d *diagnose.Diagnosis) map[string]diagnose.Advice {
	all := make(map[string]diagnose.Advice, len(s.languages))
	for i, lang := range s.languages {
		w, by := s.wordsFor(d, i)
		all[lang] = diagnose.Advice{
			Title: w.title.render(d), Summary: w.summary.render(d), Because: w.reasons(d),
			User: by[0].render(d), Technician: by[1].render(d), Developer: by[2].render(d),
		}
	}
	return all
}

// AppendAdvice appends the same as JSON. A snapshot is mostly advice, and most
// of that is steps, which were written when the rules were read.
func (s *Set) AppendAdvice(b []byte, d *diagnose.Diagnosis) []byte {
	sep := byte('{')
	for _, i := range s.byName {
		w, by := s.wordsFor(d, i)
		b = diagnose.AppendText(append(b, sep), s.languages[i])
		b = diagnose.AppendText(append(b, `:{"title":`...), w.title.render(d))
		b = diagnose.AppendText(append(b, `,"summary":`...), w.summary.render(d))
		b = append(b, `,"because":[`...)
		start := len(b)
		for _, c := range d.Causes {
			if sentence := w.reason(d, c); sentence != "" {
				if len(b) > start {
					b = append(b, ',')
				}
				b = diagnose.AppendText(b, sentence)
			}
		}
		b = by[0].append(append(b, `],"user":`...), d)
		b = by[1].append(append(b, `,"technician":`...), d)
		b = by[2].append(append(b, `,"developer":`...), d)
		b = append(b, '}')
		sep = ','
	}
	return append(b, '}')
}

// wordsFor are the words of a condition in one of the languages, and each
// reader's steps. A condition that has no rule any more keeps its name.
func (s *Set) wordsFor(d *diagnose.Diagnosis, lang int) (*words, [3]steps) {
	e := s.entry(d.Condition)
	if e == nil {
		return &words{title: template{whole: d.Condition}}, [3]steps{}
	}
	w := e.words[lang]
	return w, s.stepsFor(w, d.Leading().Cause, lang)
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
		if len(by[i]) == 0 {
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
		if s := w.reason(d, c); s != "" {
			sentences = append(sentences, s)
		}
	}
	return sentences
}

// reason is the sentence of a cause, or "" for one that is excluded.
func (w *words) reason(d *diagnose.Diagnosis, c diagnose.RankedCause) string {
	if c.Verdict == diagnose.VerdictExcluded {
		return ""
	}
	return w.sentence(d, c)
}
