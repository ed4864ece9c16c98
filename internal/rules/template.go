package rules

import (
	"slices"
	"strconv"
	"strings"

	"fieldmedic/internal/diagnose"
)

// template is a text, cut at its placeholders when it was read.
type template struct {
	// whole is the text itself where there is no placeholder.
	whole string
	parts []part
}

// part is a stretch of text, and a placeholder after it; the last has none.
type part struct {
	text     string
	field    string
	fallback string
}

// sure are the placeholders that always have a value; they take no fallback.
func sure() []string { return []string{"device", "code", "gateway"} }

// open are those the payload may leave unsaid.
func open() []string { return []string{"model", "fw", "mac", "ip", "msg", "pid", "did"} }

// cut parses a text. The second answer says what is wrong, or is empty.
func cut(s string) (template, string) {
	if !strings.Contains(s, "{") {
		return template{whole: s}, ""
	}
	var t template
	var text strings.Builder
	for s != "" {
		before, rest, found := strings.Cut(s, "{")
		text.WriteString(before)
		if !found {
			break
		}
		if strings.HasPrefix(rest, "{") {
			text.WriteByte('{')
			s = rest[1:]
			continue
		}
		inside, after, closed := strings.Cut(rest, "}")
		if !closed || strings.Contains(inside, "{") {
			return template{}, "a brace that is not closed in " + shorten(s) + " ({name|fallback}, or {{ for a brace)"
		}
		p, wrong := placeholder(inside)
		if wrong != "" {
			return template{}, wrong
		}
		p.text = text.String()
		text.Reset()
		t.parts = append(t.parts, p)
		s = after
	}
	if len(t.parts) == 0 {
		return template{whole: text.String()}, ""
	}
	t.parts = append(t.parts, part{text: text.String()})
	return t, ""
}

func placeholder(inside string) (part, string) {
	name, fallback, barred := strings.Cut(inside, "|")
	switch {
	case slices.Contains(sure(), name):
		if barred {
			return part{}, "{" + name + "} always has a value ({" + name + "} without a bar)"
		}
	case !slices.Contains(open(), name):
		return part{}, "no placeholder {" + name + "}" + hint(name, append(sure(), open()...))
	case strings.TrimSpace(fallback) == "":
		return part{}, "{" + name + "} without a fallback ({" + name + "|what to say when it is not known})"
	}
	return part{field: name, fallback: fallback}, ""
}

// fixed tells whether the text is the same for every diagnosis.
func (t template) fixed() bool { return t.parts == nil }

// render fills the placeholders from d.
func (t template) render(d *diagnose.Diagnosis) string {
	if t.fixed() {
		return t.whole
	}
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.text)
		if p.field == "" {
			continue
		}
		if v := value(p.field, d); v != "" {
			b.WriteString(v)
			continue
		}
		b.WriteString(p.fallback)
	}
	return b.String()
}

// plainest is the text as a reader without any facts sees it: the fallbacks,
// and the names of what always has a value.
func (t template) plainest() string {
	return t.render(&diagnose.Diagnosis{Device: "device", Gateway: "gateway", CodeRaw: "code"})
}

func value(field string, d *diagnose.Diagnosis) string {
	switch field {
	case "device":
		// Faults of the site are the gateway's.
		if d.Device == "" {
			return d.Gateway
		}
		return string(d.Device)
	case "code":
		return codeOf(d)
	case "gateway":
		return d.Gateway
	case "model":
		return d.Facts.Model
	case "fw":
		return d.Facts.FW
	case "mac":
		return d.Facts.MAC
	case "ip":
		return d.Facts.IP
	case "msg":
		return d.Msg
	case "pid":
		return d.Facts.PID
	case "did":
		return d.Facts.DID
	}
	return ""
}

// codeOf is the number, else what came in its place, else the condition: a
// name that can be looked up just as well.
func codeOf(d *diagnose.Diagnosis) string {
	switch {
	case d.Code != nil:
		return strconv.Itoa(int(*d.Code))
	case d.CodeRaw != "":
		return d.CodeRaw
	}
	return d.Condition
}
