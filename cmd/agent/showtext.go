package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fieldmedic/internal/diagnose"
)

// showText prints one device for a person.
type showText struct {
	// reader whose steps are shown; empty: the one each diagnosis addresses.
	reader diagnose.Audience
	// lang of the texts; empty: the service's first.
	lang  string
	width int
	now   time.Time
}

func (t showText) all(s shownDevice) string {
	var b strings.Builder
	head := fmt.Sprintf("%s: %s", deviceName(s.Device), healthWord(s.Health))
	if s.Action != diagnose.ActNone {
		head += ", action: " + string(s.Action)
	}
	b.WriteString(paragraph("", "", head, t.width))
	for _, d := range s.Diagnoses {
		if d.Open() {
			b.WriteString("\n" + strings.Repeat("-", t.width) + "\n")
			t.diagnosis(&b, d)
		}
	}
	if s.Truncated {
		b.WriteString("\n" + paragraph("", "", "There is more than one answer can hold; the rest is left out.", t.width))
	}
	t.timeline(&b, s.Events)
	return b.String()
}

func healthWord(h diagnose.Health) string {
	switch h {
	case diagnose.HealthOK:
		return "ok"
	case diagnose.HealthAttention:
		return "needs attention"
	case diagnose.HealthFailed:
		return "failed"
	case diagnose.HealthUnknown:
	}
	return "never heard"
}

func (t showText) diagnosis(b *strings.Builder, d diagnose.DiagnosisJSON) {
	advice, lang := adviceIn(t.lang, d)
	line := func(text string) { b.WriteString(paragraph("", "", visible(text), t.width)) }
	line(cmp.Or(advice.Title, d.Title))
	line(t.facts(d.Diagnosis))
	if d.Msg != "" {
		line("The reporter says: " + d.Msg)
	}
	for _, text := range t.decisions(d.Diagnosis) {
		line(text)
	}
	if advice.Summary != "" {
		b.WriteByte('\n')
		line(advice.Summary)
	}
	t.causes(b, d.Diagnosis, advice, labelsIn(lang))
	t.evidence(b, d.Evidence)
	if len(d.Advice) == 0 {
		b.WriteByte('\n')
		line("The steps were left out, for the answer would have been too large: fieldmedic code " + cmp.Or(d.CodeRaw, d.Condition))
		return
	}
	steps := codeText{labels: labelsIn(lang), width: t.width, reader: t.reader}
	steps.steps(b, &codeAnswer{Audience: d.Audience}, &advice)
}

// facts is the line below the title.
func (t showText) facts(d diagnose.Diagnosis) string {
	list := []string{d.Condition}
	if d.Code != nil {
		code := strconv.Itoa(int(*d.Code))
		if d.CodeRaw != code && d.CodeRaw != "" {
			code += " (came as " + d.CodeRaw + ")"
		}
		list = append(list, "code "+code)
	}
	list = append(list, string(d.Severity), statusWord(d.Status),
		fmt.Sprintf("since %s (%s)", t.clock(d.FirstSeen.Time), ago(t.now.Sub(d.FirstSeen.Time))))
	if d.Reports > 1 {
		list = append(list, fmt.Sprintf("%d reports", d.Reports))
	}
	if d.Occurrence > 1 {
		list = append(list, fmt.Sprintf("occurrence %d", d.Occurrence))
	}
	return strings.Join(list, ", ") + remarks(d)
}

// decisions are what people said.
func (t showText) decisions(d diagnose.Diagnosis) []string {
	var list []string
	add := func(word string, by *diagnose.Decision) {
		if by == nil {
			return
		}
		text := word + " by " + cmp.Or(by.By, "somebody") + ", " + t.clock(by.At.Time)
		if !by.Until.IsZero() {
			text += ", until " + t.clock(by.Until.Time)
		}
		if by.Note != "" {
			text += ": " + by.Note
		}
		list = append(list, text)
	}
	add("Acknowledged", d.Acknowledged)
	add("Ignored", d.Ignored)
	for _, n := range d.Notes {
		list = append(list, "Note of "+cmp.Or(n.By, "somebody")+", "+t.clock(n.At.Time)+": "+n.Note)
	}
	return list
}

// causes are ranked. The advice's sentences are in the reader's language, in
// the order of the causes.
func (t showText) causes(b *strings.Builder, d diagnose.Diagnosis, advice diagnose.Advice, words labels) {
	if len(d.Causes) == 0 {
		return
	}
	b.WriteString("\n" + words.causes + "\n")
	for i, c := range d.Causes {
		because := c.Because
		if i < len(advice.Because) {
			because = advice.Because[i]
		}
		number, indent := numbered(i, len(d.Causes))
		b.WriteString(paragraph(number, indent, fmt.Sprintf("%s: %s -> %s", verdictWord(c.Verdict), c.Cause, c.Action), t.width))
		b.WriteString(paragraph(indent, indent, visible(because), t.width))
	}
}

func (t showText) evidence(b *strings.Builder, evidence []diagnose.Evidence) {
	if len(evidence) == 0 {
		return
	}
	b.WriteString("\nWhat was checked:\n")
	for _, e := range evidence {
		text := fmt.Sprintf("%s %s: %s (%s, %s)", e.Check, e.Target, e.Observed, evidenceWord(e.Verdict), t.clock(e.At.Time))
		b.WriteString(paragraph("- ", "  ", visible(text), t.width))
	}
}

// timeline tells the events, oldest first.
func (t showText) timeline(b *strings.Builder, events []diagnose.Event) {
	if len(events) == 0 {
		b.WriteString("\n" + paragraph("", "", "Nothing is in its timeline.", t.width))
		return
	}
	b.WriteString("\nTimeline:\n")
	last := make(map[string]diagnose.Diagnosis)
	for _, e := range events {
		if e.Diagnosis == nil {
			continue
		}
		text := e.Diagnosis.Title
		switch e.Type {
		case diagnose.Raised:
			text += remarks(*e.Diagnosis)
		case diagnose.Changed:
			if list := differences(last[e.Diagnosis.ID], *e.Diagnosis); len(list) > 0 {
				text += " (" + strings.Join(list, ", ") + ")"
			}
		case diagnose.Cleaned:
			text += " (" + endedBy(e.Diagnosis.ClearedBy) + ")"
		case diagnose.Dropped:
		}
		last[e.Diagnosis.ID] = *e.Diagnosis
		first := fmt.Sprintf("%s  %-7s  ", t.clock(e.At.Time), e.Type)
		b.WriteString(paragraph(first, strings.Repeat(" ", len(first)), visible(text), t.width))
	}
}

// clock is a time of today without its date.
func (t showText) clock(at time.Time) string {
	at, now := at.Local(), t.now.Local()
	if at.Year() == now.Year() && at.YearDay() == now.YearDay() {
		return at.Format(time.TimeOnly)
	}
	return at.Format(time.DateTime)
}
