package rules

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits of texts, in characters: a title fits one line of a list, a step's
// title one line of a page.
const (
	maxTitle     = 60
	maxStepTitle = 80
	maxDetails   = 4
)

// textFile is one text.LANG.yaml as read.
type textFile struct {
	file       string
	language   string
	steps      map[string]*stepText
	conditions map[string]*conditionText
	// order keeps the file's, so that findings come in it.
	stepOrder, conditionOrder []string
}

type stepText struct {
	at              place
	title, workedIf template
	details         []template
}

type conditionText struct {
	at             place
	title, summary template
	causes         map[string]*causeText
	order          []string
}

type causeText struct {
	at      place
	because template
	when    map[string]template
	whenAt  map[string]place
	order   []string
}

// readText reads a text file in language want.
func readText(file string, data []byte, want string, c *collector) *textFile {
	root := parse(file, data, c)
	if root == nil {
		return nil
	}
	d := &decoder{file, c}
	t := &textFile{
		file: file, language: want,
		steps: map[string]*stepText{}, conditions: map[string]*conditionText{},
	}
	d.object(root,
		field{"language", true, d.language(want)},
		field{"steps", false, func(n *yaml.Node) { d.keyed(n, d.stepText(t)) }},
		field{"conditions", false, func(n *yaml.Node) { d.keyed(n, d.conditionText(t)) }},
	)
	return t
}

// language checks that the file says what its name says.
func (d *decoder) language(want string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || canonical(n.Value) != want {
			d.add(d.at(n), "language %s (%q, as the file is called)", kindOf(n), want)
		}
	}
}

func (d *decoder) stepText(t *textFile) func(ident, *yaml.Node) {
	return func(key ident, n *yaml.Node) {
		s := &stepText{at: key.at}
		d.object(n,
			field{"title", true, d.title(&s.title, maxStepTitle)},
			field{"details", false, d.details(&s.details)},
			field{"worked_if", true, d.template(&s.workedIf)},
		)
		t.steps[key.name] = s
		t.stepOrder = append(t.stepOrder, key.name)
	}
}

func (d *decoder) details(dst *[]template) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if len(n.Content) > maxDetails {
			d.add(d.at(n), "%d details (at most %d)", len(n.Content), maxDetails)
		}
		d.list(func(n *yaml.Node) {
			var t template
			d.template(&t)(n)
			*dst = append(*dst, t)
		})(n)
	}
}

func (d *decoder) conditionText(t *textFile) func(ident, *yaml.Node) {
	return func(key ident, n *yaml.Node) {
		c := &conditionText{at: key.at, causes: map[string]*causeText{}}
		d.object(n,
			field{"title", true, d.headline(&c.title)},
			field{"summary", true, d.template(&c.summary)},
			field{"causes", true, func(n *yaml.Node) { d.keyed(n, d.causeText(c)) }},
		)
		t.conditions[key.name] = c
		t.conditionOrder = append(t.conditionOrder, key.name)
	}
}

func (d *decoder) causeText(c *conditionText) func(ident, *yaml.Node) {
	return func(key ident, n *yaml.Node) {
		t := &causeText{at: key.at, when: map[string]template{}, whenAt: map[string]place{}}
		d.object(n,
			field{"because", true, d.template(&t.because)},
			field{"when", false, func(n *yaml.Node) {
				d.keyed(n, func(id ident, n *yaml.Node) {
					var sentence template
					d.template(&sentence)(n)
					t.when[id.name], t.whenAt[id.name] = sentence, id.at
					t.order = append(t.order, id.name)
				})
			}},
		)
		c.causes[key.name] = t
		c.order = append(c.order, key.name)
	}
}

// template reads a text with placeholders.
func (d *decoder) template(dst *template) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var s string
		if d.text(&s)(n); s == "" {
			return
		}
		t, wrong := cut(s)
		if wrong != "" {
			d.add(d.at(n), "%s", wrong)
			return
		}
		*dst = t
	}
}

// title reads a text of limited length, counted with its fallbacks.
func (d *decoder) title(dst *template, most int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		d.template(dst)(n)
		if long := utf8.RuneCountInString(dst.plainest()); long > most {
			d.add(d.at(n), "a title of %d characters (at most %d)", long, most)
		}
	}
}

// headline reads a condition's title, which stands in lists and is no sentence.
func (d *decoder) headline(dst *template) func(*yaml.Node) {
	return func(n *yaml.Node) {
		d.title(dst, maxTitle)(n)
		if s := dst.plainest(); strings.HasSuffix(s, ".") || strings.HasSuffix(s, "。") {
			d.add(d.at(n), "a full stop after a title (none)")
		}
	}
}
