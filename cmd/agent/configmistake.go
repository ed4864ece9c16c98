package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// configMistake is one thing that is wrong in the configuration.
type configMistake struct {
	// where is the file, the variable or the flag; line and col count from 1,
	// and are 0 where there is none.
	where     string
	line, col int
	key       string
	text      string
}

func (m configMistake) String() string {
	var b strings.Builder
	b.WriteString(m.where)
	if m.line > 0 {
		b.WriteString(":" + strconv.Itoa(m.line) + ":" + strconv.Itoa(m.col))
	}
	if m.key != "" {
		b.WriteString(": " + m.key)
	}
	return b.String() + ": " + m.text
}

// configMistakes is the error of loadConfig: everything that is wrong.
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
	// broken: something could not be read as what it should be, so that the
	// values cannot be judged as a whole.
	broken bool
}

func (c *collector) add(where string, line, col int, key, format string, args ...any) {
	c.found = append(c.found, configMistake{where, line, col, key, fmt.Sprintf(format, args...)})
}

// misread adds a mistake after which the values cannot be judged as a whole.
func (c *collector) misread(where string, line, col int, key, format string, args ...any) {
	c.broken = true
	c.add(where, line, col, key, format, args...)
}

func (c *collector) structural() bool { return c.broken }

func (c *collector) err() error {
	if len(c.found) == 0 {
		return nil
	}
	slices.SortStableFunc(c.found, func(a, b configMistake) int {
		return cmp.Or(strings.Compare(a.where, b.where), cmp.Compare(a.line, b.line), cmp.Compare(a.col, b.col))
	})
	return slices.Compact(c.found)
}

// origins tells where a value came from, for the mistakes found in it.
type origins struct {
	tree configTree
	// named are keys that a variable or a flag set, with its name.
	named map[string]string
}

// checker finds mistakes in values.
type checker struct {
	found   *collector
	origins origins
}

// wrong adds a mistake in the value of a key. Of an item of a list, the key is
// like sources.1.topic, counted from 0.
func (c *checker) wrong(path, format string, args ...any) {
	for set, name := range c.origins.named {
		if set == path || strings.HasPrefix(path, set+".") {
			c.found.add(name, 0, 0, insideOf(path, set), format, args...)
			return
		}
	}
	at, ok := c.origins.tree.place(path)
	if !ok {
		c.found.add(cmp.Or(c.origins.tree.file, "default"), 0, 0, path, format, args...)
		return
	}
	c.found.add(c.origins.tree.file, at.line, at.col, path, format, args...)
}

// insideOf is the part of path below set, for a variable that holds a list.
func insideOf(path, set string) string { return strings.TrimPrefix(strings.TrimPrefix(path, set), ".") }
