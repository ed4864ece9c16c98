package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// This file is how commands print: as text for a person, or as JSON.

const (
	formatText = "text"
	formatJSON = "json"
)

// choice is a flag that takes one word of a list.
type choice struct {
	word  string
	words []string
}

// Set takes a word; what is not on the list is refused.
func (c *choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		return fmt.Errorf("unknown word %q (%s)", word, strings.Join(c.words, ", "))
	}
	c.word = word
	return nil
}

// String is the word that is set.
func (c *choice) String() string { return c.word }

// Type is the placeholder in the help text.
func (c *choice) Type() string { return strings.Join(c.words, "|") }

// addChoice adds a flag that takes one of words, with its completion. An empty
// preset means none.
func addChoice(cmd *cobra.Command, name, short, preset, usage string, words ...string) *choice {
	c := &choice{word: preset, words: words}
	cmd.Flags().VarP(c, name, short, usage)
	// It fails only for a flag that is not there.
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// addOutput adds -o with text and json.
func addOutput(cmd *cobra.Command, preset string) *choice {
	return addChoice(cmd, "output", "o", preset, "how to print", formatText, formatJSON)
}

// printJSON writes one value, indented for people who look at it.
func printJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// Widths of printed text, in columns.
const (
	usualWidth = 80
	leastWidth = 40
)

// textWidth is how wide text may be on w: that of the terminal, where it is
// narrower than usual; lines much longer than usual are hard to read.
func textWidth(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return usualWidth
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return usualWidth
	}
	return min(usualWidth, max(leastWidth, width))
}

// paragraph is text, wrapped to width, after first; further lines begin with
// rest, which is as wide.
func paragraph(first, rest, text string, width int) string {
	var b strings.Builder
	lead := first
	for _, line := range wrap(text, width-columns(rest)) {
		b.WriteString(strings.TrimRight(lead+line, " "))
		b.WriteByte('\n')
		lead = rest
	}
	return b.String()
}

// wrap breaks text into lines of at most width columns: at spaces, and between
// the characters of scripts that do without. A word wider than a line stays
// whole, so that it can be copied.
func wrap(text string, width int) []string {
	var lines []string
	var line strings.Builder
	used := 0
	for _, p := range pieces(text) {
		gap := 0
		if p.spaced && used > 0 {
			gap = 1
		}
		w := columns(p.text)
		if used > 0 && used+gap+w > width {
			lines = append(lines, line.String())
			line.Reset()
			used, gap = 0, 0
		}
		line.WriteString(strings.Repeat(" ", gap) + p.text)
		used += gap + w
	}
	return append(lines, line.String())
}

// piece is what is not broken.
type piece struct {
	text string
	// spaced: a space stands before it.
	spaced bool
}

// pieces splits text where a line may end. A wide character is a piece of its
// own; a sign that may not begin a line goes with the piece before it.
func pieces(text string) []piece {
	const notFirst = "，。、；：？！）》」』】”’"
	var all []piece
	for word := range strings.FieldsSeq(text) {
		first, afterWide := true, false
		for _, r := range word {
			wide := runeColumns(r) == 2
			if first || (wide || afterWide) && !strings.ContainsRune(notFirst, r) {
				all = append(all, piece{spaced: first})
			}
			all[len(all)-1].text += string(r)
			first, afterWide = false, wide
		}
	}
	return all
}

// columns is how wide text is on a terminal, the same in every locale.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	c := runewidth.Condition{StrictEmojiNeutral: true}
	return c.RuneWidth(r)
}
