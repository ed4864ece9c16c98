package rules

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// decoder reads the nodes of one file. Its reading functions answer a function
// that takes a node, so that an object is a table of keys.
type decoder struct {
	file string
	*collector
}

// ident is a name with its place, for the checks that come after reading.
type ident struct {
	name string
	at   place
}

// field is one key of an object.
type field struct {
	key  string
	must bool
	read func(*yaml.Node)
}

func (d *decoder) at(n *yaml.Node) place { return place{d.file, n.Line, n.Column} }

// object reads a mapping with known keys, in the order of the file.
func (d *decoder) object(n *yaml.Node, fields ...field) {
	seen := map[string]bool{}
	ok := d.pairs(n, func(key, value *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key.Value })
		if i < 0 {
			d.add(d.at(key), "unknown key %s%s", shorten(key.Value), hint(key.Value, keysOf(fields)))
			return
		}
		seen[key.Value] = true
		fields[i].read(value)
	})
	if !ok {
		return
	}
	for _, f := range fields {
		if f.must && !seen[f.key] {
			d.add(d.at(n), "key %q is missing", f.key)
		}
	}
}

func keysOf(fields []field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

// keyed reads a mapping whose keys are kebab-case names of the author.
func (d *decoder) keyed(n *yaml.Node, read func(key ident, value *yaml.Node)) {
	d.pairs(n, func(key, value *yaml.Node) {
		var id ident
		d.name(&id)(key)
		if id.name != "" {
			read(id, value)
		}
	})
}

// pairs walks a mapping and refuses duplicate keys and keys that are no
// scalars. It answers false when n is no mapping.
func (d *decoder) pairs(n *yaml.Node, visit func(key, value *yaml.Node)) bool {
	if n.Kind != yaml.MappingNode {
		d.add(d.at(n), "%s (a mapping, key: value)", kindOf(n))
		return false
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			d.add(d.at(key), "%s as a key (a word)", kindOf(key))
			continue
		}
		if line, twice := first[key.Value]; twice {
			d.add(d.at(key), "key %s is there twice (first in line %d)", shorten(key.Value), line)
			continue
		}
		first[key.Value] = key.Line
		visit(key, n.Content[i+1])
	}
	return true
}

// list reads a sequence.
func (d *decoder) list(each func(*yaml.Node)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			d.add(d.at(n), "%s (a list, [a, b])", kindOf(n))
			return
		}
		for _, item := range n.Content {
			each(item)
		}
	}
}

// maxText is the longest text in characters: a snapshot holds many of them and
// has 64 KiB.
const maxText = 600

// text reads a string that says something, on one line.
func (d *decoder) text(dst *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		switch {
		case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str":
			d.add(d.at(n), "%s (a text)", kindOf(n))
		case strings.TrimSpace(n.Value) == "":
			d.add(d.at(n), "an empty text (say something, or leave the key out)")
		case strings.TrimSpace(n.Value) != n.Value:
			d.add(d.at(n), "white space around %s (none)", shorten(n.Value))
		case strings.ContainsFunc(n.Value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			d.add(d.at(n), "a line break or control character in %s (one line)", shorten(n.Value))
		case utf8.RuneCountInString(n.Value) > maxText:
			d.add(d.at(n), "%d characters (at most %d)", utf8.RuneCountInString(n.Value), maxText)
		default:
			*dst = n.Value
		}
	}
}

// texts reads a list of strings.
func (d *decoder) texts(dst *[]string) func(*yaml.Node) {
	return d.list(func(n *yaml.Node) {
		var s string
		if d.text(&s)(n); s != "" {
			*dst = append(*dst, s)
		}
	})
}

// maxName is the longest name: it stands in topics and in URLs.
const maxName = 64

// name reads a kebab-case name.
func (d *decoder) name(dst *ident) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || !kebab(n.Value) {
			d.add(d.at(n), "%s (a name in kebab-case, %d characters at most)", kindOf(n), maxName)
			return
		}
		*dst = ident{n.Value, d.at(n)}
	}
}

// names reads a list of different kebab-case names.
func (d *decoder) names(dst *[]ident) func(*yaml.Node) {
	return d.list(func(n *yaml.Node) {
		var id ident
		d.name(&id)(n)
		switch {
		case id.name == "":
		case slices.ContainsFunc(*dst, func(o ident) bool { return o.name == id.name }):
			d.add(id.at, "%q is there twice", id.name)
		default:
			*dst = append(*dst, id)
		}
	})
}

// kebab tells whether s is lower-case words and numbers joined by dashes.
func kebab(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for part := range strings.SplitSeq(s, "-") {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
			return false
		}
	}
	return true
}

// count reads a whole number.
func (d *decoder) count(dst *int, least, most int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		v, ok := whole(n)
		if !ok || v < int64(least) || v > int64(most) {
			d.add(d.at(n), "%s (a whole number, %d to %d)", kindOf(n), least, most)
			return
		}
		*dst = int(v)
	}
}

// whole reads a decimal number as one writes it: no leading zero, no plus, no
// underscore, no hexadecimal, for each of these means something else somewhere.
func whole(n *yaml.Node) (int64, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		return 0, false
	}
	v, err := strconv.ParseInt(n.Value, 10, 64)
	return v, err == nil && strconv.FormatInt(v, 10) == n.Value
}

// flag reads true or false.
func (d *decoder) flag(dst *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" || n.ShortTag() != "!!bool" {
			d.add(d.at(n), "%s (true or false)", kindOf(n))
			return
		}
		*dst = n.Value == "true"
	}
}

// maxSpan keeps sums of durations far from overflow; no condition waits longer.
const maxSpan = 365 * 24 * time.Hour

// span reads a duration.
func (d *decoder) span(dst *time.Duration, least time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		v, err := time.ParseDuration(n.Value)
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" || err != nil || v < least || v > maxSpan {
			d.add(d.at(n), "%s (a duration such as 10s, 30m or 24h, %v to %v)", kindOf(n), least, maxSpan)
			return
		}
		*dst = v
	}
}

// maxPattern is the longest expression in bytes.
const maxPattern = 256

// pattern reads a regular expression.
func (d *decoder) pattern(dst **regexp.Regexp) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var s string
		if d.text(&s)(n); s == "" {
			return
		}
		if len(s) > maxPattern {
			d.add(d.at(n), "an expression of %d bytes (at most %d)", len(s), maxPattern)
			return
		}
		re, err := regexp.Compile(s)
		if err != nil {
			d.add(d.at(n), "%s: %v (an RE2 expression)", shorten(s), err)
			return
		}
		*dst = re
	}
}

// oneOf reads a word of a closed vocabulary.
func oneOf[T ~string](d *decoder, dst *T, what string, known []T) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && slices.Contains(known, T(n.Value)) {
			*dst = T(n.Value)
			return
		}
		words := make([]string, len(known))
		for i, k := range known {
			words[i] = string(k)
		}
		d.add(d.at(n), "%s is no %s%s", kindOf(n), what, hint(n.Value, words))
	}
}
