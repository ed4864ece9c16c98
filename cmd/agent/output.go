package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// This file is how commands are told what to print: flags that take one word of
// a few, -o before all.

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
