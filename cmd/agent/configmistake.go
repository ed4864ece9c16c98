package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// configMistake is one thing that is wrong in the configuration.
type configMistake struct {
	// where is the file, the variable or the flag; line and col count from 1,
	// and are 0 where there is none.
	where     string
	line, col int
	// key is written like sources[1].topic, counted from 0.
	key  string
	text string
}

// String is the mistake as where:line:col: key: text, in one line.
func (m configMistake) String() string {
	var b strings.Builder
	b.WriteString(m.where)
	if m.line > 0 {
		b.WriteString(":" + strconv.Itoa(m.line) + ":" + strconv.Itoa(m.col))
	}
	if m.key != "" {
		b.WriteString(": " + plainKey(m.key))
	}
	return b.String() + ": " + m.text
}

// configMistakes is the error of loadConfig: everything that is wrong, in the
// order of the places.
type configMistakes []configMistake

// Error is one mistake a line.
func (ms configMistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// collector gathers mistakes, so that reading goes on after the first.
type collector struct {
	found configMistakes
	// unread are keys whose value could not be read. Nothing more is said about
	// them: what would be judged is not what the operator wrote.
	unread map[string]bool
	// broken: the file could not be read at all.
	broken bool
}

func (c *collector) add(where string, at position, key, format string, args ...any) {
	c.found = append(c.found, configMistake{where, at.line, at.col, key, fmt.Sprintf(format, args...)})
}

// misread adds a mistake after which the value of the key is not known.
func (c *collector) misread(where string, at position, key, format string, args ...any) {
	c.forget(key)
	c.add(where, at, key, format, args...)
}

// unreadable adds a mistake after which nothing of the file is known.
func (c *collector) unreadable(where string, at position, format string, args ...any) {
	c.broken = true
	c.add(where, at, "", format, args...)
}

func (c *collector) forget(key string) {
	if c.unread == nil {
		c.unread = map[string]bool{}
	}
	c.unread[key] = true
}

func (c *collector) err() error {
	if len(c.found) == 0 {
		return nil
	}
	slices.SortStableFunc(c.found, func(a, b configMistake) int {
		return cmp.Or(strings.Compare(a.where, b.where), cmp.Compare(a.line, b.line), cmp.Compare(a.col, b.col))
	})
	return slices.Compact(c.found)
}

// origin is a variable or a flag that set a key.
type origin struct {
	name string
	// places are those of items, where the text was YAML.
	places map[string]position
}

// checker finds mistakes in values, and knows where each value came from.
type checker struct {
	found *collector
	tree  configTree
	named map[string]origin
}

// known tells whether the values of all these keys could be read. A check that
// compares keys asks first: half of a comparison proves nothing.
func (c *checker) known(paths ...string) bool {
	for _, path := range paths {
		for ; path != ""; path = above(path) {
			if c.found.unread[path] {
				return false
			}
		}
	}
	return true
}

// wrong adds a mistake in the value of a key.
func (c *checker) wrong(path, format string, args ...any) {
	if !c.known(path) {
		return
	}
	for set := path; set != ""; set = above(set) {
		if o, ok := c.named[set]; ok {
			c.found.add(o.name, placeOf(o.places, path), path, format, args...)
			return
		}
	}
	c.found.add(cmp.Or(c.tree.file, "default"), placeOf(c.tree.places, path), path, format, args...)
}

// placeOf finds the place of a path, or that of the nearest thing above it.
func placeOf(places map[string]position, path string) position {
	for ; path != ""; path = above(path) {
		if at, ok := places[path]; ok {
			return at
		}
	}
	return position{}
}

// above is the path of what a key stands in: sources[1].topic, sources[1],
// sources, "".
func above(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// item is the path of an item of a list.
func item(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// maxShown is how many bytes of a value or key a message shows.
const maxShown = 80

// quote shows a value of the configuration in a message: in one line, and cut
// where a person would stop reading.
func quote(s string) string {
	if len(s) > maxShown {
		return strconv.Quote(strings.ToValidUTF8(s[:maxShown], "")) + "..."
	}
	return strconv.Quote(s)
}

// plainKey is a key as it is, or quoted when it would spoil the message.
func plainKey(key string) string {
	if len(key) > maxShown || strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return quote(key)
	}
	return key
}
