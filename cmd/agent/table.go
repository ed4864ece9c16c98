package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// This file is how the commands put what devices said on a terminal: in
// columns, and without anything that could steer the terminal.

// visible shows characters that steer a terminal or turn the direction of
// writing, and those that nobody sees, as \u escapes: ids and messages come
// from devices, and may not make a line say something else.
func visible(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !harmless(r) }) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case harmless(r) || r == utf8.RuneError && size > 1: // one that was sent as such
			b.WriteRune(r)
		case r == utf8.RuneError:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func harmless(r rune) bool {
	return r != utf8.RuneError && (unicode.IsPrint(r) || unicode.Is(unicode.Zs, r))
}

// column is one column of a table.
type column struct {
	head string
	// most is how wide it may grow; 0 for the one that gets what is left.
	most int
}

// minElastic is what the column that gets the rest keeps on a narrow terminal.
const minElastic = 16

// printTable writes rows under their heads, width columns wide. A text that is
// too wide for its column goes on in the next line.
func printTable(w io.Writer, width int, head []column, rows [][]string) error {
	first := make([]string, len(head))
	for i, c := range head {
		first[i] = c.head
	}
	rows = append([][]string{first}, rows...)
	widths, elastic := make([]int, len(head)), 0
	left := width - 2*(len(head)-1)
	for i, c := range head {
		if c.most == 0 {
			elastic = i
			continue
		}
		for _, row := range rows {
			widths[i] = max(widths[i], min(columns(row[i]), c.most))
		}
		left -= widths[i]
	}
	widths[elastic] = max(left, minElastic)
	var b strings.Builder
	for _, row := range rows {
		writeRow(&b, row, widths)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeRow(b *strings.Builder, row []string, widths []int) {
	cells, height := make([][]string, len(row)), 0
	for i, text := range row {
		cells[i] = cell(text, widths[i])
		height = max(height, len(cells[i]))
	}
	for n := range height {
		var line strings.Builder
		for i, lines := range cells {
			part := ""
			if n < len(lines) {
				part = lines[n]
			}
			line.WriteString(part + strings.Repeat(" ", max(0, widths[i]-columns(part))+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// cell breaks a text into the lines of a cell; a word that is too wide is
// broken too, for the columns behind it must stay where they are.
func cell(text string, width int) []string {
	var lines []string
	for _, line := range wrap(text, width) {
		for columns(line) > width {
			var head string
			head, line = cutAt(line, width)
			lines = append(lines, head)
		}
		lines = append(lines, line)
	}
	return lines
}

// cutAt takes as much from the front of s as fits, one character at least.
func cutAt(s string, width int) (head, rest string) {
	used := 0
	for i, r := range s {
		used += runeColumns(r)
		if used > width && i > 0 {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// ago tells a span in the one unit that fits, as in "3 min".
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}
