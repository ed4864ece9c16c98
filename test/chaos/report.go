package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Marks in the document that the tables stand between.
const (
	beginMark = "<!-- chaos: begin -->"
	endMark   = "<!-- chaos: end -->"
)

func writeBetween(file, tables string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(content), beginMark)
	_, after, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks %s and %s", file, beginMark, endMark)
	}
	return os.WriteFile(file, []byte(before+beginMark+"\n"+tables+endMark+after), 0o644) //nolint:gosec // a document
}

// tables writes everything that was found in Markdown.
func tables(results []result, trials []tally, skipped []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d cores, Go %s; Mosquitto on loopback, QoS 1.\n", time.Now().Format(time.DateOnly), runtime.NumCPU(),
		strings.TrimPrefix(runtime.Version(), "go"))
	if len(results) > 0 {
		runTable(&b, results)
		faultTable(&b, results)
		findings(&b, results)
	}
	if len(trials) > 0 {
		trialTable(&b, trials)
	}
	b.WriteString("\n| row of the fault matrix | not run here, because |\n|---|---|\n")
	for _, line := range slices.Concat(skipped, elsewhere()) {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// runTable has a column for each run.
func runTable(b *strings.Builder, results []result) {
	row := func(name string, value func(r *result) string) {
		b.WriteString("| " + name + " |")
		for i := range results {
			b.WriteString(" " + value(&results[i]) + " |")
		}
		b.WriteString("\n")
	}
	number := func(name string, value func(r *result) int) {
		row(name, func(r *result) string { return fmt.Sprint(value(r)) })
	}
	b.WriteString("\n")
	row("seed", func(r *result) string { return fmt.Sprint(r.seed) })
	b.WriteString("|---|" + strings.Repeat("---|", len(results)) + "\n")
	row("mode", func(r *result) string { return r.mode })
	row("broker's persistence", func(r *result) string { return r.keeps })
	row("time", func(r *result) string { return r.took.Round(time.Second).String() })
	number("faults", func(r *result) int { return len(r.faults) })
	number("ids sent", func(r *result) int { return r.sent })
	number("acknowledged by the broker", func(r *result) int { return r.broker })
	number("given to the agent", func(r *result) int { return r.given })
	number("acknowledged by the agent", func(r *result) int { return r.agent })
	number("decided (in the store)", func(r *result) int { return r.decided })
	number("delivered to the app", func(r *result) int { return r.delivered })
	number("lost by the broker, on the way in", func(r *result) int { return r.lostBroker })
	number("lost between the broker and an agent that was killed", func(r *result) int { return r.lostFlight })
	number("lost with a damaged store, and said", func(r *result) int { return r.lostDamaged })
	number("**lost by the agent**", func(r *result) int { return r.lostAgent })
	number("events decided", func(r *result) int { return r.events })
	number("**events decided and not delivered**", func(r *result) int { return r.lostEvents })
	number("of these forgotten by the broker after its acknowledgement", func(r *result) int { return r.forgotten })
	number("missed by an app that is away now and then", func(r *result) int { return r.missed })
	row("repeats at the app (sent again by the agent)", func(r *result) string { return fmt.Sprintf("%d (%d)", r.repeats, r.sentAgain) })
	number("raised again after an old message", func(r *result) int { return r.raisedAgain })
	number("**out of order by seq**", func(r *result) int { return len(r.disorder) })
	number("**wrong contents**", func(r *result) int { return len(r.wrong) })
	number("**the agent ended by itself**", func(r *result) int { return len(r.exits) })
	row("recovery p50 / p99", func(r *result) string { return recovery(r.recoveries(func(described) bool { return true })) })
	row("memory, peak", func(r *result) string { return fmt.Sprintf("%.1f MiB", r.usage.peak) })
	row("memory, slope", func(r *result) string {
		if !r.usage.long {
			return "run too short"
		}
		return fmt.Sprintf("%+.2f MiB/h", r.usage.slope)
	})
	row("goroutines / descriptors, drift", func(r *result) string {
		return fmt.Sprintf("%+.0f / %+.0f", r.usage.goroutines, r.usage.fds)
	})
	row("promises kept", func(r *result) string {
		if n := len(r.failures()); n > 0 {
			return fmt.Sprintf("no: %d broken", n)
		}
		return "yes"
	})
}

func recovery(took []time.Duration) string {
	if len(took) == 0 {
		return "–"
	}
	return short(quantile(took, 50)) + " / " + short(quantile(took, 99))
}

// faultTable has a row for each fault that was injected, over all runs.
func faultTable(b *strings.Builder, results []result) {
	b.WriteString("\n| matrix | fault | injection | promise | times | recovery p50 / p99 | no recovery | lost by the agent | ended by itself | date |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for _, d := range allFaults() {
		var took []time.Duration
		times, hung, lost, exits := 0, 0, 0, 0
		for i := range results {
			took = append(took, results[i].recoveries(func(other described) bool { return other.fault == d.fault })...)
			for _, o := range results[i].faults {
				if o.fault != d.fault {
					continue
				}
				if times++; o.hung {
					hung++
				}
				exits += o.exits
				lost += o.lost
			}
		}
		slices.Sort(took)
		if times > 0 {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %d | %s | %d | %d | %d | %s |\n", d.matrix, d.fault, d.injection, d.expect, times,
				recovery(took), hung, lost, exits, results[0].at.Format(time.DateOnly))
		}
	}
	b.WriteString("\nRecovery: from the end of the fault to the first event of a report sent after it" +
		" (half-open: from its beginning), where the next fault did not come first." +
		" Lost by the agent: told of the damage of a store before it, else of the fault that came next.\n")
}

// findings names the promises that did not hold.
func findings(b *strings.Builder, results []result) {
	for i := range results {
		r := &results[i]
		for _, line := range r.failures() {
			fmt.Fprintf(b, "\n* seed %d, %s, persistence %s: %s", r.seed, r.mode, r.keeps, firstLine(line))
		}
	}
	b.WriteString("\n")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// elsewhere are the rows of the fault matrix that this harness does not run.
func elsewhere() []string {
	return []string{
		"| 2 crash inside a commit | it needs stop points inside the program; row 1 kills at random times |",
		"| 6, 7 by the kernel | network name spaces and `tc` are not on every machine; the proxy does both above TCP |",
		"| 9 by systemd | its watchdog needs systemd as the parent; here the agent goes on after SIGCONT |",
		"| 11 read-only file system, I/O errors | they need the device mapper |",
		"| 12 power loss | it needs block images or a virtual machine |",
		"| 14, 15 configuration, rules | tests of `cmd/agent` and `internal/rules` |",
		"| 16 clock jumps | tests of the engine, where time is an argument |",
		"| 17, 18, 19, 20 TLS, access, client ids, poison output | tests of `internal/mqtt` against Mosquitto |",
		"| 21 to 26, 29 floods, many ids, slow app, memory | `make bench` and tests; not part of this harness |",
		"| 27, 28 probes, DNS | tests of the checks |",
		"| 30 downgrade, upgrade | tests of `internal/store` |",
	}
}
