// Package rules turns YAML into an immutable set of rules and their words.
//
// The shipped packs are embedded; an operator's own rules lie over them. All
// files are read strictly: every mistake is found in one run, with file, line
// and column, and a set with a mistake in it is not made at all. The format is
// described in docs/rules.md.
//
// A [Set] never changes. A reload is a new Set, which the loop swaps in.
package rules
