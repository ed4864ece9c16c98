package rules

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxFile is the size limit of one file.
const maxFile = 1 << 20

// parse reads one document into nodes and refuses what a rule file has no use
// for, before anything is expanded: aliases could make a small file huge.
// It answers nil when the file cannot be read on.
func parse(file string, data []byte, c *collector) *yaml.Node {
	whole := place{file: file}
	if len(data) > maxFile {
		c.add(whole, "the file is larger than 1 MiB (split it)")
		return nil
	}
	if at, ok := badByte(file, data); ok {
		c.add(at, "this byte is no text (UTF-8 without control characters)")
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		c.add(whole, "cannot be read: %v", err)
		return nil
	}
	var doc, second yaml.Node
	if err := loader.Load(&doc); err != nil {
		refuse(file, err, c)
		return nil
	}
	if err := loader.Load(&second); err == nil {
		c.add(place{file, second.Line, second.Column}, "a second document (one document a file)")
	} else if !errors.Is(err, io.EOF) {
		refuse(file, err, c)
	}
	if len(doc.Content) != 1 {
		c.add(whole, "the file is empty (see docs/rules.md)")
		return nil
	}
	plain(file, doc.Content[0], c)
	return doc.Content[0]
}

// refuse tells a syntax error with its place.
func refuse(file string, err error, c *collector) {
	if errors.Is(err, io.EOF) {
		c.add(place{file: file}, "the file is empty (see docs/rules.md)")
		return
	}
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		c.add(place{file, 1, 1}, "cannot be read as YAML: %v", err)
		return
	}
	at := place{file, max(1, load.Mark.Line), max(1, load.Mark.Column)}
	c.add(at, "cannot be read as YAML: %s", load.Message)
}

// badByte finds the first byte that YAML may not hold.
func badByte(file string, data []byte) (place, bool) {
	line, col := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == '\n':
			line, col = line+1, 0
		case r == utf8.RuneError && size == 1, r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return place{file, line, col}, true
		}
		col++
		i += size
	}
	return place{}, false
}

// plain reports anchors, aliases and tags. Loading into nodes expands nothing,
// so this costs no more than the file is long; and the reading goes on, so that
// what else is wrong is told in the same round.
func plain(file string, n *yaml.Node, c *collector) {
	at := place{file, n.Line, n.Column}
	switch {
	case n.Kind == yaml.AliasNode:
		c.spoil(at, "alias *%s (write the value out)", n.Value)
	case n.Anchor != "":
		c.spoil(at, "anchor &%s (write the value out where it is needed)", n.Anchor)
	}
	if n.Style&yaml.TaggedStyle != 0 {
		c.spoil(at, "tag %s (plain values only)", n.Tag)
	}
	for _, child := range n.Content {
		plain(file, child, c)
	}
}

// kindOf says what a node is, in the words of a person.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int":
		return "the number " + n.Value
	case "!!float":
		return "the fraction " + n.Value
	case "!!bool":
		return "the switch " + n.Value
	}
	return "the text " + shorten(n.Value)
}

// shorten quotes a value of a file for a message.
func shorten(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return `"` + strings.ReplaceAll(s, "\n", " ") + `"`
}
