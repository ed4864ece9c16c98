package main

import (
	"fmt"
	"strings"
)

func trialTable(b *strings.Builder, trials []tally) {
	b.WriteString("\nA store written under load until a SIGKILL, damaged, and started on; rows are events of its log.\n" +
		"\n| damage | trials | no start | ended by itself | slower than 2 s | slowest start | with lost rows | **of these not said** | rows lost | deaf afterwards |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for _, t := range trials {
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %s | %d | %d | %d | %d |\n", t.spoiling, t.trials, t.noStart, t.exits, t.slow,
			short(t.slowest), t.lost, t.silent, t.rows, t.deaf)
	}
	for i := range trials {
		for _, line := range trials[i].failures() {
			b.WriteString("\n* " + line)
		}
	}
	b.WriteString("\n")
}

// failures are the promises that did not hold.
func (t *tally) failures() []string {
	var list []string
	for _, f := range []struct {
		n    int
		kind string
	}{
		{t.noStart, noStart},
		{t.exits, "ended by itself"},
		{t.slow, "start slower than 2 s"},
		{t.silent, silence},
		{t.deaf, deaf},
	} {
		if f.n > 0 {
			list = append(list, strings.TrimSuffix(fmt.Sprintf("%s: %s: %d in %d trials; %s", t.spoiling, f.kind, f.n, t.trials, t.examples[f.kind]), "; "))
		}
	}
	return list
}
