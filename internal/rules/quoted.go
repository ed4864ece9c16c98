package rules

import (
	"strconv"

	"fieldmedic/internal/diagnose"
)

// quoted is a stretch of JSON that was written when the rules were read, cut
// at the placeholders in it. Its texts and fallbacks are escaped already; a
// value is escaped when it is filled in.
type quoted []part

// quote writes a step as encoding/json writes a diagnose.Step.
func (s *step) quote() quoted {
	var q quoter
	q.text = append(q.text, `{"id":`...)
	q.template(template{whole: s.id})
	q.text = append(q.text, `,"title":`...)
	q.template(s.text.title)
	q.text = append(q.text, `,"details":[`...)
	for i, detail := range s.text.details {
		if i > 0 {
			q.text = append(q.text, ',')
		}
		q.template(detail)
	}
	q.text = append(q.text, `],"worked_if":`...)
	q.template(s.text.workedIf)
	q.text = append(q.text, `,"within_s":`...)
	if s.within == nil {
		q.text = append(q.text, "null"...)
	} else {
		q.text = strconv.AppendInt(q.text, int64(*s.within), 10)
	}
	return append(q.done, part{text: string(q.text) + "}"})
}

// quoter collects a quoted; text is what stands behind the last placeholder.
type quoter struct {
	done quoted
	text []byte
}

// template adds a text as a JSON string.
func (q *quoter) template(t template) {
	q.text = append(q.text, '"')
	if t.fixed() {
		q.text = appendInside(q.text, t.whole)
	}
	for _, p := range t.parts {
		q.text = appendInside(q.text, p.text)
		if p.field != "" {
			fallback := string(appendInside(nil, p.fallback))
			q.done = append(q.done, part{text: string(q.text), field: p.field, fallback: fallback})
			q.text = q.text[:0]
		}
	}
	q.text = append(q.text, '"')
}

// append fills the placeholders from d.
func (q quoted) append(b []byte, d *diagnose.Diagnosis) []byte {
	for _, p := range q {
		b = append(b, p.text...)
		if p.field == "" {
			continue
		}
		if v := value(p.field, d); v != "" {
			b = appendInside(b, v)
			continue
		}
		b = append(b, p.fallback...)
	}
	return b
}

// appendInside appends a text as it stands inside a JSON string.
func appendInside(b []byte, s string) []byte {
	start := len(b)
	b = diagnose.AppendText(b, s)
	end := len(b) - len(`"`)
	return append(b[:start], b[start+len(`"`):end]...)
}
