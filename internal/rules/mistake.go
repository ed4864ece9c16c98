package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Mistake is one thing that is wrong in a rule or text file.
type Mistake struct {
	// File is the path as the operator knows it; a shipped file begins with
	// "packs/". It is empty for a mistake in the options.
	File string
	// Line and Col count from 1; 0 where the mistake is of the file as a whole.
	Line, Col int
	// Text says what is wrong and, in parentheses, what would be right.
	Text string
}

// String is the mistake as file:line:col: text.
func (m Mistake) String() string {
	var b strings.Builder
	if m.File != "" {
		b.WriteString(m.File + ":")
		if m.Line > 0 {
			b.WriteString(strconv.Itoa(m.Line) + ":" + strconv.Itoa(m.Col) + ":")
		}
		b.WriteByte(' ')
	}
	b.WriteString(m.Text)
	return b.String()
}

// Mistakes is the error of [Load]: all mistakes of all files, ordered by file
// and place.
type Mistakes []Mistake

// Error is one mistake a line.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// place is where something stands.
type place struct {
	file      string
	line, col int
}

// collector gathers mistakes, so that reading goes on after the first.
type collector struct {
	found Mistakes
	// spoilt are places of which all is said.
	spoilt map[place]bool
}

// spoil adds a mistake that makes every other one at its place a mere
// consequence; these are not told.
func (c *collector) spoil(at place, format string, args ...any) {
	delete(c.spoilt, at)
	c.add(at, format, args...)
	if c.spoilt == nil {
		c.spoilt = map[place]bool{}
	}
	c.spoilt[at] = true
}

func (c *collector) add(at place, format string, args ...any) {
	if c.spoilt[at] {
		return
	}
	c.found = append(c.found, Mistake{File: at.file, Line: at.line, Col: at.col, Text: fmt.Sprintf(format, args...)})
}

// err is what was found, in order and each once, or nil.
func (c *collector) err() error {
	if len(c.found) == 0 {
		return nil
	}
	slices.SortStableFunc(c.found, func(a, b Mistake) int {
		return cmp.Or(
			strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col),
			strings.Compare(a.Text, b.Text),
		)
	})
	return slices.Compact(c.found)
}

// maxMisspelt is the longest word for which a near one is looked for.
const maxMisspelt = 64

// maxHints is how many mistakes get a near word where thousands of names would
// have to be compared with thousands.
const maxHints = 100

// hint is what would be right in place of word: the nearest of known, or, when
// none is near, the whole list as long as a person would read it.
func hint(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return " (did you mean " + strconv.Quote(near) + "?)"
	}
	const readable = 40
	if len(known) == 0 || len(known) > readable {
		return ""
	}
	return " (known: " + strings.Join(known, ", ") + ")"
}

// Nearest is the known word with the fewest edits to word, at most a third of
// the word's length, or "". Among equals the first one is taken. A word longer
// than 64 bytes is not misspelt but something else, and has none.
func Nearest(word string, known []string) string {
	if len(word) > maxMisspelt {
		return ""
	}
	best, least := "", max(1, len(word)/3)+1
	for _, k := range known {
		if n := edits(word, k); n < least {
			best, least = k, n
		}
	}
	return best
}

// edits is the Levenshtein distance in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
