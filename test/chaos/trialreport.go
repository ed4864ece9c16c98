package main

import (
	"fmt"
	"strings"
)

func trialTable(trials []tally) string {
	var b strings.Builder
	n := 0
	for _, t := range trials {
		n += t.trials
	}
	fmt.Fprintf(&b, "%s, %s. %d trials: a store written under load until a SIGKILL, copied, damaged, and started on; rows are events of its log, counted against what an undamaged copy holds.\n"+
		"\n| damage | trials | no start | ended by itself | slower than 2 s | slowest start | with lost rows | **of these not said** | **said too little** | rows lost | deaf afterwards | kept |\n"+
		"|---|---|---|---|---|---|---|---|---|---|---|---|\n", today(), machine(), n)
	for i := range trials {
		t := &trials[i]
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s | %d | %d | %d | %d | %d | %s |\n", t.spoiling, t.trials, t.noStart, t.exits, t.slow,
			short(t.slowest), t.lost, t.silent, t.vague, t.rows, t.deaf, kept(t.failures()))
	}
	for i := range trials {
		for _, line := range trials[i].failures() {
			b.WriteString("\n* " + line)
		}
	}
	b.WriteString("\n")
	return b.String()
}

// failures are the promises that did not hold.
func (t *tally) failures() []string {
	var list []string
	for _, f := range []struct {
		n    int
		kind string
	}{
		{t.noStart, noStart},
		{t.exits, ownExit},
		{t.slow, slowness},
		{t.silent, silence},
		{t.vague, vagueness},
		{t.deaf, deaf},
	} {
		if f.n > 0 {
			list = append(list, strings.TrimSuffix(fmt.Sprintf("%s: %s: %d in %d trials; %s", t.spoiling, f.kind, f.n, t.trials, t.examples[f.kind]), "; "))
		}
	}
	return list
}
